"""What makes an answer about a scan doubtful: each reason a function that returns a warning, or None."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from patch2loc.own_scan.answer import LikelyError, ScanWarning, scan_warning
from patch2loc.preprocess.modality import DOUBTFUL, SCANS, Contrast
from patch2loc.preprocess.version import PREPROCESSING_VERSION
from patch2loc.score.reference import Cohort, HealthyReference, ScanMaps

SIMULATED = "simulated"  # name of that warning
# Times the median of the healthy scans: one of them beyond it is an outlier, and no measure of others.
OF_MEDIAN = 1.5
# Times the greatest of them: of n healthy scans one more in n + 1 lies beyond it, and hardly ever by a tenth.
OF_GREATEST = 1.1
# Times the median location error of the healthy scans, in the best located eighth of the brain: at most 1.1 in healthy
# scans, 1.6 at least in FLAIR, with contrast agent, strong motion and wrong poses (docs/explanation/detector.md).
FAR_OFF = 1.5
NOT_JUDGED = "cannot_be_judged"  # name of that warning
# The largest edges of usual volume scans are up to a third apart: 1.0 mm in ds002748, 1.2 in IXI, 1.33 in ds000011. A
# voxel half as long again as any of the training is a blur that the model has not seen.
RESOLUTION_FACTOR = 1.5
ROUNDING_MM = 0.01
# Names of subjects that few datasets share, as IXI012-HH-1211; every BIDS dataset has a sub-01.
OWN_NAME = re.compile(r"(?!sub-).{8,}")
# Of 141 healthy brains of three scanners at most 0.0008 lay beyond a grid that holds the atlas's brain.
OUTSIDE_GRID = 0.01
# 95 % is the least percentile that an answer speaks of, and one in twenty is the finest that twenty scans can tell.
FEWEST_HEALTHY = 20
# Errors that flags of quality control make likely, by words in them; the others both.
LIKELY_ERRORS: dict[str, LikelyError] = {
    "bias field varies": "false candidates",
    "brightest voxel": "false candidates",
    "ghost of": "false candidates",
    "stripes: ": "false candidates",
    "pores of a voxel": "false candidates",
    "gray levels in": "missed lesions",
    "at the highest brightness": "missed lesions",
}


def of_model(model: Mapping[str, Any], content: str, scan: Path) -> list[ScanWarning]:
    """Warnings that follow from a model, whatever it makes of a scan.

    Args:
        model: From `load_model`.
        content: Hash of the scan's content (`data.content`).
        scan: File or folder of the scan.
    """
    cohort = model.get("reference", {}).get("cohort", {})
    simulated = bool(model.get("simulated") or cohort.get("simulated"))
    contents = model.get("contents", {})
    found = (
        trained_on_simulated(simulated),
        trained_on_scan(contents, content) or trained_on_name(contents, scan),
        other_preprocessing(model.get("preprocess_version")),
    )
    return [warning for warning in found if warning]


def of_scan(
    reference: HealthyReference,
    qc: Mapping[str, Any],
    maps: ScanMaps,
    age: float | None,
    *,
    contrast_agent: bool = False,
) -> list[ScanWarning]:
    """Warnings that follow from a scan and the healthy scans that it is compared with.

    Args:
        reference: Healthy reference of the model.
        qc: Quality control of the preprocessed scan.
        maps: What the detector makes of the scan.
        age: Age of the person, years; None if unknown.
        contrast_agent: True if the scan's name or header names one.
    """
    healthy = reference.values("location_error")
    strange = hard_to_locate(maps.location_error, healthy)
    contrast = doubtful_contrast(qc["modality_log_odds"], qc["looks_like"], qc["modality"])
    found = (
        not_recognized(maps.best_eighth_error, healthy, contrast_in_doubt=bool(strange and contrast)),
        strange,
        contrast,
        coarse(qc["voxel_mm"], reference.cohort.largest_voxel_mm),
        other_age(age, reference.cohort),
        with_contrast_agent(contrast_agent),
        off_the_grid(qc["brain_outside_grid"]),
        few_healthy(len(reference.scans)),
    )
    return [*(warning for warning in found if warning), *poor_quality(qc["flags"])]


def trained_on_simulated(simulated: bool) -> ScanWarning | None:
    """The model has never seen a real brain."""
    if not simulated:
        return None
    return scan_warning(
        SIMULATED,
        "the model was trained on simulated scans: what it says of a real scan means nothing; use a model that was "
        "trained on real ones",
        "both",
    )


def trained_on_scan(contents: Mapping[str, str], content: str) -> ScanWarning | None:
    """The scan is one of those that the model was fitted to, by their content."""
    subject = next((name for name, known in contents.items() if known == content), None)
    if subject is None:
        return None
    return scan_warning(
        "known_scan",
        f"the model was trained or validated on this scan, as {subject}: its scores are lower than those of a new scan",
        "missed lesions",
    )


def trained_on_name(subjects: Iterable[str], scan: Path) -> ScanWarning | None:
    """The scan's file or folder is named after somebody whom the model was fitted to: it may be another copy."""
    name = "/".join(scan.parts[-2:])
    subject = next((each for each in subjects if OWN_NAME.fullmatch(each) and _is_word_of(each, name)), None)
    if subject is None:
        return None
    return scan_warning(
        "known_name",
        f"the name of the file or folder says {subject}, and the model was trained or validated on a scan of that "
        "name: if it is the same person, its scores are lower than those of a new scan",
        "missed lesions",
    )


