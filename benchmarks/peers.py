"""Peers of the stages around the network, timed in turns with ours: those that are installed, in seconds of a core.

    python benchmarks/peers.py

- scikit-learn, average precision of a heatmap (part of the workflow's environment);
- torchio, Nyul's histogram standardization of a scan by given landmarks (pip install torchio);
- ANTs, affine registration and N4 of a brain at 2 mm that was moved, shaded and made noisy (pip install antspyx).

`engine.py` has them in its table.  This command, by a Python with all of them, writes peers_cpu.csv.
`preprocessing_ants.py` compares with ANTs on real scans at 1 mm.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
from brains import Source, load, sources
from comparison import Row, compared, markdown, read_rows, write_rows
from machine import about
from scipy import ndimage
from scipy.spatial.transform import Rotation

if TYPE_CHECKING:
    from patch2loc.preprocess.atlas import Atlas

OURS = ("ours", "")
MOVED_MM, TURNED, SCALED = 8, 8, 0.05  # standard deviations; degrees
NOISE, SHADING = 0.03, 0.15
SPACING = 2.0  # mm, of registration
TORCHIO_PERCENTILES = [1, 10, 20, 25, 30, 40, 50, 60, 70, 75, 80, 90, 99]
GRID, BRAINS, REPEATS = (192, 192, 100), 3, 3
TABLE = Path(__file__).resolve().with_name("peers_cpu.csv")


def main() -> None:
    """Measure on simulated brains, write the table and print it."""
    columns = about("cpu", 1)
    write_rows(TABLE, [{**columns, **row} for row in measured_peers(sources(GRID, BRAINS), REPEATS)])
    print(markdown(read_rows(TABLE)))


def measured_peers(brains: Sequence[Source], repeats: int) -> list[Row]:
    """Rows about each peer that is installed; the others are named.

    Args:
        brains: Scans on one grid.
        repeats: Turns for each of them.
    """
    rows: list[Row] = []
    peers = {"scikit-learn": rank, "torchio": standardized, "antspyx": registered}
    for package, measure in peers.items():
        try:
            rows += measure(brains, repeats)
        except ModuleNotFoundError as error:
            print(f"{package}: not installed ({error.name}): pip install {package}", flush=True)
    return rows


def rank(brains: Sequence[Source], repeats: int) -> list[Row]:
    """Average precision of a smooth heatmap, ours and scikit-learn's."""
    from sklearn.metrics import average_precision_score

    from patch2loc.metrics import average_precision

    turns, differences = [], []
    for _ in range(repeats):
        for source in brains:
            mask = load(source)[1]
            random = np.random.default_rng(source.number)
            smooth = ndimage.gaussian_filter(random.normal(size=mask.shape), 2)[mask].astype(np.float32)
            lesion = smooth + random.normal(0, smooth.std(), len(smooth)) > 3 * smooth.std()
            ours, value = seconds_of(partial(average_precision, smooth, lesion))
            other, expected = seconds_of(partial(average_precision_score, lesion, smooth))
            turns.append({"ours, ": ours, "scikit-learn, ": other})
            differences.append(abs(value - expected))
    note = f"differ by {max(differences):.0e} at most"
    return [compared("average precision", OURS, ("scikit-learn", ""), turns, "s of a core", note=note)]


