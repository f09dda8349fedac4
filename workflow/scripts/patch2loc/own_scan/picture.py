"""One picture of an answer, for a mail: warnings, sentence, slices, place among healthy scans, candidates.

It is 1200 pixels wide, so that a phone shows its smallest text readably, and as tall as its text needs: blocks are
measured, stacked and then drawn, so that nothing is ever cut off.
"""

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import imsave
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.textpath import text_to_path

from patch2loc import __version__
from patch2loc.disclaimer import DISCLAIMER
from patch2loc.figures.slices import fullest_slice
from patch2loc.figures.style import RARITY_COLOR_MAP, RARITY_RANGE, RC, gray_range
from patch2loc.files import replacing
from patch2loc.own_scan.among_healthy import among_healthy
from patch2loc.own_scan.answer import Answer
from patch2loc.own_scan.places import Box, Voxel, brain_box, centers, middle
from patch2loc.own_scan.wording import (
    CANDIDATE_NOTE,
    SIMULATED,
    SIMULATED_NOTE,
    brain_line,
    candidate_headings,
    candidate_texts,
    one_in,
    warnings_heading,
)
from patch2loc.process import printable

WIDTH, EDGE, GAP = 1200, 30, 18  # pixels, as all lengths here: of the picture, its margin, between blocks
DPI = 100
PT = 72 / DPI  # of a pixel
TITLE, SENTENCE, TEXT, SMALL, BANNER = 30, 40, 26, 22, 72  # heights of letters
LINE = 1.3  # height of a line over that of its letters
SHOWN_PLACES, SHOWN_CANDIDATES = 3, 5
TALLEST_ROW = 420  # of slices
THUMBNAIL_WIDTH = 480
THUMBNAIL_VOXEL = 3.0  # mm, for a margin of two voxels
PANEL_GAP = 6
OPACITY = (0.3, 0.85)  # of the color where it starts and where it is saturated
TEXT_COLOR, SOFT, ALARM, ALARM_FILL = "#111111", "#555555", "#b00000", "#ffd75e"
OWN_SCAN = "#d55e00"  # color-blind safe
COLUMN_STARTS = (0, 60, 180, 420, 790, 1010)  # of the table


class _Plane(NamedTuple):
    """A plane of slices: the axes across and up, which both fall along the picture, and the one through it."""

    across: int
    up: int
    through: int
    left: str
    right: str
    letter: str


AXIAL = _Plane(0, 1, 2, "R", "L", "z")
CORONAL = _Plane(0, 2, 1, "R", "L", "y")
SAGITTAL = _Plane(1, 2, 0, "A", "P", "x")
PANELS = ((AXIAL, False), (AXIAL, True), (CORONAL, True), (SAGITTAL, True))  # of a row: plane, with the map


class Block(NamedTuple):
    """A part of the picture: its height, and a function that draws it into a figure below a place (pixels)."""

    height: float
    draw: Callable[[Figure, float], None]


def write_picture(path: str | Path, answer: Answer) -> None:
    """Write the picture of an answer as PNG, whole or not at all; the same answer gives the same bytes.

    Color starts where one healthy voxel in 100 scores as high and is saturated at one in 100,000: a healthy brain stays
    gray.  All warnings are shown in full above the answer.

    Args:
        path: File to write, .png.
        answer: What a detector says about a scan.
    """
    with mpl.rc_context(RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a box stands for it
        blocks = list(_blocks(answer))
        height = round(sum(block.height for block in blocks) + GAP * (len(blocks) - 1) + 2 * EDGE)
        figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI)
        top: float = EDGE
        for block in blocks:
            block.draw(figure, top)
            top += block.height + GAP
        with replacing(path) as unfinished:
            figure.savefig(unfinished, dpi=DPI, facecolor="white", metadata={"Software": None})


def colored(rarity: np.ndarray) -> np.ndarray:
    """Colors of rarities, (..., 4): clear below RARITY_RANGE and where NaN, saturated above it."""
    low, high = RARITY_RANGE
    share = np.nan_to_num((rarity - low) / (high - low), nan=-1.0)
    colors: np.ndarray = mpl.colormaps[RARITY_COLOR_MAP](np.clip(share, 0, 1))
    least, most = OPACITY
    colors[..., 3] = np.where(share < 0, 0, least + (most - least) * np.clip(share, 0, 1))
    return colors


