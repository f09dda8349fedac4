"""One raw scan to the common grid, and maps on the grid back to the scan (paper, section 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from patch2loc.data import volumes
from patch2loc.data.scans import Scan, check_contrast
from patch2loc.data.volumes import Grid
from patch2loc.errors import InputError
from patch2loc.files import replacing, replacing_folder, write_json
from patch2loc.preprocess import quality
from patch2loc.preprocess.atlas import Atlas
from patch2loc.preprocess.bias import correct_bias
from patch2loc.preprocess.brain_mask import SKULL_STRIP, brain_mask
from patch2loc.preprocess.images import (
    itk_errors,
    one_thread,
    read_lesion_of,
    read_mask_of,
    read_scan,
    resample,
    resample_like,
)
from patch2loc.preprocess.lesions import carry_lesion, lesion_flags
from patch2loc.preprocess.register import register
from patch2loc.preprocess.released_code import PROTOCOLS, curvature_flow

DEFAULTS = {
    "skull_strip": "given",
    "registration": "affine",
    "bias_correction": True,
    "protocol": "paper",
}
CHOICES = {
    "skull_strip": SKULL_STRIP,
    "registration": ("affine", "rigid", "none"),
    "bias_correction": (True, False),
    "protocol": PROTOCOLS,
}


@dataclass(frozen=True)
class Preprocessed:
    """A scan on the grid.

    volume: (x, y, z) float32, bias-corrected, 0 outside the mask.  mask, lesion: (x, y, z) bool.
    transform: from atlas to scan points, LPS mm.  qc: numbers and flags.  grid: of the arrays.
    unmasked: the volume with what is around the brain, and atlas: the atlas image on the grid, for the
    picture.
    """

    modality: str
    volume: np.ndarray
    mask: np.ndarray
    lesion: np.ndarray
    transform: sitk.AffineTransform
    qc: dict
    grid: Grid
    unmasked: np.ndarray
    atlas: np.ndarray


def preprocess_scan(
    scan: Path,
    modality: str,
    atlas: Atlas,
    grid: Grid,
    brain: Path | None = None,
    lesion: Path | None = None,
    settings: dict | None = None,
    lesion_labels: Sequence[int] | None = None,
    device: str = "cpu",
) -> Preprocessed:
    """Skull-strip, register, resample once to `grid`, correct the bias field, and measure.

    scan: raw NIfTI of any orientation, voxel size and pose; its affine is believed.  atlas: of the contrast
    that `template` names.
    brain, lesion: masks on the scan's voxels, where there are any.  lesion_labels: the labels of a label map
    that are lesion; None for all above 0.
    settings: skull_strip "given" (use `brain`), "none" (the scan is stripped: brain is what is above 0), "atlas" (no
    trained weights), "hd-bet" or "synthstrip" (programs that have to be installed; with these and "atlas", `brain`
    is only the truth that the mask is compared with); registration "affine", "rigid", or "none" for scans that are
    in atlas space; bias_correction true or false; protocol "paper" or "released-code". What is left
    out is as in DEFAULTS.
    device: where HD-BET and SynthStrip run: auto, cpu or cuda.
    Deterministic, but for those two: the same input gives the same numbers, on any number of cores.
    Raises InputError for an unreadable, empty or non-finite scan, a bad affine, a mask on another grid, no brain,
    a registration that failed, or a setting that is not one of these.
    """
    chosen = checked(settings or {})
    array, affine = read_scan(Path(scan))
    given = read_mask_of(Path(brain), scan, array.shape, affine) if brain else None
    drawn = np.zeros(array.shape, bool)
    if lesion:
        drawn = read_lesion_of(Path(lesion), scan, array.shape, affine, lesion_labels)
    with one_thread(), itk_errors(Path(scan)):
        found, start = brain_mask(scan, array, affine, given, atlas, chosen["skull_strip"], device)
        transform, value = register(array, found, affine, atlas, chosen["registration"], start)
        unmasked = np.maximum(resample(array, affine, grid, transform), 0)
        mask = resample(found, affine, grid, transform) >= 0.5
        if not mask.any():
            raise InputError(
                f"{scan}: no brain on the grid after registration, brain expected; check the scan "
                "and its mask"
            )
        carried, report = carry_lesion(drawn, affine, grid, transform, mask)
        field = np.zeros(grid.shape, np.float32)
        if chosen["bias_correction"]:
            unmasked, field = correct_bias(unmasked, mask, grid.affine)
        outline = resample(atlas.image, atlas.affine, grid, sitk.AffineTransform(3))
        numbers = quality.measure(
            found, affine, unmasked, mask, grid, atlas, outline, transform, value, field
        )
        quality.stop_if_registration_failed(numbers, scan)
    numbers["flags"] += lesion_flags(report)
    if given is not None and chosen["skull_strip"] != "given":
        numbers["brain_dice_with_truth"] = round(quality.dice(found, given), 4)
    check_contrast(unmasked[mask], scan)
    qc = {"modality": modality, "atlas": atlas.name, **chosen, **numbers, "lesion": report}
    volume = np.where(mask, unmasked, 0).astype(np.float32)
    if chosen["protocol"] == "released-code":
        with one_thread():
            volume = curvature_flow(volume, mask, grid.affine)
    return Preprocessed(modality, volume, mask, carried, transform, qc, grid, unmasked, outline)


def write_preprocessed(folder: str | Path, result: Preprocessed) -> None:
    """Write the folder of a scan, the files of `data.scans.Scan`: it appears whole and replaces an older one."""
    affine = result.grid.affine
    with replacing_folder(folder) as partial:
        scan = Scan("", partial, result.modality)
        volumes.write(scan.volume, result.volume, affine)
        volumes.write(scan.mask, result.mask, affine)
        volumes.write(scan.lesion, result.lesion, affine)
        write_transform(scan.transform, result.transform)
        write_json(scan.qc, result.qc)
        count = len(result.qc["flags"])
        title = f"{result.modality}, {result.qc['atlas']}" + (
            f": {count} flag{'s' * (count > 1)}, see qc.json" if count else ""
        )
        shown = (result.unmasked, result.mask, result.lesion, result.atlas)
        quality.picture(scan.picture, *shown, title)


def write_left_out(folder: str | Path, modality: str, reason: str) -> None:
    """Write the folder of a scan that could not be preprocessed: qc.json says why, and nothing else is there."""
    with replacing_folder(folder) as partial:
        write_json(
            Scan("", partial, modality).qc, {"modality": modality, "left_out": reason, "flags": [reason]}
        )


def write_transform(path: str | Path, transform: sitk.AffineTransform) -> None:
    """Write a transform in ITK's text form, whole or not at all."""
    with replacing(path) as partial:
        sitk.WriteTransform(transform, str(partial))


