"""Simulated cohort: raw head scans of each modality with known lesions, from nilearn's ICBM152 maps, no download.

Nothing here was measured in a person; everything made from it has to be labeled "simulated".
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, TypedDict
from zlib import crc32

import numpy as np

from patch2loc import files
from patch2loc.acquire.phantom import anatomy, contrast, lesions, scanner, template
from patch2loc.acquire.phantom.lesions import COHORTS
from patch2loc.acquire.phantom.scanner import SimulatedScan
from patch2loc.data import volumes
from patch2loc.data.modalities import MODALITIES, SIMULATED_TOGETHER, Modality
from patch2loc.errors import InputError

__all__ = [
    "COHORTS",
    "Settings",
    "SimulatedScan",
    "simulate_subject",
    "subject_files",
    "write_subject",
]

# Random streams were first drawn by another spelling of a cohort, which is kept, so that its subjects stay the same.
STREAMS = {"tumor": "tumour"}


class Settings(TypedDict):
    """Settings of a simulated cohort."""

    anatomy_spacing: float  # mm, 1 to 4: grid on which the head is built
    voxel_size: Sequence[float]  # mm: two edges in the plane, and the slice thickness
    noise: float  # standard deviation over white matter


def simulate_subject(
    cohort: str,
    index: int,
    seed: int,
    settings: Settings,
    modalities: Collection[Modality] = tuple(MODALITIES),
) -> dict[Modality, SimulatedScan]:
    """Simulate one subject, which depends on (seed, cohort, index) and the settings alone.

    Args:
        cohort: One of COHORTS.
        index: Number of the subject in it.
        seed: Seed of the cohort.
        settings: All of the keys of `Settings`.
        modalities: Modalities to simulate; those of SIMULATED_TOGETHER are always simulated.

    Returns:
        A scan of each modality, with its own pose, grid and truth.

    Raises:
        InputError: The cohort is unknown, or the settings are impossible.
    """
    _check(cohort, settings)
    spacing = float(settings["anatomy_spacing"])
    root = np.random.default_rng([seed, crc32(STREAMS.get(cohort, cohort).encode()), index])
    body, disease, *scans = root.spawn(2 + len(MODALITIES))
    scanners = {
        modality: rng
        for modality, rng in zip(MODALITIES, scans, strict=True)
        if modality in (*SIMULATED_TOGETHER, *modalities)
    }
    streams = {
        modality: body if modality in SIMULATED_TOGETHER else rng for modality, rng in scanners.items()
    }
    icbm152 = template.load_template(spacing)
    points = anatomy.deform(body, icbm152)
    mass = None
    if cohort == "tumor":
        mass = lesions.draw_mass(disease, icbm152, points)
        points = lesions.displace(mass, points, template.sample_depth(icbm152, points))
    head = anatomy.build_anatomy(body, icbm152, points, spacing)
    tissues = contrast.draw_contrast(streams)
    images = contrast.render(body, head, tissues)
    lesion = lesions.grow(disease, cohort, head, contrast=tissues, mass=mass)
    for membership, values in lesion.compartments:
        contrast.paint(images, membership, values)
    contrast.add_texture(body, streams, head, images)
    return {
        modality: scanner.acquire(
            scanners[modality],
            image,
            mean_white=contrast.CONTRASTS[modality].white,
            lesion=lesion.membership,
            brain=head.brain,
            axes=head.axes,
            voxel_size=tuple(settings["voxel_size"]),
            noise=float(settings["noise"]),
        )
        for modality, image in images.items()
    }


def subject_files() -> list[str]:
    """Names of the files in a simulated subject's folder; the last one is written last."""
    names = [f"{modality}{suffix}.nii.gz" for modality in MODALITIES for suffix in ("", "_lesion", "_brain")]
    return [*names, "simulated.json"]


def write_subject(
    folder: Path,
    cohort: str,
    index: int,
    *,
    seed: int,
    settings: Settings,
    modalities: Collection[Modality] = tuple(MODALITIES),
) -> None:
    """Simulate one subject into a folder: {modality}.nii.gz, {modality}_lesion.nii.gz and _brain.nii.gz.

    simulated.json, written last, tells cohort, index, seed and settings. Arguments and errors are those of
    `simulate_subject`.
    """
    folder = Path(folder)
    for modality, scan in simulate_subject(cohort, index, seed, settings, modalities).items():
        volumes.write(folder / f"{modality}.nii.gz", scan.array, scan.affine)
        volumes.write(folder / f"{modality}_lesion.nii.gz", scan.lesion, scan.affine)
        volumes.write(folder / f"{modality}_brain.nii.gz", scan.brain, scan.affine)
    files.write_json(folder / "simulated.json", record(cohort, index, seed, settings))


def record(cohort: str, index: int, seed: int, settings: Settings) -> dict[str, Any]:
    """All that determines a simulated subject, as simulated.json holds it."""
    return {
        "simulated": True,
        "cohort": cohort,
        "index": int(index),
        "seed": int(seed),
        "anatomy_spacing": float(settings["anatomy_spacing"]),
        "voxel_size": [float(size) for size in settings["voxel_size"]],
        "noise": float(settings["noise"]),
    }


def _check(cohort: str, settings: Settings) -> None:
    if cohort not in COHORTS:
        raise InputError(f"simulated cohort {cohort!r} found, one of {', '.join(COHORTS)} expected")
    expected = set(Settings.__annotations__)
    if set(settings) != expected:
        raise InputError(
            f"settings {sorted(settings)} of the simulated cohort found, {sorted(expected)} expected"
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