def thumbnail(scan: np.ndarray, rarity: np.ndarray, labels: np.ndarray) -> bytes:
    """JPEG of an axial slice, through the first candidate or the middle: the scan, and beside it with its map.

    Args:
        scan: (x, y, z) intensities, 0 outside the brain.
        rarity: (x, y, z), NaN outside the brain.
        labels: (x, y, z) candidates, as of `Answer`.
    """
    mask = np.isfinite(rarity)
    first = labels == 1
    z = fullest_slice(first) if first.any() else middle(mask)[AXIAL.through]
    across, along, _ = brain_box(mask, THUMBNAIL_VOXEL)
    index = (slice(*across), slice(*along), z)
    gray = np.clip(scan[index] / gray_range(scan)["vmax"], 0, 1)[..., None].repeat(3, axis=2)
    colors = colored(rarity[index])
    alpha = colors[..., 3:]
    pair = np.concatenate([part[::-1, ::-1] for part in (gray, gray * (1 - alpha) + colors[..., :3] * alpha)])
    factor = max(1, round(THUMBNAIL_WIDTH / len(pair)))
    stream = io.BytesIO()
    picture = pair.repeat(factor, 0).repeat(factor, 1).transpose(1, 0, 2)
    imsave(stream, np.ascontiguousarray(picture), format="jpeg", pil_kwargs={"quality": 85})
    return stream.getvalue()


def _blocks(answer: Answer) -> Iterator[Block]:
    yield _text(printable(answer.title), TITLE, weight="bold")
    if answer.simulated:
        yield _simulated()
    if answer.warnings:
        yield _warnings([printable(warning.message) for warning in answer.warnings])
    yield _text(printable(answer.sentence), SENTENCE)
    yield _text(brain_line(answer), SMALL, color=SOFT)
    places = centers(answer, SHOWN_PLACES)
    headings = [
        f"Candidate {text.number}: {text.volume}, {text.where}"
        for text in candidate_texts(answer)[: len(places)]
    ]
    if not places:
        heading = "No candidate: middle of the brain" if answer.judged else "Middle of the brain"
        places, headings = [middle(answer.mask)], [heading]
    for place, heading in zip(places, headings, strict=True):
        yield _text(heading, TEXT, weight="bold")
        yield _slices(answer, place)
    yield _color_bar(answer.threshold if answer.judged else None)
    if answer.judged:
        yield _among_healthy(answer)
    if len(answer.candidates):
        yield _table(answer)
    yield _text(
        f"{DISCLAIMER} patch2loc {__version__}. Radiological convention: the subject's right (R) is on the left.",
        SMALL,
        color=SOFT,
    )


@cache
def _width_of(text: str, size: float, weight: str) -> float:
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, False)
    return float(width)


def wrapped(text: str, size: float, width: float, weight: str = "normal") -> list[str]:
    """Lines of a text that are at most so many pixels wide; a longer word is broken anywhere."""
    lines = [""]
    for word in text.split():
        line = f"{lines[-1]} {word}".lstrip()
        if _width_of(line, size, weight) <= width:
            lines[-1] = line
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if _width_of(lines[-1] + letter, size, weight) > width and lines[-1]:
                lines.append("")
            lines[-1] += letter
    return lines


