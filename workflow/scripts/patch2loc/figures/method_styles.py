"""How methods look in the figures that compare them: each has its color, line and marker, in all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from patch2loc.configuration.method_names import display_name
from patch2loc.figures.style import PAGE_WIDTH, RC

EMPHASIZED = "patch2loc"
# Okabe and Ito's colors, told apart by color-blind readers, less their yellow, which white paper swallows.
# Seven colors, four lines and nine markers: the first 28 methods differ in color or line.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
LINES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")


@dataclass(frozen=True)
class MethodStyle:
    """How one method is drawn. width: of its lines, in points. size: of its markers. order: the highest is on top."""

    label: str
    color: str
    line: str | tuple
    marker: str
    width: float
    size: float
    order: float


def method_styles(methods: Sequence[str]) -> dict[str, MethodStyle]:
    """The style of every evaluated method, by its place in the list; Patch2Loc is drawn larger, behind the others."""
    return {
        method: MethodStyle(
            display_name(method),
            COLORS[place % len(COLORS)],
            LINES[place % len(LINES)],
            MARKERS[place % len(MARKERS)],
            *((2.2, 6.0, 2.0) if method == EMPHASIZED else (1.1, 4.0, 3.0)),
        )
        for place, method in enumerate(methods)
    }


@mpl.rc_context(RC)
def rows_of_two(titles: Sequence[str], row_height: float = 1.6) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """A figure of page width with two panels for each title, which stands over the left one."""
    figure = Figure(figsize=(PAGE_WIDTH, 0.7 + row_height * len(titles)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.07)
    panels = [tuple(row) for row in figure.subplots(len(titles), 2, squeeze=False)]
    for (left, _), title in zip(panels, titles, strict=True):
        left.set_title(title, loc="left")
    return figure, panels


def method_legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """One legend over all panels, as many columns as fit; the figure grows for its rows beyond the third."""
    with mpl.rc_context(RC):
        for columns in range(min(len(handles), 5), 0, -1):
            legend = figure.legend(handles=handles, loc="outside upper center", ncols=columns, handlelength=3)
            if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
                break
            legend.remove()
    rows = -(-len(handles) // columns)
    figure.set_figheight(figure.get_figheight() + 0.14 * max(rows - 3, 0))


def line_handle(style: MethodStyle) -> Line2D:
    """A method in a legend of lines."""
    return Line2D([], [], color=style.color, linestyle=style.line, linewidth=style.width, label=style.label)


def marker_handle(style: MethodStyle, line: bool = False) -> Line2D:
    """A method in a legend of markers, or of markers and lines."""
    return Line2D(
        [],
        [],
        color=style.color,
        marker=style.marker,
        markersize=style.size,
        linestyle=style.line if line else "",
        linewidth=style.width,
        label=style.label,
    )


def say_empty(panel: Axes) -> None:
    """What stands in a panel that has nothing to show."""
    panel.text(0.5, 0.5, "no scan with lesion", transform=panel.transAxes, ha="center", va="center")