def _is_word_of(subject: str, name: str) -> bool:
    return bool(re.search(rf"(?<![A-Za-z0-9]){re.escape(subject)}(?![A-Za-z0-9])", name))


def other_preprocessing(version: int | None) -> ScanWarning | None:
    """The model was trained on scans whose numbers would be others today; None: it does not tell."""
    if version in (None, PREPROCESSING_VERSION):
        return None
    return scan_warning(
        "preprocessing",
        f"the model was trained on scans that another version preprocessed ({version}, {PREPROCESSING_VERSION} here): "
        "train it again, or use the version of patch2loc that it was trained with",
        "both",
    )


def not_recognized(
    best_eighth_error: float, healthy: np.ndarray, *, contrast_in_doubt: bool
) -> ScanWarning | None:
    """The network recognizes no part of the brain, so that nothing that is said of the scan would mean anything.

    Args:
        best_eighth_error: Location error in the best located eighth of the brain, percent of the grid.
        healthy: Location errors of the healthy scans, whole brains, (scans,).
        contrast_in_doubt: True if the scan is hard to locate and its contrast is doubtful, too.
    """
    limit = FAR_OFF * float(np.median(healthy))
    if best_eighth_error > limit:
        reason = (
            "no part of the brain looks as in the training scans (location error of the best eighth "
            f"{best_eighth_error:.1f} % of the grid, at most {limit:.1f} % expected)"
        )
    elif contrast_in_doubt:
        reason = "its contrast is in doubt and its patches are harder to locate than those of healthy scans"
    else:
        return None
    return ScanWarning(
        NOT_JUDGED,
        f"This scan cannot be judged: {reason}. No percentile, volume or candidate is given. Check the sequence (no "
        "contrast agent), the orientation in the header, and the mask and registration in preprocessed/qc.png.",
        "both",
    )


def hard_to_locate(error: float, healthy: np.ndarray) -> ScanWarning | None:
    """The network places the scan's patches worse than those of healthy scans, all over the brain.

    Args:
        error: Location error of the scan, percent of the grid.
        healthy: Of the healthy scans, (scans,).
    """
    median, greatest = float(np.median(healthy)), float(healthy.max())
    if error <= min(OF_GREATEST * greatest, OF_MEDIAN * median):
        return None
    return scan_warning(
        "location_error",
        f"unlike the training scans: location error {error:.2f} % of the grid, that of {len(healthy)} healthy scans is "
        f"{median:.2f} (median) to {greatest:.2f} % (greatest). The scanner, the protocol, the registration or a large "
        "lesion can cause this; the location map is normalized by the scan's own scores and then marks too little",
        "both",
    )


