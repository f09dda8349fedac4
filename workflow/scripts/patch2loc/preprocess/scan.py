"""One raw scan to the common grid, and maps on the grid back to the scan (paper, section 4)."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
import SimpleITK as sitk

from patch2loc.data import volumes
from patch2loc.data.content import content_hash
from patch2loc.data.modalities import Modality
from patch2loc.data.scans import Scan, check_contrast, intensity_percentiles
from patch2loc.data.volumes import Grid
from patch2loc.errors import InputError
from patch2loc.files import replacing, replacing_folder, write_json
from patch2loc.preprocess import picture, quality
from patch2loc.preprocess.atlas import Atlas
from patch2loc.preprocess.background import from_zero, zero_flags
from patch2loc.preprocess.bias import BIAS_FIELDS, BiasField, correct_bias
from patch2loc.preprocess.brain_mask import SKULL_STRIP, brain_mask, holes_of, stop_if_missing_inside
from patch2loc.preprocess.coverage import dice
from patch2loc.preprocess.images import (
    itk_errors,
    one_thread,
    read_mask_of,
    read_scan,
    resample,
    resample_like,
)
from patch2loc.preprocess.lesions import (
    DrawnLesion,
    carry_lesion,
    drawn_flags,
    lesion_flags,
    read_lesion,
    share_of_brain,
)
from patch2loc.preprocess.memory import memory_errors
from patch2loc.preprocess.modality import check_modality, stop_if_other_modality
from patch2loc.preprocess.plausibility import check_image, stop_if_label_map
from patch2loc.preprocess.register import REGISTRATIONS, Registration, in_whole_voxels, register
from patch2loc.preprocess.released_code import (
    BRAIN_MASKS,
    CROPS,
    SMOOTHINGS,
    TEMPLATES,
    BrainMask,
    Crop,
    Smoothing,
    Template,
    curvature_flow,
    grid_around_brain,
    mask_on_grid,
    template,
)


class Settings(TypedDict):
    """Settings of preprocessing."""

    # given: the mask that comes with the scan; none: the scan is stripped, and the brain is what is above 0; atlas: no
    # trained weights; auto: none for a stripped scan, else atlas; hd-bet, synthstrip: programs, to be installed.
    skull_strip: str
    # none: the scan is in atlas space; translation: it was registered before, but its array was moved or cut since
    registration: Registration
    bias_correction: bool
    bias_field: BiasField
    template: Template
    crop: Crop
    brain_mask: BrainMask
    smoothing: Smoothing


DEFAULTS: Settings = {
    "skull_strip": "given",
    "registration": "affine",
    "bias_correction": True,
    "bias_field": "coarse",
    "template": "same-contrast",
    "crop": "atlas",
    "brain_mask": "half",
    "smoothing": "none",
}
CHOICES: dict[str, tuple[str | bool, ...]] = {
    "skull_strip": SKULL_STRIP,
    "registration": REGISTRATIONS,
    "bias_correction": (True, False),
    "bias_field": BIAS_FIELDS,
    "template": TEMPLATES,
    "crop": CROPS,
    "brain_mask": BRAIN_MASKS,
    "smoothing": SMOOTHINGS,
}


@dataclass(frozen=True)
class Preprocessed:
    """A scan on the common grid.

    Attributes:
        modality: Modality of the scan.
        volume: The scan, (x, y, z) float32, bias-corrected, 0 outside the mask.
        mask: The brain, (x, y, z) bool.
        lesion: The voxels that lesion fills half of, (x, y, z) bool.
        lesion_any: The voxels that lesion fills any of, (x, y, z) bool.
        transform: Maps atlas to scan points, LPS mm.
        qc: Settings, numbers and flags, as qc.json holds them.
        grid: Of the arrays.
        unmasked: The volume with what is around the brain, for the picture.
        atlas_on_grid: Image of the atlas, for the picture.
    """

    modality: Modality
    volume: np.ndarray
    mask: np.ndarray
    lesion: np.ndarray
    lesion_any: np.ndarray
    transform: sitk.AffineTransform
    qc: dict[str, Any]
    grid: Grid
    unmasked: np.ndarray
    atlas_on_grid: np.ndarray


def preprocess_scan(
    scan_path: Path,
    modality: Modality,
    atlas: Atlas,
    grid: Grid,
    *,
    brain_path: Path | None = None,
    lesion_path: Path | None = None,
    lesion_labels: Sequence[int] | None = None,
    interpolated_masks: bool = False,
    acquired_path: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> Preprocessed:
    """Skull-strip a scan, register it, resample it once to the grid, correct its bias field, and measure its quality.

    Deterministic but for HD-BET and SynthStrip: the same input gives the same numbers, on any number of cores.

    Args:
        scan_path: Raw NIfTI of any orientation, voxel size and pose; its affine is believed.
        modality: Modality of the scan.
        atlas: Of the contrast that `released_code.template` names.
        grid: The common grid. With the setting `crop: brain` it is moved to the scan's own brain.
        brain_path: Brain mask on the scan's voxels, if there is one. With `skull_strip` other than "given" it is only
            the truth that the mask is compared with.
        lesion_path: Lesion mask on the scan's voxels, if there is one.
        lesion_labels: The labels of a label map that are lesion; None for all above 0.
        interpolated_masks: The masks were carried to the scan's voxels by interpolation and hold shares of these.
        acquired_path: For a lesion simulated in a real scan, that scan, whose content is recorded besides.
        settings: Any of the keys of `Settings`; DEFAULTS for the others.
        device: Where HD-BET and SynthStrip run: "auto", "cpu" or "cuda".

    Raises:
        InputError: The scan is unreadable, empty or not finite in the brain, has a bad affine, a mask on another grid
            or that cannot be one, or no brain; its registration failed; it is a label map, or certainly of another
            modality; or a setting is unknown.
        ResourceError: A file must not be read, or there is too little memory; the scan may be sound.
    """
    validated = validated_settings(settings or {})
    with memory_errors(scan_path):
        stored, affine = read_scan(Path(scan_path))
        missing = np.isnan(stored)
        stored[missing] = 0
        array, shift = from_zero(stored)
        stop_if_label_map(array, Path(scan_path))
        given_mask = None
        if brain_path:
            given_mask = read_mask_of(
                Path(brain_path), scan_path, array, affine, interpolated=interpolated_masks
            )
        nothing = np.zeros(array.shape, bool)
        drawn = DrawnLesion(nothing, nothing, [])
        if lesion_path:
            drawn = read_lesion(
                Path(lesion_path),
                scan_path,
                array,
                affine,
                labels=lesion_labels,
                interpolated_mask=interpolated_masks,
            )
    stored_affine = affine
    with one_thread(), itk_errors(Path(scan_path)):
        brain, start, brain_found = brain_mask(
            scan_path,
            array,
            affine,
            method=validated["skull_strip"],
            given_mask=given_mask,
            atlas=atlas,
            device=device,
        )
        stop_if_missing_inside(missing, brain, Path(scan_path))
        holes, hole_flags = holes_of(brain, validated["skull_strip"])
        lesion_share = share_of_brain(drawn.mask, brain, lesion_path, scan_path) if lesion_path else 0.0
        transform, mutual_information = register(
            array, brain, affine, atlas, kind=validated["registration"], start=start
        )
        if validated["registration"] == "translation":
            transform, affine = in_whole_voxels(transform, affine, grid)
        if validated["crop"] == "brain":
            grid = grid_around_brain(grid, brain, affine, atlas=atlas, transform=transform)
        # A dilated mask would show what is around the brain.
        shown = np.where(brain, array, 0) if validated["brain_mask"] == "any" else array
        unmasked = np.maximum(resample(shown, affine, grid, transform), 0)
        mask = mask_on_grid(brain, affine, grid, transform, validated["brain_mask"])
        if not mask.any():
            raise InputError(
                f"{scan_path}: no brain on the grid after registration, brain expected; check the scan "
                "and its mask"
            )
        lesion, lesion_any, lesion_report = carry_lesion(
            drawn.mask, affine, grid, transform=transform, mask=mask, touched=drawn.touched
        )
        log_field = np.zeros(grid.shape, np.float32)
        if validated["bias_correction"]:
            unmasked, log_field = correct_bias(
                unmasked, mask, grid.affine, resolution=validated["bias_field"]
            )
        atlas_on_grid = resample(atlas.image, atlas.affine, grid, sitk.AffineTransform(3))
        measurements = quality.measure(
            brain,
            affine,
            volume=unmasked,
            mask=mask,
            log_field=log_field,
            grid=grid,
            atlas=atlas,
            atlas_on_grid=atlas_on_grid,
            transform=transform,
            mutual_information=mutual_information,
        )
        quality.stop_if_registration_failed(measurements, scan_path, validated["registration"])
        if validated["registration"] == "none":
            quality.flag_offset(measurements, quality.offset_from_atlas(array, brain, affine, atlas))
        if validated["registration"] in ("none", "translation"):
            quality.stop_if_turned(unmasked, mask, atlas_on_grid, grid, scan_path=scan_path)
    percentiles = intensity_percentiles(unmasked[mask])
    check_contrast(percentiles, scan_path)
    modality_check, modality_flags = check_modality(
        unmasked,
        mask,
        modality=modality,
        atlas_on_grid=atlas_on_grid,
        atlas_contrast=template(modality, validated["template"]),
        grid=grid,
    )
    stop_if_other_modality(modality_check, modality, Path(scan_path))
    image_check, image_flags = check_image(
        array, affine, brain, volume=unmasked, mask=mask, spacing=grid.spacing, modality=modality
    )
    measurements["flags"] += zero_flags(shift, stored, brain) + hole_flags + modality_flags + image_flags
    measurements["flags"] += lesion_flags(lesion_report)
    measurements["flags"] += drawn_flags(drawn.labels, lesion_labels, lesion_share)
    if given_mask is not None and validated["skull_strip"] != "given":
        measurements["brain_dice_with_truth"] = round(dice(brain, given_mask), 4)
    qc = {
        "modality": modality,
        "content": content_hash(stored, stored_affine),
        **({"acquired_content": content_hash(*volumes.read(acquired_path))} if acquired_path else {}),
        "atlas": atlas.name,
        **validated,
        "brain_found": brain_found,
        **measurements,
        **holes,
        **modality_check,
        **image_check,
        "brightness_shift": shift,
        "lesion": {**lesion_report, "brain_share": round(lesion_share, 4), "labels": drawn.labels},
    }
    volume = np.where(mask, unmasked, 0).astype(np.float32)
    if validated["smoothing"] == "curvature-flow":
        with one_thread():
            volume = curvature_flow(volume, mask, grid.affine)
        percentiles = intensity_percentiles(volume[mask])
    return Preprocessed(
        modality=modality,
        volume=volume,
        mask=mask,
        lesion=lesion,
        lesion_any=lesion_any,
        transform=transform,
        qc={**qc, "intensity_percentiles": percentiles},
        grid=grid,
        unmasked=unmasked,
        atlas_on_grid=atlas_on_grid,
    )


def write_preprocessed(folder: str | Path, result: Preprocessed) -> None:
    """Write the folder of a scan (`data.scans.Scan`), which appears as a whole and replaces an older one."""
    affine = result.grid.affine
    with replacing_folder(folder) as partial:
        scan = Scan("", partial, result.modality)
        volumes.write(scan.volume_path, result.volume, affine)
        volumes.write(scan.mask_path, result.mask, affine)
        volumes.write(scan.lesion_path, result.lesion, affine)
        volumes.write(scan.lesion_any_path, result.lesion_any, affine)
        write_transform(scan.transform_path, result.transform)
        write_json(scan.qc_path, result.qc)
        count = len(result.qc["flags"])
        title = f"{result.modality}, {result.qc['atlas']}" + (
            f": {count} flag{'s' * (count > 1)}, see qc.json" if count else ""
        )
        picture.write_picture(
            scan.picture_path,
            result.unmasked,
            mask=result.mask,
            lesion=result.lesion,
            atlas_on_grid=result.atlas_on_grid,
            title=title,
        )


def write_left_out(folder: str | Path, modality: Modality, reason: str) -> None:
    """Write the folder of a scan that could not be preprocessed: it holds nothing but qc.json, with the reason."""
    with replacing_folder(folder) as partial:
        write_json(
            Scan("", partial, modality).qc_path, {"modality": modality, "left_out": reason, "flags": [reason]}
        )


def write_transform(path: str | Path, transform: sitk.AffineTransform) -> None:
    """Write a transform in ITK's text form, whole or not at all."""
    with replacing(path) as partial, _name_for_itk() as plain_path:
        sitk.WriteTransform(transform, str(plain_path))
        shutil.copyfile(plain_path, partial)


