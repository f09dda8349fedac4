"""One picture of a preprocessed scan: slices with outlines of atlas, brain and lesion.

Drawn by numpy and Pillow: a preprocessing is a short job, and importing matplotlib would take a tenth of it.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from patch2loc.files import replacing
from patch2loc.preprocess.masks import eroded

COLORS = {"atlas": "#00d5ff", "mask": "#ffd400", "lesion": "#ff2f4f"}
PANEL, GAP, TOP = (264, 260), 6, 30  # width and height of a slice's place, between places, above them; pixels
ROWS, COLUMNS = 2, 3
TEXT, TITLE, SMALLEST_TITLE = 11, 13, 8  # heights of letters, pixels
SMOOTHING = 1.0  # of the atlas, voxels, so that its inner borders are lines
FLUID = (
    0.6  # brightness of the atlas, over its median, that its outlines follow: that between fluid and tissue
)


def write_picture(
    path: str | Path,
    volume: np.ndarray,
    *,
    mask: np.ndarray,
    lesion: np.ndarray,
    atlas_on_grid: np.ndarray,
    title: str,
) -> None:
    """Draw three axial, a coronal and two sagittal slices with outlines of atlas, mask and lesion.

    In radiological convention: on the left is the subject's right (R), in sagittal slices anterior (A). The outlines
    of the atlas are its brain and its dark or bright inner borders.

    Args:
        path: Picture to write, .png.
        volume: The scan on the grid, (x, y, z), not cut by the mask, so that what the mask misses is visible.
        mask: Brain mask, (x, y, z) bool.
        lesion: Lesion mask, (x, y, z) bool.
        atlas_on_grid: Image of the atlas, (x, y, z) float32.
        title: Text above the slices.
    """
    # Along each axis the slice with most lesion, or else one that shows much of the brain.
    x, y, z = volume.shape[0] // 3, volume.shape[1] // 2, volume.shape[2] // 2
    if lesion.any():
        x, y, z = (int(lesion.sum(axis=tuple({0, 1, 2} - {axis})).argmax()) for axis in range(3))
    views = [
        (2, volume.shape[2] // 5),
        (2, z),
        (2, volume.shape[2] * 4 // 5),
        (1, y),
        (0, volume.shape[0] // 2),
        (0, x),
    ]
    brightest = np.percentile(volume[mask], 99.5) if mask.any() else max(float(volume.max()), 1.0)
    in_brain = atlas_on_grid[atlas_on_grid > 0]
    level = float(np.median(in_brain) * FLUID) if in_brain.size else 0.5
    width, height = PANEL
    size = (COLUMNS * (width + GAP) + GAP, TOP + ROWS * (height + GAP))
    picture = Image.new("RGB", size, "black")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(TEXT)
    for number, (axis, index) in enumerate(views):
        scan, brain, drawn = (slice_of(array, axis, index) for array in (volume, mask, lesion))
        outlined = {
            "atlas": (smooth_slice(atlas_on_grid, axis, index), level),
            "mask": (brain.astype(np.float32), 0.5),
            "lesion": (drawn.astype(np.float32), 0.5),
        }
        panel = panel_of(scan / brightest, outlined)
        left = GAP + number % COLUMNS * (width + GAP)
        top = TOP + number // COLUMNS * (height + GAP)
        picture.paste(panel, (left + (width - panel.width) // 2, top + (height - panel.height) // 2))
        draw.text((left + 2, top + height), f"{'xyz'[axis]} = {index}", "white", font, anchor="ld")
        draw.text((left + 2, top + height // 2), "R" if axis else "A", "white", font, anchor="lm")
    right = size[0] - 2 * GAP
    for name, color in reversed(COLORS.items()):
        draw.text((right, TOP // 2), name, "white", font, anchor="rm")
        right -= int(draw.textlength(name, font)) + 4
        draw.line((right - 18, TOP // 2, right, TOP // 2), color, 2)
        right -= 30
    _write_title(draw, title, right - GAP)
    with replacing(path) as partial:
        picture.save(partial, format="png")


def panel_of(brightness: np.ndarray, outlined: dict[str, tuple[np.ndarray, float]]) -> Image.Image:
    """A slice, as large as its place, with outlines.

    Args:
        brightness: (columns, rows), 0 for black to 1 for white; shown from right to left and from below.
        outlined: By name of the color, what is outlined, (columns, rows) float32, and where on its way up.
    """
    scale = min(PANEL[0] / brightness.shape[0], PANEL[1] / brightness.shape[1])
    size = (max(round(scale * brightness.shape[0]), 1), max(round(scale * brightness.shape[1]), 1))

    def enlarged(array: np.ndarray) -> np.ndarray:
        upright = np.ascontiguousarray(array.T[::-1, ::-1], np.float32)
        return np.asarray(Image.fromarray(upright).resize(size, Image.Resampling.BILINEAR))

    gray = (enlarged(brightness).clip(0, 1) * 255).astype(np.uint8)
    pixels = np.repeat(gray[..., None], 3, axis=2)
    for name, (array, level) in outlined.items():
        inside = enlarged(array) >= level
        # The end of the slice is no border of what is inside.
        border = inside & ~eroded(np.pad(inside, 1, mode="edge")[None].repeat(3, axis=0), 1)[1, 1:-1, 1:-1]
        pixels[border] = tuple(bytes.fromhex(COLORS[name][1:]))
    return Image.fromarray(pixels)


def slice_of(volume: np.ndarray, axis: int, index: int | slice) -> np.ndarray:
    """A view of a slice, or of several: `numpy.take` copies the volume where its axes are in another order."""
    cut: np.ndarray = np.moveaxis(volume, axis, 0)[index]
    return cut


def smooth_slice(volume: np.ndarray, axis: int, index: int) -> np.ndarray:
    """A slice of a volume that is smoothed along all axes."""
    reach = int(4 * SMOOTHING + 0.5)  # of scipy's filter
    low = max(index - reach, 0)
    smooth: np.ndarray = ndimage.gaussian_filter(
        slice_of(volume, axis, slice(low, index + reach + 1)), SMOOTHING
    )
    middle: np.ndarray = smooth[index - low]
    return middle


def _write_title(draw: ImageDraw.ImageDraw, title: str, width: int) -> None:
    """Write the title in the largest letters that fit."""
    for height in range(TITLE, SMALLEST_TITLE - 1, -1):
        font = ImageFont.load_default(height)
        if draw.textlength(title, font) <= width:
            break
    draw.text((2 * GAP, TOP // 2), title, "white", font, anchor="lm")