def doubtful_contrast(
    log_odds: float | None, looks_like: Contrast | None, modality: str
) -> ScanWarning | None:
    """The scan may be of another modality; one that certainly is was refused by preprocessing.

    Args:
        log_odds: Of the modality against the likeliest other contrast (`preprocess.modality`); None if too little of
            the brain was seen to tell.
        looks_like: The likeliest contrast.
        modality: That of the model.
    """
    if log_odds is not None and log_odds >= DOUBTFUL:
        return None
    if log_odds is None or looks_like is None:
        reason = "too little of the brain is on the grid to tell"
    elif looks_like == modality:
        reason = f"log odds of {modality} {log_odds:.1f}, too low to be sure"
    else:
        reason = f"it looks like {SCANS[looks_like]}; log odds of {modality} {log_odds:.1f}"
    return scan_warning(
        "contrast", f"this may not be a {modality}-weighted scan ({reason}); check the sequence", "both"
    )


def coarse(voxel_mm: Sequence[float], largest_mm: float | None) -> ScanWarning | None:
    """The scan is coarser than any that the model was trained on.

    Args:
        voxel_mm: Edges of a voxel of the scan.
        largest_mm: Largest edge among the training scans; None if unknown.
    """
    # Headers round: 3 mm slices are as often 2.999999 as 3.000001 mm thick.
    if largest_mm is None or max(voxel_mm) <= RESOLUTION_FACTOR * largest_mm + ROUNDING_MM:
        return None
    return scan_warning(
        "resolution",
        f"voxels of {' x '.join(f'{each:.2g}' for each in voxel_mm)} mm found, edges up to {largest_mm:.2g} mm in the "
        "training: use a finer scan if there is one",
        "both",
    )


def other_age(age: float | None, cohort: Cohort) -> ScanWarning | None:
    """The person is younger or older than the people that the model was trained on, where both are known."""
    if age is None or cohort.ages is None or cohort.ages[0] <= age <= cohort.ages[1]:
        return None
    return scan_warning(
        "age",
        f"an age of {age:g} years found, {cohort.ages[0]:g} to {cohort.ages[1]:g} in the training: growth or atrophy "
        "may look abnormal",
        "false candidates",
    )


def with_contrast_agent(named: bool) -> ScanWarning | None:
    """The scan was taken with a contrast agent, which no scan of the training was."""
    if not named:
        return None
    return scan_warning(
        "contrast_agent",
        "the file name or the DICOM header names a contrast agent, and detectors are trained on scans without: do not "
        "use this result; take the scan from before the injection",
        "both",
    )


def off_the_grid(share: float) -> ScanWarning | None:
    """A share of the brain was not looked at, as it lies outside the model's grid."""
    if share <= OUTSIDE_GRID:
        return None
    return scan_warning(
        "outside_grid",
        f"{100 * share:.1f} % of the brain lies outside the model's grid and was not looked at",
        "missed lesions",
    )


def few_healthy(count: int) -> ScanWarning | None:
    """Fewer healthy scans than the percentiles of an answer need."""
    if count >= FEWEST_HEALTHY:
        return None
    return scan_warning(
        "few_healthy",
        f"{count} healthy scan{'s' * (count != 1)} to compare with, {FEWEST_HEALTHY} expected at least: how unusual "
        "the scan is cannot be told finely",
        "both",
    )


def poor_quality(flags: Sequence[str]) -> list[ScanWarning]:
    """What quality control found doubtful of the image, its brain mask and its registration; not of its contrast."""
    return [
        scan_warning(
            "quality",
            f"{flag}; look at preprocessed/qc.png",
            next((error for words, error in LIKELY_ERRORS.items() if words in flag), "both"),
        )
        for flag in flags
        if not flag.startswith(("the contrast may not be", "too little of the brain on the grid to check"))
    ]