def read_transform(path: str | Path) -> sitk.AffineTransform:
    """Read a transform written by `write_transform`.

    Raises:
        InputError: The file holds no affine transform.
    """
    with _name_for_itk() as plain_path:
        shutil.copyfile(path, plain_path)
        try:
            return sitk.AffineTransform(sitk.ReadTransform(str(plain_path)))
        except RuntimeError as error:
            raise InputError(f"{path}: not a readable affine transform; preprocess the scan again") from error


@contextmanager
def _name_for_itk() -> Iterator[Path]:
    """Yield the path of a temporary transform: SimpleITK ends the process at a name that is not UTF-8."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder, "transform.tfm")


def to_native_space(
    map_on_grid: np.ndarray, grid: Grid, transform: sitk.AffineTransform, scan_path: Path
) -> np.ndarray:
    """Carry a map on the grid, such as a heatmap, to the voxels of the raw scan.

    One linear interpolation among the defined voxels; NaN where less than half the weight is defined.

    Args:
        map_on_grid: (x, y, z), NaN where it is undefined.
        grid: The common grid.
        transform: The one that brought the scan to the grid: atlas to scan points.
        scan_path: The raw scan.

    Returns:
        (x, y, z) float32 on the scan's voxels as stored.
    """
    array, affine = read_scan(Path(scan_path))
    defined = np.isfinite(map_on_grid)
    filled = np.where(defined, map_on_grid, 0)
    inverse = transform.GetInverse()
    with one_thread(), itk_errors(Path(scan_path)):
        total, weight = (
            resample_like(part, grid.affine, inverse, shape=array.shape, target_affine=affine)
            for part in (filled, defined)
        )
    return np.where(weight >= 0.5, total / np.maximum(weight, 0.5), np.nan).astype(np.float32)


def validated_settings(settings: Mapping[str, Any]) -> Settings:
    """Check settings, and fill in the defaults.

    Raises:
        InputError: A name or value is unknown.
    """
    for name, value in settings.items():
        if name not in CHOICES:
            raise InputError(
                f"preprocess setting {name!r} found, one of {', '.join(CHOICES)} expected; correct the config"
            )
        if value not in CHOICES[name]:
            raise InputError(
                f"preprocess {name}: {value!r} found, one of {CHOICES[name]} expected; correct the config"
            )
    return cast(Settings, {**DEFAULTS, **settings})