def _write(figure: Figure, x: float, top: float, text: str, size: float, **style: Any) -> None:
    """Write a line, its top at a place from the upper left corner, pixels."""
    height = figure.get_figheight() * DPI
    figure.text(
        x / WIDTH,
        1 - (top + LINE * size / 2) / height,
        text,
        fontsize=size * PT,
        va="center_baseline",
        parse_math=False,
        **({"color": TEXT_COLOR} | style),
    )


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place from the upper left corner, pixels."""
    whole = figure.get_figheight() * DPI
    return figure.add_axes((left / WIDTH, 1 - (top + height) / whole, width / WIDTH, height / whole))


def _rectangle(figure: Figure, top: float, height: float, **style: Any) -> None:
    whole = figure.get_figheight() * DPI
    corner = (EDGE / WIDTH, 1 - (top + height) / whole)
    size = ((WIDTH - 2 * EDGE) / WIDTH, height / whole)
    figure.add_artist(Rectangle(corner, *size, transform=figure.transFigure, zorder=-1, **style))


def _text(
    text: str,
    size: float,
    *,
    weight: str = "normal",
    color: str = TEXT_COLOR,
    left: float = 0,
    right: float = 0,
) -> Block:
    """A paragraph, indented on both sides by so many pixels."""
    lines = wrapped(text, size, WIDTH - 2 * EDGE - left - right, weight)

    def draw(figure: Figure, top: float) -> None:
        for number, line in enumerate(lines):
            _write(figure, EDGE + left, top + number * LINE * size, line, size, weight=weight, color=color)

    return Block(len(lines) * LINE * size, draw)


def _simulated() -> Block:
    """A banner over the whole width."""
    note = _text(SIMULATED_NOTE, SENTENCE * 0.8, color="white", left=GAP, right=GAP)
    height = LINE * BANNER + note.height + 1.5 * GAP

    def draw(figure: Figure, top: float) -> None:
        _rectangle(figure, top, height, facecolor=ALARM, edgecolor="none")
        _write(figure, EDGE + GAP, top + GAP / 2, SIMULATED, BANNER, weight="bold", color="white")
        note.draw(figure, top + GAP / 2 + LINE * BANNER)

    return Block(height, draw)


def _warnings(messages: Sequence[str]) -> Block:
    """All warnings, in a box."""
    heading = _text(warnings_heading(len(messages)), TITLE, weight="bold", color=ALARM, left=1.5 * GAP)
    parts = [_text(message, TEXT, left=3 * GAP, right=1.5 * GAP) for message in messages]
    height = heading.height + sum(part.height + GAP / 2 for part in parts) + 2 * GAP

    def draw(figure: Figure, top: float) -> None:
        _rectangle(figure, top, height, facecolor=ALARM_FILL, edgecolor=ALARM, linewidth=6 * PT)
        top += GAP
        heading.draw(figure, top)
        top += heading.height + GAP / 2
        for part in parts:
            _write(figure, EDGE + 1.5 * GAP, top, "•", TEXT, weight="bold", color=ALARM)
            part.draw(figure, top)
            top += part.height + GAP / 2

    return Block(height, draw)


def _slices(answer: Answer, place: Voxel) -> Block:
    """A row of slices through a place, all on one scale: axial without and with the map, coronal and sagittal with."""
    box = brain_box(answer.mask, answer.spacing)
    size = [end - first for first, end in box]
    gaps = PANEL_GAP * (len(PANELS) - 1)
    scale = min(
        (WIDTH - 2 * EDGE - gaps) / sum(size[plane.across] for plane, _ in PANELS),
        TALLEST_ROW / max(size[plane.up] for plane, _ in PANELS),
    )
    height = scale * max(size[plane.up] for plane, _ in PANELS)
    start = (WIDTH - gaps - scale * sum(size[plane.across] for plane, _ in PANELS)) / 2

    def draw(figure: Figure, top: float) -> None:
        _rectangle(figure, top, height, facecolor="black")
        left = start
        for plane, with_map in PANELS:
            width, tall = scale * size[plane.across], scale * size[plane.up]
            axes = _axes(figure, left, top + (height - tall) / 2, width, tall)
            _draw_slice(axes, answer, plane, place=place, box=box, with_map=with_map)
            left += width + PANEL_GAP

    return Block(height, draw)


def _draw_slice(
    axes: Axes,
    answer: Answer,
    plane: _Plane,
    *,
    place: Voxel,
    box: tuple[Box, Box, Box],
    with_map: bool,
) -> None:
    index: list[slice | int] = [slice(*box[axis]) for axis in range(3)]
    index[plane.through] = place[plane.through]

    def image(volume: np.ndarray) -> np.ndarray:
        """Rows from anterior or superior, columns from the subject's right or from anterior."""
        return volume[tuple(index)][::-1, ::-1].T

    axes.set_axis_off()
    axes.imshow(image(answer.scan), interpolation="bilinear", aspect="auto", **gray_range(answer.scan))
    outline = [withStroke(linewidth=2.5, foreground="black")]
    letters: dict[str, Any] = {
        "color": "white",
        "path_effects": outline,
        "transform": axes.transAxes,
        "fontsize": SMALL * PT,
    }
    if with_map:
        axes.imshow(colored(image(answer.rarity)), interpolation="nearest", aspect="auto")
        _outline(axes, image(answer.labels))
    axes.text(0.02, 0.5, plane.left, ha="left", va="center", weight="bold", **letters)
    axes.text(0.98, 0.5, plane.right, ha="right", va="center", weight="bold", **letters)
    position = answer.affine[plane.through] @ [*place, 1]
    axes.text(
        0.02, 0.02, f"{plane.letter} {position:.0f} mm".replace("-", "−"), ha="left", va="bottom", **letters
    )


def _outline(axes: Axes, labels: np.ndarray) -> None:
    """Draw the borders of the numbered parts of a slice, along voxels, and each number beside its part's top."""
    padded = np.pad(labels, 1)  # image row and column 0 begin at -0.5
    upright = np.argwhere(padded[:, 1:] != padded[:, :-1]) - (1.5, 0.5)
    level = np.argwhere(padded[1:] != padded[:-1]) - (0.5, 1.5)
    borders = [((x, y), (x, y + 1)) for y, x in upright] + [((x, y), (x + 1, y)) for y, x in level]
    for color, width in (("black", 3.2), ("white", 1.6)):
        axes.add_collection(
            LineCollection(borders, colors=color, linewidths=width, capstyle="round"),
            autolim=False,
        )
    for label in np.unique(labels[labels > 0]):
        row, column = np.argwhere(labels == label)[0]
        at_left_edge = column < 0.15 * labels.shape[1]
        axes.annotate(
            str(label),
            (column, row),
            xytext=(2 if at_left_edge else -2, 2),
            textcoords="offset points",
            ha="left" if at_left_edge else "right",
            va="bottom",
            color="white",
            fontsize=TEXT * PT,
            weight="bold",
            path_effects=[withStroke(linewidth=3, foreground="black")],
        )


