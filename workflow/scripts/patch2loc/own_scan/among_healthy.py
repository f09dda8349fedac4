"""Where a scan lies among the healthy scans of a reference: one plot, drawn in the picture and on the page."""

from typing import NamedTuple

import numpy as np

COLUMNS = 75  # of dots
LOWEST, HIGHEST, STEP = 0.08, 0.7, 0.1  # of the dots of a column
TICKS = (0, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
TICK_DISTANCE = 0.05
ROOM = 1.15  # above the highest value


class AmongHealthy(NamedTuple):
    """A plot over the square root of a value, in shares of its width and height.

    Attributes:
        dots: Of the healthy scans, (scans, 2).
        own: Place of the scan across.
        ticks: Place and text of each tick.
    """

    dots: np.ndarray
    own: float
    ticks: list[tuple[float, str]]


def among_healthy(healthy: np.ndarray, own: float) -> AmongHealthy:
    """Lay out a plot of one scan among healthy ones.

    Args:
        healthy: A value of each healthy scan, 0 or more, (scans,).
        own: The value of the scan.
    """
    top = ROOM * max(float(np.max(healthy, initial=0)), own, 1.0)
    columns = np.rint(np.sqrt(np.asarray(healthy, float) / top) * COLUMNS).astype(int)
    ranks = np.array([np.count_nonzero(columns[:number] == column) for number, column in enumerate(columns)])
    step = min(STEP, (HIGHEST - LOWEST) / max(1, int(np.max(ranks, initial=0))))
    ticks: list[tuple[float, str]] = []
    for value in TICKS:
        place = float(np.sqrt(value / top))
        if place <= 1 and (not ticks or place - ticks[-1][0] >= TICK_DISTANCE):
            ticks.append((place, f"{value:g}"))
    dots = np.column_stack([columns / COLUMNS, LOWEST + step * ranks])
    return AmongHealthy(dots, float(np.sqrt(own / top)), ticks)
