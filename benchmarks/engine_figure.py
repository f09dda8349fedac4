"""Figure of engine_{device}.csv: patches a second against cores, and seconds against voxels, of every way.

python benchmarks/engine_figure.py benchmarks/engine_cpu.csv
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import matplotlib.pyplot as plt
from comparison import read_rows
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, StrMethodFormatter
from ways import ENGINE, PRACTITIONER, RELEASED, UNPADDED

from patch2loc.figures.style import ABNORMAL, NORMAL, PAGE_WIDTH, RC, save_figure

CORES, VOXELS = "patches by cores", "seconds by voxels"
MARKS = {
    UNPADDED: ("#7a7a7a", "D", "another network, unpadded"),
    ENGINE: (NORMAL, "o", "the network, engine"),
    PRACTITIONER: ("#e0a030", "s", "patch by patch, a practitioner's"),
    RELEASED: (ABNORMAL, "^", "patch by patch, as released"),
}


def draw(table: Path) -> None:
    """Draw the figure beside its table, as .png."""
    rows = read_rows(table)
    by_cores = [row for row in rows if row["task"] == CORES]
    with plt.rc_context(RC):
        figure, panels = plt.subplots(
            1, 2 if by_cores else 1, figsize=(PAGE_WIDTH, 2.7), layout="constrained", squeeze=False
        )
        if by_cores:
            cores = sorted({int(row["threads"]) for row in by_cores})
            lines(panels[0, 0], by_cores, "threads")
            panels[0, 0].set(xlabel=f"cores of {rows[0]['machine']}", ylabel="patches a second")
            logarithmic(panels[0, 0], cores)
        by_voxels = [row for row in rows if row["task"] == VOXELS]
        lines(panels[0, -1], by_voxels, "note")
        panels[0, -1].set(xlabel="voxels scored", ylabel="seconds")
        logarithmic(panels[0, -1], sorted({int(row["note"]) for row in by_voxels}))
        figure.legend(
            *panels[0, -1].get_legend_handles_labels(), loc="outside lower center", ncols=len(MARKS)
        )
        precision, threads = by_voxels[0]["precision"], by_voxels[0]["threads"]
        figure.suptitle(
            f"Scoring in {precision}, torch {rows[0]['torch']}, {rows[0]['date']}; right: {threads} "
            + ("core" if threads == "1" else "cores"),
            fontsize=RC["axes.titlesize"],
        )
        save_figure(figure, [table.with_suffix(".png")])
        plt.close(figure)


def lines(axes: Axes, rows: list[dict[str, str]], column: str) -> None:
    """A line for each way; bars from the first quartile to the third."""
    for way, (color, marker, label) in MARKS.items():
        points = sorted(
            (float(row[column]), *(float(row[part]) for part in ("value", "low", "high")))
            for row in rows
            if row["way"] == way
        )
        x, value, low, high = zip(*points, strict=True)
        errors = [
            [middle - least for middle, least in zip(value, low, strict=True)],
            [most - middle for middle, most in zip(value, high, strict=True)],
        ]
        axes.errorbar(x, value, errors, color=color, marker=marker, markersize=3.5, capsize=2, label=label)


def logarithmic(axes: Axes, ticks: list[int]) -> None:
    """Logarithmic axes with whole numbers as they are read: ticks of x where something was measured."""
    axes.set(xscale="log", yscale="log")
    axes.set_xlim(ticks[0] / 1.3, ticks[-1] * 1.3)
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y", linewidth=0.3)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
