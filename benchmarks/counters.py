"""What scoring a volume asks of a GPU and of the host, counted by a run of the same code on a processor.

    python benchmarks/counters.py [--code FOLDER] [--name NAME] [--slices 100]

A simulated volume of 192 x 192 x 100 voxels, scored and filtered with the batches of a GPU by the paper's network
with narrow layers, which launch the kernels of wide ones.  --code takes the library of another checkout.  Replaces the
row of NAME in benchmarks/counters.csv:

    launches          operators that are not views; a GPU launches about one kernel for each
    with_graphs       those that are left where the layers of a batch are recorded as one
    synchronizations  operators that wait for values, and host memory that is made tensors but by engine/transfer.py,
                      whose copies are queued; not the copy back, one a volume
    gigabytes         that the operators read and write, of the narrow network
    host_ms           processor time of one thread without network and medians, the least of five
"""

import argparse
import csv
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ["code", "slices", "launches", "with_graphs", "synchronizations", "gigabytes", "host_ms"]
WIDTHS, PATCH, FILTER = (8, 8, 16, 16), 24, 7
# The budget of a GPU, 4,096 MB, in narrow float32 instead of wide bfloat16.
MEMORY_MB = 4096 * WIDTHS[0] * 4 / (64 * 2)


def main() -> None:
    """Count, and write a row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--code", type=Path, default=ROOT, help="checkout whose library is counted")
    parser.add_argument("--name", default="this version", help="of the row")
    parser.add_argument("--slices", type=int, default=100)
    chosen = parser.parse_args()
    sys.path[:0] = [str(chosen.code / "workflow/scripts"), str(ROOT / "tests/support")]
    row = {"code": chosen.name, "slices": chosen.slices} | counted(chosen.slices)
    path = ROOT / "benchmarks/counters.csv"
    rows = list(csv.DictReader(path.open(encoding="utf-8"))) if path.exists() else []
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows([*(each for each in rows if each["code"] != chosen.name), row])
    print(row)


def counted(slices: int) -> dict[str, object]:
    """The counts of one volume of so many slices."""
    import numpy as np
    import torch
    from dispatched import name_of, tensors_in
    from synchronizations import Synchronizations

    from patch2loc import heatmap
    from patch2loc.network import inference
    from patch2loc.network.location import LocationNetwork
    from patch2loc.score import postprocessing

    torch.set_num_threads(1)
    grid = (192, 192, slices)
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in grid), indexing="ij", sparse=True)
    mask = sum((axis / half) ** 2 for axis, half in zip(axes, (0.70, 0.86, 1.25), strict=True)) < 1
    noise = np.random.default_rng(0).random(grid, dtype=np.float32)
    volume = np.where(mask, noise, 0).astype(np.float32)

    class Counts(Synchronizations):
        """Launches and bytes, too; those of recorded work apart."""

        launches, recorded, bytes, replaying = 0, 0, 0, False

        def computed(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            result = super().computed(func, args, kwargs)
            views = [
                each.alias_info is not None and not each.alias_info.is_write for each in func._schema.returns
            ]
            if not any(views) and "empty" not in name_of(func):
                self.launches += 1
                self.recorded += self.replaying
                tensors = {id(tensor): tensor for tensor in tensors_in(args, kwargs, result)}
                self.bytes += sum(tensor.nbytes for tensor in tensors.values())
            return result

    counts = Counts()

    def recorded(work: Callable[[], object]) -> Callable[[], None]:
        def replay() -> None:
            counts.replaying = True
            work()
            counts.replaying = False

        return replay

    network = inference.DenseNetwork(LocationNetwork(WIDTHS).eval(), PATCH, memory_mb=MEMORY_MB)
    has_graphs = hasattr(inference, "recorded")
    if has_graphs:
        network.one_shape, inference.recorded = True, recorded
    maps_of = getattr(heatmap, "score_maps", heatmap.score_voxels)

    def score(ready: object, mode: Any) -> None:
        """Score and filter the volume as a scoring job does."""

        def scores_at(region: np.ndarray) -> np.ndarray:
            with mode:
                return maps_of(volume, region, ready)["score"]

        postprocessing.median_filtered(scores_at, mask, FILTER)

    no_medians(postprocessing)
    score(network, counts)

    class Silent:
        """A network that takes no time."""

        patch, device, one_shape = PATCH, "cpu", False

        def predict_slice(self, padded: Any, x: Any, y: Any, slice_location: float) -> Any:
            return torch.zeros(len(x), 4)

        def predict_slices(self, slices: Any, *given: Any) -> Any:
            # Before slices had their centers: padded, ends, centers, location, progress.
            centers = slices.centers if hasattr(slices, "centers") else given[1]
            return torch.zeros((4, len(centers.x))).T

    seconds = []
    for _ in range(6):  # the first warms up
        start = time.process_time()
        score(Silent(), nullcontext())
        seconds.append(time.process_time() - start)
    return {
        "launches": counts.launches,
        "with_graphs": counts.launches - counts.recorded if has_graphs else "",
        "synchronizations": sum("engine/transfer.py" not in each for each in counts.found),
        "gigabytes": round(counts.bytes / 1e9, 1),
        "host_ms": round(1000 * min(seconds[1:])),
    }


def no_medians(postprocessing: Any) -> None:
    """Leave the medians themselves out of the library's filter, but nothing around them."""
    import numpy as np

    if hasattr(postprocessing, "_medians"):  # before scores stayed on the device
        postprocessing._medians = lambda padded, voxels, size, chunk: np.zeros(len(voxels), np.float32)
    else:
        postprocessing._cube_medians = lambda windows, places: np.float32(0)


if __name__ == "__main__":
    main()
