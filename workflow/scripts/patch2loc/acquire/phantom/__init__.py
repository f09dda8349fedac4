"""Simulated cohort: raw T1 and T2 head scans with known lesions, from nilearn's ICBM152 maps, no download.

Nothing here is a measurement of a person; everything made from it is to be labeled "simulated".
"""

from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from patch2loc import files
from patch2loc.acquire.phantom import anatomy, contrast, lesions, scanner
from patch2loc.acquire.phantom.contrast import MODALITIES
from patch2loc.acquire.phantom.lesions import COHORTS
from patch2loc.acquire.phantom.scanner import Scan
from patch2loc.data import volumes
from patch2loc.errors import InputError

__all__ = ["COHORTS", "MODALITIES", "Scan", "simulate_subject", "subject_files", "write_subject"]

# Random streams were first drawn by another spelling of a cohort: kept, so that its subjects stay the same.
STREAMS = {"tumor": "tumour"}
_SETTINGS = {"anatomy_spacing", "voxel_size", "noise"}


def simulate_subject(cohort: str, index: int, seed: int, settings: dict[str, Any]) -> dict[str, Scan]:
    """Simulate one subject: {"T1": Scan, "T2": Scan}, each with its own pose, grid and truth.

    cohort: one of COHORTS.  index: number of the subject in it.  The subject depends on (seed, cohort, index)
    and the settings alone.  settings: anatomy_spacing (mm: grid on which the head is built; 1 to 4),
    voxel_size (mm: two in the plane, slice thickness), noise (standard deviation over white matter).
    Raises InputError for an unknown cohort or impossible settings.
    """
    _check(cohort, settings)
    spacing = float(settings["anatomy_spacing"])
    sources = np.random.default_rng([seed, crc32(STREAMS.get(cohort, cohort).encode()), index]).spawn(4)
    body, disease, *scans = sources
    template = anatomy.load_template(spacing)
    points = anatomy.deform(body, template)
    mass = None
    if cohort == "tumor":
        mass = lesions.draw_mass(disease, template, points)
        points = lesions.displace(mass, points, anatomy.sample_depth(template, points))
    head = anatomy.build_anatomy(body, template, points, spacing)
    tissues = contrast.draw_contrast(body)
    images = contrast.render(body, head, tissues)
    lesion = lesions.grow(disease, cohort, head, tissues, mass)
    for membership, values in lesion.compartments:
        contrast.paint(images, membership, values)
    contrast.add_texture(body, head, images)
    return {
        modality: scanner.acquire(
            rng,
            modality,
            image,
            lesion.membership,
            head.brain,
            head.axes,
            tuple(settings["voxel_size"]),
            float(settings["noise"]),
        )
        for modality, image, rng in zip(MODALITIES, images, scans, strict=True)
    }


def subject_files() -> list[str]:
    """Names of the files in a simulated subject's folder; the last one is written last."""
    names = [f"{modality}{suffix}.nii.gz" for modality in MODALITIES for suffix in ("", "_lesion", "_brain")]
    return [*names, "simulated.json"]


def write_subject(folder: Path, cohort: str, index: int, seed: int, settings: dict[str, Any]) -> None:
    """Simulate one subject into `folder`: {modality}.nii.gz, {modality}_lesion.nii.gz and _brain.nii.gz.

    simulated.json, written last, tells cohort, index, seed and settings.
    """
    folder = Path(folder)
    for modality, scan in simulate_subject(cohort, index, seed, settings).items():
        volumes.write(folder / f"{modality}.nii.gz", scan.array, scan.affine)
        volumes.write(folder / f"{modality}_lesion.nii.gz", scan.lesion, scan.affine)
        volumes.write(folder / f"{modality}_brain.nii.gz", scan.brain, scan.affine)
    files.write_json(folder / "simulated.json", record(cohort, index, seed, settings))


def record(cohort: str, index: int, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """What determines a simulated subject, as simulated.json holds it."""
    return {
        "simulated": True,
        "cohort": cohort,
        "index": int(index),
        "seed": int(seed),
        "anatomy_spacing": float(settings["anatomy_spacing"]),
        "voxel_size": [float(size) for size in settings["voxel_size"]],
        "noise": float(settings["noise"]),
    }


def _check(cohort: str, settings: dict[str, Any]) -> None:
    if cohort not in COHORTS:
        raise InputError(f"simulated cohort {cohort!r} found, one of {', '.join(COHORTS)} expected")
    if set(settings) != _SETTINGS:
        raise InputError(
            f"settings {sorted(settings)} of the simulated cohort found, {sorted(_SETTINGS)} expected"
        )
    sizes = list(settings["voxel_size"])
    if (
        len(sizes) != 3
        or min(sizes) <= 0
        or not 1 <= settings["anatomy_spacing"] <= 4
        or settings["noise"] < 0
    ):
        raise InputError(
            f"settings {settings} of the simulated cohort found; expected: voxel_size three positive mm, "
            "anatomy_spacing 1 to 4 mm, noise 0 or more; correct the config"
        )
