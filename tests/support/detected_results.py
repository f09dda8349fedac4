"""BIDS datasets of small scans, and results as `detect` writes them, without a model."""

import json

import nibabel as nib
import numpy as np

from patch2loc.files import file_hashes

SHAPE = (10, 12, 8)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
GRID_AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])


def write_image(path, array, affine=AFFINE):
    """Write an image with a header that leaves nothing open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine)
    image.set_qform(affine, code="scanner")
    image.set_sform(affine, code="scanner")
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    return path


def write_scan(path, seed=0):
    """Write a scan of noise in a box."""
    scan = np.zeros(SHAPE, np.int16)
    scan[2:8, 2:10, 2:6] = np.random.default_rng(seed).integers(100, 900, (6, 8, 4))
    return write_image(path, scan)


def write_dataset(root, stems):
    """Write a BIDS dataset: its description, participants.tsv (ages from 20 on), and a T1w scan for each stem.

    stems: "sub-01", or "sub-01_ses-a_run-1".
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text(
        json.dumps({"Name": "A dataset", "BIDSVersion": "1.9.0", "DatasetDOI": "doi:10.1000/1"})
    )
    participants = sorted({stem.split("_")[0] for stem in stems})
    rows = [f"{name}\t{20 + number}\t{'FM'[number % 2]}" for number, name in enumerate(participants)]
    (root / "participants.tsv").write_text("\n".join(["participant_id\tage\tsex", *rows]) + "\n")
    for seed, stem in enumerate(stems):
        folders = [part for part in stem.split("_") if part.startswith(("sub-", "ses-"))]
        write_scan(root.joinpath(*folders, "anat", f"{stem}_T1w.nii.gz"), seed)
    return root


def write_result(folder, *, labels=2, percentile=50.0, warnings=()):
    """Write the files of a result with some candidates, and return the summary."""
    rarity = np.full(SHAPE, np.nan, np.float32)
    rarity[2:8, 2:10, 2:6] = 0.5
    candidates = np.zeros(SHAPE, np.int16)
    for label in range(1, labels + 1):
        candidates[1 + 2 * label : 3 + 2 * label, 4:6, 3:5] = label
        rarity[candidates == label] = 5 - label
    for name, affine in (("", AFFINE), ("_atlas", GRID_AFFINE)):
        write_image(folder / f"heatmap{name}.nii.gz", rarity, affine)
        write_image(folder / f"candidates{name}.nii.gz", candidates, affine)
    mask = np.isfinite(rarity)
    write_image(folder / "preprocessed/T1.nii.gz", mask.astype(np.float32), GRID_AFFINE)
    write_image(folder / "preprocessed/mask.nii.gz", mask.astype(np.uint8), GRID_AFFINE)
    columns = ["label", "volume_ml", "excess", "peak", "x_mm", "y_mm", "z_mm", "side", "tissue", "percentile"]
    rows = [
        f"{label},0.064,{0.1 / label},{5 - label},-10,2,4,left,gray matter,99"
        for label in range(1, labels + 1)
    ]
    warned = ["0,0,0,,,,,,,"] if warnings else []
    (folder / "candidates.csv").write_text("\n".join([",".join(columns), *(rows or warned)]) + "\n")
    (folder / "picture.png").write_bytes(b"picture")
    (folder / "report.html").write_text("<html></html>")
    summary = {
        "scan": "a scan",
        "model": "t1-2mm",
        "answer": f"More abnormal than {percentile:g} % of 47 healthy scans.",
        "judged": True,
        "warnings": [{"name": name, "message": f"{name}: take care"} for name in warnings],
        "percentile": percentile,
        "n_healthy": 47,
        "candidates": labels,
        "abnormal_ml": 0.064 * labels,
        "expected_healthy_ml": {"median": 0.5, "most": 8.0},
        "threshold": 3.0,
        "map": "joined",
        "location_error": {"scan": 4.2, "healthy_median": 4.0},
        "flags": [],
        "files": file_hashes(folder),
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return summary