def _color_bar(threshold: float | None) -> Block:
    """Colors with the share of healthy voxels that score as high, and the threshold of candidates, if there is one."""
    caption = _text(
        "Color: how many healthy voxels score as high; no color where more than 1 in 100 do", TEXT
    )
    bar, ticks = 34, LINE * SMALL
    low, high = RARITY_RANGE

    def draw(figure: Figure, top: float) -> None:
        caption.draw(figure, top)
        axes = _axes(figure, EDGE, top + caption.height + 6, WIDTH - 2 * EDGE, bar)
        gradient = colored(np.linspace(low, high, 600))[None]
        axes.set_facecolor("0.35")  # as of a brain
        axes.imshow(gradient, aspect="auto", extent=(low, high, 0, 1))
        axes.set(xticks=[], yticks=[], xlim=(low, high))
        top += caption.height + 6 + bar
        for tick in np.arange(low, high + 1):
            align = "left" if tick == low else "right" if tick == high else "center"
            share = (tick - low) / (high - low)
            x = EDGE + (WIDTH - 2 * EDGE) * share
            or_rarer = " or rarer" if tick == high else ""
            _write(figure, x, top + 4, f"{one_in(tick)}{or_rarer}", SMALL, ha=align)
        if threshold is not None and low < threshold < high:
            axes.axvline(threshold, color="white", linewidth=3)
            axes.text(
                threshold + 0.02,
                0.5,
                "candidates",
                color="white",
                va="center",
                fontsize=SMALL * PT,
                path_effects=[withStroke(linewidth=2.5, foreground="black")],
            )

    return Block(caption.height + 6 + bar + 4 + ticks, draw)


def _among_healthy(answer: Answer) -> Block:
    """This scan and the healthy scans of the reference on one axis."""
    count = len(answer.healthy_ml)
    caption = _text(f"Volume of candidates, ml: this scan among {count} healthy scans", TEXT)
    plot, ticks = 130, LINE * SMALL

    def draw(figure: Figure, top: float) -> None:
        caption.draw(figure, top)
        axes = _axes(figure, EDGE, top + caption.height, WIDTH - 2 * EDGE, plot)
        _draw_scans(axes, answer.healthy_ml, answer.abnormal_ml)

    return Block(caption.height + plot + ticks + 8, draw)


def _draw_scans(axes: Axes, healthy: np.ndarray, own: float) -> None:
    """Draw healthy scans as stacked dots and one scan as a diamond."""
    plot = among_healthy(healthy, own)
    x, tall = plot.own, 0.86
    axes.plot(*plot.dots.T, "o", color="#5b7f95", markersize=7, markeredgecolor="white", markeredgewidth=0.6)
    axes.plot([x, x], [0, tall], color=OWN_SCAN, linewidth=3)
    axes.plot([x], [tall], "D", color=OWN_SCAN, markersize=13, markeredgecolor="white")
    align, shift = ("right", -0.018) if x > 0.7 else ("left", 0.018)
    axes.text(
        x + shift,
        tall,
        f"this scan: {own:.1f} ml",
        color=OWN_SCAN,
        weight="bold",
        ha=align,
        va="center",
        fontsize=TEXT * PT,
        path_effects=[withStroke(linewidth=4, foreground="white")],
    )
    axes.set_xticks([place for place, _ in plot.ticks], [text for _, text in plot.ticks])
    axes.tick_params(labelsize=SMALL * PT, width=1.2, length=5)
    axes.set(xlim=(-0.02, 1.02), ylim=(0, 1.05), yticks=[])
    axes.spines["left"].set_visible(False)


def _table(answer: Answer) -> Block:
    """The first candidates, and how many more there are."""
    texts = candidate_texts(answer)
    rows = [candidate_headings(answer), *texts[:SHOWN_CANDIDATES]]
    more = len(texts) - SHOWN_CANDIDATES
    note = f"{more} more in candidates.csv. {CANDIDATE_NOTE}" if more > 0 else CANDIDATE_NOTE
    note_block = _text(note, SMALL, color=SOFT)
    row_height = LINE * TEXT

    def draw(figure: Figure, top: float) -> None:
        for number, row in enumerate(rows):
            for start, cell in zip(COLUMN_STARTS, row, strict=True):
                weight = "normal" if number else "bold"
                _write(figure, EDGE + start, top + number * row_height, cell, SMALL, weight=weight)
        note_block.draw(figure, top + len(rows) * row_height)

    return Block(len(rows) * row_height + note_block.height, draw)
