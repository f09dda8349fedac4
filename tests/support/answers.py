"""Answers about a simulated brain, for the tests of their picture and page."""

import numpy as np
import pandas as pd

from patch2loc.data.volumes import Grid, write
from patch2loc.files import file_hashes, write_json
from patch2loc.own_scan.answer import CANDIDATE_COLUMNS, Answer, ScanWarning
from patch2loc.own_scan.page import write_page
from patch2loc.score.candidates import find_candidates

GRID = Grid((40, 48, 36), 4.0, (0.0, -18.0, 8.0))
THRESHOLD = 3.0
HEALTHY_ML = np.array([0, 0, 0.3, 0.5, 0.5, 0.9, 1.4, 2.2, 3.1, 4.0, 6.5])
HOSTILE = "</script><script>document.title = 'taken'</script>$\\alpha$&amp;<b>"
LONG = "a_name_without_any_space_" * 20


def brain(radii=(16, 20, 14)):
    """An ellipsoid, (x, y, z) boolean."""
    places = np.indices(GRID.shape)
    return (
        sum(
            ((place - size / 2) / radius) ** 2
            for place, size, radius in zip(places, GRID.shape, radii, strict=True)
        )
        < 1
    )


def rarities(mask, lesions=(), seed=0):
    """Rarity of a healthy brain's voxels, one in ten of them below 1, with lesions ((x, y, z), radius, rarity)."""
    # Below 2.9: no healthy voxel is in a candidate.
    rarity = np.minimum(-np.log10(np.random.default_rng(seed).uniform(size=GRID.shape)), 2.9)
    places = np.moveaxis(np.indices(GRID.shape), 0, -1)
    for center, radius, height in lesions:
        rarity[np.linalg.norm(places - center, axis=-1) <= radius] = height
    return np.where(mask, rarity, np.nan).astype(np.float32)


def answer_of(rarity, mask, *, warnings=(), title="scan.nii.gz: T1, model t1-2mm, map joined", **others):
    """The answer that a map of rarity gives."""
    labels, found = find_candidates(rarity, THRESHOLD, GRID.voxel_ml)
    rows = []
    for label, candidate in enumerate(found, start=1):
        x, y, z, _ = GRID.affine @ [*candidate.peak_voxel, 1]
        side = "left" if x < 0 else "right"
        place = (x, y, z, side, "white matter", pd.NA, 0, 90.9, 100)
        rows.append((label, candidate.volume_ml, candidate.excess, candidate.peak, *place))
    scan = np.where(mask, 100 + np.random.default_rng(1).normal(0, 10, GRID.shape), 0)
    abnormal_ml = sum(candidate.volume_ml for candidate in found)
    return Answer(
        **{
            "title": title,
            "sentence": f"More abnormal than 10 of 11 healthy scans; {len(found)} candidates, {abnormal_ml:.1f} ml.",
            "warnings": [ScanWarning(f"warning {number}", text) for number, text in enumerate(warnings)],
            "candidates": pd.DataFrame(rows, columns=CANDIDATE_COLUMNS),
            "rarity": rarity,
            "labels": labels,
            "scan": scan.astype(np.float32),
            "mask": mask,
            "spacing": GRID.spacing,
            "affine": GRID.affine,
            "threshold": THRESHOLD,
            "simulated": False,
            "map_name": "joined",
            "model_name": "t1-2mm",
            "atlas": "icbm152",
            "abnormal_ml": abnormal_ml,
            "healthy_ml": HEALTHY_ML,
            "brain_found": "found by the atlas",
            **others,
        }
    )


def healthy_answer(**others):
    """Of a brain without candidates."""
    mask = brain()
    return answer_of(rarities(mask), mask, **others)


LESIONS = (((12, 30, 20), 3.2, 5.5), ((27, 18, 14), 2.1, 4.0))  # left frontal, then right posterior


def lesion_answer(**others):
    """Of a brain with two lesions: a large one on the left, in front, and a small one on the right."""
    mask = brain()
    return answer_of(rarities(mask, LESIONS), mask, **others)


def write_answer(folder, answer, **others):
    """Write the files of a result of detect that its page, its index and the viewer's server read."""
    write(folder / "preprocessed/T1.nii.gz", answer.scan, GRID.affine)
    write(folder / "heatmap_atlas.nii.gz", answer.rarity, GRID.affine)
    write(folder / "candidates_atlas.nii.gz", answer.labels, GRID.affine)
    write_page(folder / "report.html", answer)
    summary = {
        "answer": answer.sentence,
        "warnings": [warning._asdict() for warning in answer.warnings],
        "judged": True,
        "percentile": 100 * np.mean(answer.abnormal_ml > HEALTHY_ML),
        "n_healthy": len(HEALTHY_ML),
        "candidates": len(answer.candidates),
        "abnormal_ml": answer.abnormal_ml,
        "modality": "T1",
        "files": file_hashes(folder),
    }
    write_json(folder / "summary.json", summary | others)
