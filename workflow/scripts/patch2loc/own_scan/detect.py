"""A detector's answer about one scan: where it is abnormal, how unusual that is, and what makes it doubtful."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np

from patch2loc.acquire.bids import names_contrast_agent
from patch2loc.data.midsagittal import midline_mm
from patch2loc.data.volumes import read
from patch2loc.engine.choices import Device, Precision
from patch2loc.errors import InputError
from patch2loc.files import readable, replacing, write_csv
from patch2loc.method_interface import module_name
from patch2loc.own_scan.answer import Answer, ScanWarning
from patch2loc.own_scan.candidate_table import candidate_table, tissue_maps, with_warnings
from patch2loc.own_scan.native_labels import labels_on_scan
from patch2loc.own_scan.page import write_page
from patch2loc.own_scan.picture import write_picture
from patch2loc.own_scan.result_folder import STAGES, kept_or_made, provenance_of, to_stderr
from patch2loc.own_scan.scorer import ICBM152, Scorer, load_scorer, preprocessed_for
from patch2loc.own_scan.sentence import answer_sentence, expected_ml, not_judged_sentence
from patch2loc.own_scan.warnings import NOT_JUDGED, SIMULATED, of_model, of_scan
from patch2loc.preprocess.coverage import is_cut, missing_brain
from patch2loc.preprocess.scan import Preprocessed, to_native_space, write_preprocessed
from patch2loc.score.candidates import find_candidates
from patch2loc.score.detector import MapsOf, maps_with, reference_of
from patch2loc.score.reference import JOINED, MAPS, THRESHOLDS, HealthyReference


@dataclass(frozen=True)
class Detector:
    """A detector made ready for scans of one's own: all that does not depend on the scan.

    Attributes:
        scorer: Its model, with atlas and grid.
        reference: What healthy scans score by it.
        maps: Makes the maps of preprocessed scans.
        midline_mm: Coordinate along x of the atlas's midsagittal plane.
    """

    scorer: Scorer
    reference: HealthyReference
    maps: MapsOf
    midline_mm: float


def load_detector(
    model_path: str | Path,
    device: Device = "cpu",
    *,
    precision: Precision = "float32",
    atlas: str | Path | None = None,
    method: str | None = None,
) -> Detector:
    """Load a detector: a model that carries what healthy scans score.

    Args:
        model_path: File of the model.
        device: Device that its network computes on, from `select_device`.
        precision: Precision of the network, "float32" or "bfloat16".
        atlas: "icbm152" or the folder of SRI24, if it is not where the model's training had it.
        method: Method that the model has to be of, see `load_model`: to be named for one from outside the package.

    Raises:
        InputError: The model or the atlas cannot be used, or the model has no healthy scans to compare with.
    """
    scorer = load_scorer(model_path, device, atlas=atlas, precision=precision, method=method)
    reference = reference_of(scorer.model, model_path)
    if reference is None:
        raise InputError(
            f"{model_path}: a model of {scorer.model['method']} without healthy scans to compare with found, a "
            "detector expected; score the scan with this model (patch2loc score), or build a detector by the "
            "workflow's target `detectors`"
        )
    maps = maps_with(
        scorer.model,
        {"mean": reference.mean, "spread": reference.spread},
        device,
        median_filter=scorer.median_filter,
        precision=precision,
        name=model_path,
    )
    # Half of the rows and slices tell as much, in a quarter of the time.
    midline = midline_mm(scorer.atlas.image[:, ::2, ::2], scorer.atlas.affine)
    return Detector(scorer, reference, maps, midline)


def detect_scan(
    detector: Detector,
    scan_path: str | Path,
    folder: str | Path,
    *,
    mask_path: str | Path | None = None,
    skull_strip: str = "auto",
    map_name: str = JOINED,
    threshold: float | None = None,
    age: float | None = None,
    contrast_agent: bool = False,
    strict: bool = False,
    stage_done: Callable[[str], object] = lambda stage: None,
    notify: Callable[[str], object] = to_stderr,
) -> dict[str, Any]:
    """Look for what is abnormal in a raw scan, and write the answer to `folder`.

    The files are those of docs/reference/results.md, "Result of detect".  No other process may use the folder
    meanwhile.  If it holds the same result already, it is kept and nothing is computed; a result with files that are
    missing or not as they were written is made again.  After an exception nothing is left behind, and what was in the
    folder is as it was.

    Args:
        detector: From `load_detector`.
        scan_path: Raw NIfTI of any orientation, voxel size and pose.
        folder: Folder to write to.
        mask_path: Brain mask on the scan's voxels, if there is one.
        skull_strip: How the brain is found, see `preprocess_scan`; auto takes the mask that is given.
        map_name: Map that candidates are looked for in: joined, patch2loc or zscore.
        threshold: Rarity above which voxels belong to candidates, 1.5 to 6; None for the detector's own.
        age: Of the person, years, where known; for the warning that the training had none of it.
        contrast_agent: True if the scan is known to have been taken with one; a BIDS name with `ce-` says so itself.
        strict: Raise InputError instead of giving an answer with warnings.
        stage_done: Called with each of STAGES when it is done.
        notify: Called with a sentence on a damaged result that is made again.

    Returns:
        The content of summary.json.

    Raises:
        InputError: The scan cannot be used or read, an option is unknown, the folder holds anything else or is in use,
            or there are warnings and `strict` is set.
        OSError: The folder cannot be written.
    """
    scan, scorer = Path(scan_path), detector.scorer
    if map_name not in MAPS:
        raise InputError(f"map: {map_name!r} found, one of {', '.join(MAPS)} expected; correct the option")
    if threshold is not None and not THRESHOLDS[0] <= threshold <= THRESHOLDS[-1]:
        raise InputError(
            f"threshold: {threshold:g} found, {THRESHOLDS[0]:g} to {THRESHOLDS[-1]:g} expected, for which the healthy "
            "scans tell what to expect; correct the option"
        )
    mask = None if mask_path is None else Path(mask_path)
    if mask and skull_strip == "auto":
        skull_strip = "given"
    settings = {
        "preprocess": {**scorer.model["preprocess"], "skull_strip": skull_strip},
        "atlas": scorer.atlas.name,
        "median_filter": scorer.median_filter,
        "device": scorer.device,
        "precision": scorer.precision,
        "map": map_name,
        "threshold": detector.reference.threshold if threshold is None else float(threshold),
        "age": age,
        "contrast_agent": contrast_agent or names_contrast_agent(scan),
    }
    files = {"scan": scan, "mask": mask, "model": scorer.model_path}
    provenance = provenance_of(
        files,
        settings,
        (__name__, module_name(scorer.model["method"]), module_name("zscore")),
    )

    def make(partial: Path) -> dict[str, Any]:
        return _write_result(
            partial, detector, scan, mask=mask, settings=settings, strict=strict, stage_done=stage_done
        )

    summary = kept_or_made(Path(folder), provenance, make, files=files, notify=notify)
    if strict:
        _refuse([ScanWarning(**warning) for warning in summary["warnings"]], scan)
    return summary


class _Findings(NamedTuple):
    """What a detector finds in a preprocessed scan.

    Attributes:
        answer: For people.
        native_labels: Candidates on the scan's own voxels, int16.
        percentile: Percent of the healthy scans that are less abnormal; NaN if the scan is not judged.
    """

    answer: Answer
    native_labels: np.ndarray
    percentile: float


def _write_result(
    folder: Path,
    detector: Detector,
    scan: Path,
    *,
    mask: Path | None,
    settings: dict[str, Any],
    strict: bool,
    stage_done: Callable[[str], object],
) -> dict[str, Any]:
    """Answer about a scan and write all but the summary to an empty folder; the summary."""
    scorer, reference = detector.scorer, detector.reference
    seconds: dict[str, float] = {}
    started = time.perf_counter()

    def done(stage: str) -> None:
        seconds[stage] = round(time.perf_counter() - started - sum(seconds.values()), 2)
        stage_done(stage)

    preprocess, score, carry_back, writing = STAGES
    result = preprocessed_for(scorer, scan, brain_path=mask, settings=settings["preprocess"])
    done(preprocess)
    maps = detector.maps(result.volume, result.mask, str(scan))
    warnings = [
        *of_model(scorer.model, result.qc["content"], scan),
        *of_scan(
            reference,
            result.qc,
            maps,
            settings["age"],
            contrast_agent=settings["contrast_agent"],
        ),
    ]
    if strict:
        _refuse(warnings, scan)
    rarity = reference.rarity_maps(maps)
    done(score)
    native_rarity = to_native_space(rarity[settings["map"]], result.grid, result.transform, scan)
    native_affine = read(scan)[1]
    answer, native_labels, percentile = _find(
        detector,
        result,
        rarity,
        scan,
        settings=settings,
        warnings=warnings,
        native=(native_rarity.shape, native_affine),
    )
    done(carry_back)
    names = " ".join(dict.fromkeys(warning.name for warning in warnings))
    write_preprocessed(folder / "preprocessed", result)
    for name, array, affine in (
        ("heatmap_atlas", answer.rarity, result.grid.affine),
        ("candidates_atlas", answer.labels, result.grid.affine),
        ("heatmap", native_rarity, native_affine),
        ("candidates", native_labels, native_affine),
    ):
        _write_image(folder / f"{name}.nii.gz", array, affine, f"warnings: {names}" if names else "")
    write_csv(folder / "candidates.csv", with_warnings(answer.candidates, names, judged=answer.judged))
    _draw(folder, answer)
    done(writing)
    return {
        "scan": readable(scan),
        "model": readable(scorer.model_path),
        "method": scorer.model["method"],
        "modality": scorer.model["modality"],
        "answer": answer.sentence,
        "warnings": [warning._asdict() for warning in warnings],
        "judged": answer.judged,
        "percentile": round(percentile, 1) if answer.judged else None,
        "n_healthy": len(reference.scans),
        "candidates": len(answer.candidates) if answer.judged else None,
        "abnormal_ml": round(answer.abnormal_ml, 3) if answer.judged else None,
        "expected_healthy_ml": expected_ml(answer.healthy_ml),
        "threshold": answer.threshold,
        "map": answer.map_name,
        "location_error": {
            "scan": round(maps.location_error, 3),
            "best_eighth": round(maps.best_eighth_error, 3),
            "healthy_median": round(float(np.median(reference.values("location_error"))), 3),
        },
        "flags": result.qc["flags"],
        "brain_found": result.qc["brain_found"],
        "brain_outside_grid": result.qc["brain_outside_grid"],
        "seconds": seconds,
    }


def _find(
    detector: Detector,
    result: Preprocessed,
    rarity: Mapping[str, np.ndarray],
    scan: Path,
    *,
    settings: Mapping[str, Any],
    warnings: Sequence[ScanWarning],
    native: tuple[tuple[int, ...], np.ndarray],
) -> _Findings:
    """Find candidates in the rarity maps of a scan, and say how unusual they are.

    The percentiles hold for candidates at the reference's own threshold: that of the scan is of these, and candidates
    at another threshold have none.  A scan that cannot be judged has no candidates.
    """
    scorer, reference, name = detector.scorer, detector.reference, settings["map"]
    threshold, grid = settings["threshold"], result.grid
    not_judged = next((warning for warning in warnings if warning.name == NOT_JUDGED), None)
    # Nothing is above an infinite threshold.
    labels, candidates = find_candidates(rarity[name], np.inf if not_judged else threshold, grid.voxel_ml)
    own_threshold = threshold == reference.threshold
    compared = (
        candidates if own_threshold else find_candidates(rarity[name], reference.threshold, grid.voxel_ml)[1]
    )
    excess = sum(candidate.excess for candidate in compared)
    shape, affine = native
    native_labels = labels_on_scan(labels, candidates, grid, result.transform, shape=shape, affine=affine)
    on_icbm152 = scorer.atlas.name == ICBM152
    table = candidate_table(
        candidates,
        labels,
        grid,
        midline_mm=detector.midline_mm,
        tissues=tissue_maps(grid) if on_icbm152 else None,
        volume=result.volume,
        mask=result.mask,
        percentiles=[
            reference.percentile(candidate.excess, "largest_excess", name) if own_threshold else np.nan
            for candidate in candidates
        ],
        native_labels=native_labels,
        missing=(
            missing_brain(result.mask, result.grid, scorer.atlas, result.transform, shape, affine)
            if is_cut(result.qc)
            else None
        ),
    )
    abnormal_ml = np.nan if not_judged else float(sum(candidate.volume_ml for candidate in candidates))
    healthy_ml = _healthy_ml(reference, name, threshold)
    if not_judged:
        sentence = not_judged_sentence(not_judged, warnings)
    else:
        sentence = answer_sentence(
            excess,
            reference.values("excess", name),
            count=len(candidates),
            abnormal_ml=abnormal_ml,
            healthy_ml=healthy_ml,
            warnings=warnings,
        )
    model_name = readable(scorer.model_path.stem)
    answer = Answer(
        title=f"{readable(Path(*scan.parts[-2:]))}: {result.modality}, {model_name}, {name}",
        sentence=sentence,
        warnings=warnings,
        candidates=table,
        rarity=rarity[name],
        labels=labels,
        scan=result.volume,
        mask=result.mask,
        spacing=grid.spacing,
        affine=grid.affine,
        threshold=threshold,
        simulated=any(warning.name == SIMULATED for warning in warnings),
        map_name=name,
        model_name=model_name,
        atlas=scorer.atlas.name,
        abnormal_ml=abnormal_ml,
        healthy_ml=healthy_ml,
        brain_found=result.qc["brain_found"],
        judged=not_judged is None,
        maps={name: rarity[name], **rarity},
    )
    percentile = np.nan if not_judged else reference.percentile(excess, "excess", name)
    return _Findings(answer, native_labels, percentile)


def _healthy_ml(reference: HealthyReference, map_name: str, threshold: float) -> np.ndarray:
    """Volume of the candidates in each healthy scan at a threshold, ml, (scans,); between the stored ones linear."""
    return np.array(
        [np.interp(threshold, THRESHOLDS, volumes) for volumes in reference.false_positive_ml[map_name]]
    )


def _refuse(warnings: Sequence[ScanWarning], scan: Path) -> None:
    """Raise InputError that lists the warnings, if there are any."""
    if warnings:
        listed = "; ".join(warning.message for warning in warnings)
        count = len(warnings)
        raise InputError(
            f"{scan}: {count} warning{'s' * (count > 1)} found, none expected (strict): {listed}"
        )


def _write_image(path: Path, array: np.ndarray, affine: np.ndarray, description: str) -> None:
    """Write a volume, as `volumes.write` does, with a description in its header, of which 79 bytes are kept."""
    image = nib.Nifti1Image(array, affine)
    image.set_qform(affine, code="aligned")
    image.set_sform(affine, code="aligned")
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = description.encode("ascii", "replace")[:79]
    with replacing(path) as partial:
        image.to_filename(partial)


def _draw(folder: Path, answer: Answer) -> None:
    """Write the picture and the page of an answer."""
    write_picture(folder / "picture.png", answer)
    write_page(folder / "report.html", answer)