def standardized(brains: Sequence[Source], repeats: int) -> list[Row]:
    """Nyul's standardization of a scan by the same landmarks, which torchio fits, ours and torchio's."""
    import torch
    import torchio

    from patch2loc.data import volumes
    from patch2loc.data.vocabulary import Landmarks
    from patch2loc.standardize import standardize

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        paths, masks, scans = [], [], []
        for source in brains:
            volume, mask = load(source)
            # Simulated brains hold the same noise: each gets another contrast.
            contrast = volume if source.folder else 0.1 * mask + volume ** (1 + 0.2 * source.number)
            scans.append((contrast.astype(np.float32), mask))
            for files, name, array in ((paths, "scan", contrast), (masks, "mask", mask)):
                files.append(Path(temporary, f"{name}{len(files)}.nii.gz"))
                volumes.write(files[-1], array.astype(np.float32), np.eye(4))
        fitted = torchio.HistogramStandardization.train(paths, mask_path=masks, progress=False)
    transform = torchio.HistogramStandardization({"scan": fitted}, masking_method="brain")
    landmarks: Landmarks = {
        "percentiles": TORCHIO_PERCENTILES,
        "standard_scale": fitted.tolist(),
        "subjects": [],
        "scale": "percentile",
    }
    turns, differences = [], []
    for _ in range(repeats):
        for volume, mask in scans:
            ours, found = seconds_of(partial(standardize, volume, mask, landmarks))
            subject = torchio.Subject(
                scan=torchio.ScalarImage(tensor=volume[None]), brain=torchio.LabelMap(tensor=mask[None])
            )
            other, changed = seconds_of(partial(transform, subject))
            expected = changed["scan"].numpy()[0][mask]
            expected = expected / np.percentile(expected, 98)
            turns.append({"ours, ": ours, "torchio, ": other})
            differences.append(np.linalg.norm(found[mask] - expected) / np.linalg.norm(expected))
    note = f"both over the 98th percentile, which we divide by, differ by {max(differences):.0e} at most (relative L2)"
    return [compared("standardization", OURS, ("torchio", ""), turns, "s of a core", note=note)]


def registered(_brains: Sequence[Source], repeats: int) -> list[Row]:
    """Affine registration and bias correction of the atlas's brain in other poses, ours and ANTs'."""
    import ants  # noqa: F401  # a process of its own imports it again
    from preprocessing_ants import ours, theirs

    from patch2loc.preprocess.atlas import Atlas, load_atlas
    from patch2loc.preprocess.images import coarser

    fine = load_atlas("icbm152", "T1")
    image, affine = coarser(fine.image, fine.affine, SPACING)
    atlas = Atlas(
        image, coarser(fine.mask.astype(np.float32), fine.affine, SPACING)[0] > 0.5, affine, fine.name
    )
    steps: dict[str, list[dict[str, float]]] = {"registration": [], "bias": []}
    overlaps = []
    for number in range(repeats):
        scan, mask = moved(atlas, number)
        _, our_seconds, our_overlap = ours(scan, mask, affine, atlas)
        _, their_seconds, their_overlap = theirs(sys.executable, scan, mask, affine, atlas)
        overlaps.append((our_overlap, their_overlap))
        for step, turns in steps.items():
            turns.append({"ours, ": our_seconds[step], "ANTs, ": their_seconds[step]})
    mean = np.mean(overlaps, axis=0)
    notes = {"registration": f"Dice with the atlas {mean[0]:.3f}, theirs {mean[1]:.3f}", "bias": "N4"}
    names = {"registration": "affine registration at 2 mm", "bias": "bias field at 2 mm"}
    return [
        compared(names[step], OURS, ("ANTs", ""), turns, "s of a core", note=notes[step])
        for step, turns in steps.items()
    ]


def moved(atlas: "Atlas", number: int) -> tuple[np.ndarray, np.ndarray]:
    """The atlas's brain in another pose, shaded and noisy, and its mask, on the atlas's voxels."""
    random = np.random.default_rng(number)
    turned = Rotation.from_euler("xyz", random.normal(0, TURNED, 3), degrees=True).as_matrix()
    matrix = turned * random.normal(1, SCALED, 3)
    center = (np.array(atlas.mask.shape) - 1) / 2
    offset = center - matrix @ (center + random.normal(0, MOVED_MM / SPACING, 3))
    image = ndimage.affine_transform(atlas.image, matrix, offset, order=1)
    mask = ndimage.affine_transform(atlas.mask.astype(np.float32), matrix, offset, order=1) > 0.5
    coarse = random.normal(0, SHADING, (3, 3, 3))
    field = ndimage.zoom(coarse, [size / 3 for size in image.shape], order=1, grid_mode=True, mode="nearest")
    noise = random.normal(0, NOISE * np.percentile(image[mask], 98), image.shape)
    return (np.where(mask, image * np.exp(field) + noise, 0)).astype(np.float32), mask


def seconds_of(run: Callable[[], object]) -> tuple[float, object]:
    """Seconds of processor time, and what was returned."""
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


if __name__ == "__main__":
    main()