def read_transform(path: str | Path) -> sitk.AffineTransform:
    """Read a transform written by `write_transform`. Raises InputError when it is none."""
    try:
        return sitk.AffineTransform(sitk.ReadTransform(str(path)))
    except RuntimeError as error:
        raise InputError(f"{path}: not a readable affine transform; preprocess the scan again") from error


def to_native_space(
    map_on_grid: np.ndarray, grid: Grid, transform: sitk.AffineTransform, scan: Path
) -> np.ndarray:
    """Carry a map on the grid, such as a heatmap, to the raw scan: float32 on its voxels as stored.

    map_on_grid: (x, y, z), NaN where it is undefined.  transform: the one the scan was brought to the grid
    with. One linear interpolation among the defined voxels; NaN where less than half the weight is defined.
    """
    array, affine = read_scan(Path(scan))
    defined = np.isfinite(map_on_grid)
    back = transform.GetInverse()
    with one_thread():
        total = resample_like(np.where(defined, map_on_grid, 0), grid.affine, array.shape, affine, back)
        weight = resample_like(defined, grid.affine, array.shape, affine, back)
    return np.where(weight >= 0.5, total / np.maximum(weight, 0.5), np.nan).astype(np.float32)


def checked(settings: dict) -> dict:
    """Settings with defaults filled in. Raises InputError for an unknown name or value."""
    for name, value in settings.items():
        if name not in CHOICES:
            raise InputError(
                f"preprocess setting {name!r} found, one of {', '.join(CHOICES)} expected; correct the config"
            )
        if value not in CHOICES[name]:
            raise InputError(
                f"preprocess {name}: {value!r} found, one of {CHOICES[name]} expected; correct the config"
            )
    return DEFAULTS | settings
