"""What is measured of the ways that take turns, as rows of the engine's table (`engine`)."""

import argparse
from collections.abc import Callable

import numpy as np
from comparison import PRODUCT, Row, compared, key, spread
from executed_operations import executed_operations
from timed_training import time_training, time_whole_training
from ways import (
    BEFORE,
    ENGINE,
    PRACTITIONER,
    RELEASED,
    UNPADDED,
    Case,
    predictions,
    time_heatmap,
    time_prediction,
)
from worker import Worker, library_in_use, product_rate, set_threads

TRAINED_SCANS = {"cpu": 8, "cuda": 358}
SAMPLE = {
    "cpu": 4096,
    "cuda": 884_736,
}  # voxels that a way patch by patch is timed on: all take the same time
PRODUCT_SECONDS = 0.5
FEW_SLICES = 8
SCALING = (RELEASED, PRACTITIONER, ENGINE, UNPADDED)
SIZES = (256, 1024, 4096, 16384, 32768)  # voxels; patch by patch up to the sample
Way = tuple[str, str]  # name and precision


class Measurement:
    """The ways in their processes, and what is measured of them.

    Args:
        chosen: Arguments of the command.
        case: What is scored and trained.
        brains: Scans that are scored.
        half: Precision of `auto` on the device: float32, or one that the device is faster in.
    """

    def __init__(self, chosen: argparse.Namespace, case: Case, brains: list, half: str) -> None:
        self.device, self.threads, self.case, self.brains = chosen.device, chosen.threads, case, brains
        self.repeats, self.slices = chosen.repeats, chosen.slices
        if self.device == "cuda":
            self.slices = case.grid[2]
        self.workers = {
            name: Worker(name, self.device, self.threads)
            for name in (RELEASED, PRACTITIONER, ENGINE, UNPADDED)
        }
        if chosen.before:
            self.workers[BEFORE] = Worker(BEFORE, self.device, self.threads, chosen.before)
            print(f"before: {self.workers[BEFORE](library_in_use)}")
        released = "float16" if self.device == "cuda" else "float32"
        self.released: Way = (RELEASED, released)
        self.ways: list[Way] = [self.released, (PRACTITIONER, released)]
        for precision in dict.fromkeys(("float32", half)):
            if (PRACTITIONER, precision) not in self.ways:
                self.ways.append((PRACTITIONER, precision))
            names = (ENGINE, UNPADDED, BEFORE) if chosen.before else (ENGINE, UNPADDED)
            self.ways += [(name, precision) for name in names]
        if half == "float32":
            print("this device has no arithmetic in half precision that is faster: float32 only")
        self.precisions = list(dict.fromkeys(precision for _, precision in self.ways))
        self.wanted = [wanted_voxels(source, case.median) for source in brains]

    def scoring(self) -> list[Row]:
        """Rows about the network alone: same voxels, and a volume each in its own way."""
        self._warm_up()
        operations = {
            way: self._call(executed_operations, way, self.brains[0], self._voxels(way, 0, 0.5))
            for way in self.ways
        }
        turns: list[dict[str, float]] = []
        memory: dict[Way, float] = {}
        volumes: list[dict[str, float]] = []
        for repeat in range(self.repeats):
            for number, source in enumerate(self.brains):
                turn = {
                    key(PRODUCT, precision): self.workers[ENGINE](
                        product_rate, self.device, precision, PRODUCT_SECONDS
                    )
                    for precision in self.precisions
                }
                for way in in_turn(self.ways, len(turns)):
                    voxels = self._voxels(way, number, (repeat + 0.5) / self.repeats)
                    timing = self._call(time_prediction, way, source, voxels)
                    turn[key(*way)] = len(voxels) / timing.seconds
                    memory[way] = max(memory.get(way, 0), timing.memory_mb)
                turns.append(turn)
                counts = {way: self._count(way, number) for way in self.ways}
                volumes.append({key(*way): counts[way] / turn[key(*way)] for way in self.ways})
        rows = [
            compared(
                PRODUCT,
                (PRODUCT, precision),
                None,
                [{k: v / 1e9 for k, v in t.items()} for t in turns],
                "GFLOP/s",
            )
            for precision in self.precisions
        ]
        share = {
            way: spread(operations[way] * turn[key(*way)] / turn[key(PRODUCT, way[1])] for turn in turns)[0]
            for way in self.ways
        }
        rows += [
            compared(
                "same voxels",
                way,
                other,
                turns,
                "patches/s",
                more_is_faster=True,
                share_of_peak=share[way] or None,  # a counter sees nothing of what was recorded as a graph
                peak_memory_mb=memory[way],
            )
            for way, other in self._pairs()
        ]
        taken = (
            "all slices" if self.device == "cuda" else f"from {len(turns)} slices of {len(self.brains)} scans"
        )
        rows += [
            compared(
                "volume, background skipped", way, other, volumes, "s", note=taken, peak_memory_mb=memory[way]
            )
            for way, other in self._pairs()
        ]
        return rows + self._differences()

    def heatmaps(self) -> list[Row]:
        """Rows about the way from a standardized scan to its filtered heatmap."""
        turns = []
        # One turn less for each scan: a heatmap takes several slices.
        for repeat in range(max(1, self.repeats - 1)):
            for number, source in enumerate(self.brains):
                middle = self._height(number, (repeat + 0.5) / max(1, self.repeats - 1))
                begin = min(max(0, middle - self.slices // 2), self.case.grid[2] - self.slices)
                part = slice(begin, begin + self.slices)
                # Patch by patch all slices take the same time; scipy's filter alone takes minutes of a volume.
                few = slice(begin, begin + min(self.slices, FEW_SLICES))
                turn = {}
                for way in in_turn(self.ways, len(turns)):
                    if way[0] in (RELEASED, PRACTITIONER):
                        seconds = self._call(time_heatmap, way, source, few, SAMPLE[self.device]).seconds
                        turn[key(*way)] = seconds * self.case.grid[2] / (few.stop - few.start)
                    else:
                        seconds = self._call(time_heatmap, way, source, part, SAMPLE[self.device]).seconds
                        turn[key(*way)] = seconds * len(self.wanted[number]) / self._wanted_of(number, part)
                turns.append(turn)
        note = "" if self.slices == self.case.grid[2] else f"{self.slices} slices of a scan a turn"
        return [
            compared("scan to heatmap", way, other, turns, "s", note=note) for way, other in self._pairs()
        ]

    def training(self) -> list[Row]:
        """Rows about training; the released way trains in float32."""
        count = TRAINED_SCANS[self.device]
        scans = tuple((self.brains * count)[:count])
        reference: Way = (RELEASED, "float32")
        ways = [reference, *(way for way in self.ways if way[0] not in (RELEASED, PRACTITIONER))]
        steps = 20 if self.device == "cuda" else 2
        turns = [
            {
                key(*way): self.workers[way[0]](
                    time_training, way[0], self.case, scans, steps, device=self.device, precision=way[1]
                )
                for way in in_turn(ways, repeat)
            }
            for repeat in range(self.repeats)
        ]
        return [
            compared(
                "training",
                way,
                other,
                turns,
                "patches/s",
                more_is_faster=True,
                note=f"batches of {self.case.batch:,}; released: the accepted of {4 * self.case.batch:,}",
            )
            for way, other in self._pairs(reference)
            if way in ways and other in (None, *ways)
        ]

    def scaling(self) -> list[Row]:
        """Rows of the figure: a slice against cores, and seconds against voxels; float32, or half on a GPU."""
        rows: list[Row] = []
        ways = [next(way for way in reversed(self.ways) if way[0] == name) for name in SCALING]
        if self.device == "cpu":
            ways = [(name, "float32") for name in SCALING]
            for threads in core_counts(self.threads):
                for way in ways:
                    self.workers[way[0]](set_threads, threads)
                voxels = {way: self._voxels(way, 0, 0.5) for way in ways}
                turns = [
                    {
                        key(*way): len(part) / self._call(time_prediction, way, self.brains[0], part).seconds
                        for way, part in voxels.items()
                    }
                    for _ in range(2)
                ]
                rows += [
                    {**compared("patches by cores", way, None, turns, "patches/s"), "threads": threads}
                    for way in ways
                ]
            for way in ways:
                self.workers[way[0]](set_threads, self.threads)
        middle = np.argsort(np.abs(self.wanted[0][:, 2] - self._height(0, 0.5)), kind="stable")
        for size in SIZES:
            voxels = self.wanted[0][middle[:size]]
            if len(voxels) < size:
                break
            for way in ways:
                if way[0] in (RELEASED, PRACTITIONER) and size > SAMPLE[self.device]:
                    continue
                turns = [
                    {key(*way): self._call(time_prediction, way, self.brains[0], voxels).seconds}
                    for _ in range(2)
                ]
                rows.append(compared("seconds by voxels", way, None, turns, "s", note=str(size)))
        return rows

    def whole_training(self, patches: int) -> list[Row]:
        """A training of the paper's length, with the configuration's validations and checkpoints."""
        count = TRAINED_SCANS["cuda"]
        scans = tuple((self.brains * count)[:count])
        precision = self.ways[-1][1]
        minutes = self.workers[ENGINE](
            time_whole_training, self.case, scans, patches, device=self.device, precision=precision
        )
        turn = {key(ENGINE, precision): minutes}
        return [compared("whole training", (ENGINE, precision), None, [turn], "minutes")]

    def _call(self, function: Callable, way: Way, source: object, *arguments: object) -> object:
        """Call a timing function in the process of a way."""
        return self.workers[way[0]](
            function, way[0], self.case, source, *arguments, device=self.device, precision=way[1]
        )

    def _pairs(self, reference: Way | None = None) -> list[tuple[Way, Way | None]]:
        """What is compared with what, the released way first."""
        reference = reference or self.released
        pairs: list[tuple[Way, Way | None]] = [(reference, None)]
        for way in self.ways:
            name, precision = way
            others = {
                PRACTITIONER: [reference],
                ENGINE: [reference, (PRACTITIONER, precision), (BEFORE, precision)],
                UNPADDED: [(ENGINE, precision)],
            }
            pairs += [(way, other) for other in others.get(name, []) if other in (reference, *self.ways)]
        return pairs

    def _voxels(self, way: Way, number: int, quantile: float) -> np.ndarray:
        """What a way is timed on: a whole slice of the brain; patch by patch a sample of it; on a GPU all."""
        voxels = self.wanted[number]
        if self.device == "cpu":
            voxels = voxels[voxels[:, 2] == self._height(number, quantile)]
        if way[0] in (RELEASED, PRACTITIONER):
            voxels = voxels[: SAMPLE[self.device]]
        return voxels

    def _height(self, number: int, quantile: float) -> int:
        """The slice below which a share of the voxels lies: large slices are taken more often than small ones."""
        return int(np.quantile(self.wanted[number][:, 2], quantile, method="nearest"))

    def _count(self, way: Way, number: int) -> int:
        """Voxels of a volume that a way computes."""
        return (
            int(np.prod(self.case.grid)) if way[0] in (RELEASED, PRACTITIONER) else len(self.wanted[number])
        )

    def _wanted_of(self, number: int, part: slice) -> int:
        """Voxels that a heatmap of some slices alone needs."""
        from brains import load, widened

        mask = load(self.brains[number])[1][:, :, part]
        return int(np.count_nonzero(widened(mask, self.case.median // 2)))

    def _warm_up(self) -> None:
        for way in self.ways:
            self._call(time_prediction, way, self.brains[0], self._voxels(way, 0, 0.5))

    def _differences(self) -> list[Row]:
        """Relative L2 differences of the engine's predictions from the released way's in float32, on a slice."""
        voxels = self._voxels((RELEASED, ""), 0, 0.5)
        dense = self._voxels((ENGINE, ""), 0, 0.5)  # all of them, so that the dense path is compared
        expected = self._call(predictions, (RELEASED, "float32"), self.brains[0], voxels)
        rows: list[Row] = []
        for way in self.ways:
            if way[0] not in (ENGINE, BEFORE):
                continue
            outputs = self._call(predictions, way, self.brains[0], dense)
            for output, found, other in zip(("mean", "log-variance"), outputs, expected, strict=True):
                difference = float(np.linalg.norm(found[: len(other)] - other) / np.linalg.norm(other))
                rows.append(
                    compared(
                        f"difference of the {output}", way, None, [{key(*way): difference}], "relative L2"
                    )
                )
        return rows


def wanted_voxels(source: object, median: int) -> np.ndarray:
    """Voxels (n, 3) that the heatmap of a scan needs: the brain, and what the filter reaches; slice by slice."""
    from brains import load, widened

    voxels = np.argwhere(widened(load(source)[1], median // 2))
    return voxels[np.argsort(voxels[:, 2], kind="stable")]


def in_turn(ways: list[Way], turn: int) -> list[Way]:
    """The ways, each turn beginning with another one."""
    first = turn % len(ways)
    return [*ways[first:], *ways[:first]]


def core_counts(most: int) -> list[int]:
    """1, 2, 4, ... cores up to all."""
    counts = [2**power for power in range(most.bit_length()) if 2**power < most]
    return [*counts, most]
