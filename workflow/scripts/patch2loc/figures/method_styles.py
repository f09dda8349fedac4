"""Colors, lines and markers of methods, the same in every figure that compares methods."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from patch2loc.configuration.method_names import display_name
from patch2loc.figures.style import PAGE_WIDTH, RC

LineStyle = Literal["-"] | tuple[float, tuple[float, ...]]  # or offset and lengths of dashes, points

EMPHASIZED = "patch2loc"
# Okabe and Ito's colors, told apart by color-blind readers, less their yellow, which white paper swallows.
# Seven colors, four lines and nine markers: the first 28 methods differ in color or line.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
LINES: tuple[LineStyle, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")


@dataclass(frozen=True)
class MethodStyle:
    """Appearance of a method in figures.

    Attributes:
        label: Its name for readers.
        color: Hexadecimal RGB.
        line: Line style.
        marker: Marker style.
        width: Width of its lines, points.
        size: Size of its markers, points.
        order: Drawing order; the highest is on top.
    """

    label: str
    color: str
    line: LineStyle
    marker: str
    width: float
    size: float
    order: float


def method_styles(methods: Sequence[str]) -> dict[str, MethodStyle]:
    """Styles of methods by their place in the list; Patch2Loc is drawn larger, and behind the others."""
    styles = {}
    for place, method in enumerate(methods):
        width, size, order = (2.2, 6.0, 2.0) if method == EMPHASIZED else (1.1, 4.0, 3.0)
        styles[method] = MethodStyle(
            label=display_name(method),
            color=COLORS[place % len(COLORS)],
            line=LINES[place % len(LINES)],
            marker=MARKERS[place % len(MARKERS)],
            width=width,
            size=size,
            order=order,
        )
    return styles


@mpl.rc_context(RC)
def rows_of_two(titles: Sequence[str], row_height: float = 1.6) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """A figure of page width with a row of two panels for each title, which stands over the left one.

    Args:
        titles: Title of each row.
        row_height: Height of a row, inches.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.07)
    figure = Figure(figsize=(PAGE_WIDTH, 0.7 + row_height * len(titles)), layout=layout)
    panels = [tuple(row) for row in figure.subplots(len(titles), 2, squeeze=False)]
    for (left, _), title in zip(panels, titles, strict=True):
        left.set_title(title, loc="left")
    return figure, panels


def method_legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Add one legend over all panels, in as many columns as fit; the figure grows for rows beyond the third."""
    with mpl.rc_context(RC):
        for columns in range(min(len(handles), 5), 0, -1):
            legend = figure.legend(handles=handles, loc="outside upper center", ncols=columns, handlelength=3)
            if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
                break
            legend.remove()
    rows = -(-len(handles) // columns)
    figure.set_figheight(figure.get_figheight() + 0.14 * max(rows - 3, 0))


def line_handle(style: MethodStyle) -> Line2D:
    """Handle of a method in a legend of lines."""
    return Line2D([], [], color=style.color, linestyle=style.line, linewidth=style.width, label=style.label)


def marker_handle(style: MethodStyle, line: bool = False) -> Line2D:
    """Handle of a method in a legend of markers, or of markers and lines."""
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


def note_no_lesion(panel: Axes) -> None:
    """Say in an empty panel why it shows nothing."""
    panel.text(0.5, 0.5, "no scan with lesion", transform=panel.transAxes, ha="center", va="center")
