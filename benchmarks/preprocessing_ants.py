"""Time and overlap of affine registration and bias correction at 1 mm, beside ANTs.

    .venv/bin/python benchmarks/preprocessing_ants.py ANTS_PYTHON HEAD BRAIN [HEAD BRAIN ...]

ANTS_PYTHON is a Python that has antspyx (pip install antspyx, in an environment of its own).  HEAD is a T1 scan, BRAIN
its mask; both are brought to 1 mm first.  Both sides get the stripped scan, one thread and the same atlas, and end with
the corrected scan on the atlas's voxels.  ANTs runs its affine registration (ants.registration, "Affine") and its N4
(ants.n4_bias_field_correction) with the settings they are published with.  Writes benchmarks/preprocessing_ants.csv,
one row per scan, side and step.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from patch2loc.data import volumes
from patch2loc.files import write_csv
from patch2loc.preprocess.atlas import Atlas, load_atlas
from patch2loc.preprocess.bias import correct_bias
from patch2loc.preprocess.coverage import dice
from patch2loc.preprocess.images import one_thread, read_scan, resample_like
from patch2loc.preprocess.register import register

HERE = Path(__file__).resolve().parent
ANTS = """
import json, sys, time
import ants
atlas, stripped, mask = (ants.image_read(path) for path in sys.argv[1:4])
begun = time.process_time()
found = ants.registration(atlas, stripped, type_of_transform="Affine")
between = time.process_time()
moved = ants.apply_transforms(atlas, mask, found["fwdtransforms"], interpolator="linear")
ants.image_write(moved, sys.argv[4])
before = time.process_time()
warped = found["warpedmovout"]
ants.n4_bias_field_correction(warped, mask=ants.threshold_image(moved, 0.5, 2))
after = time.process_time()
print(json.dumps({"registration": between - begun, "bias": after - before}))
"""


def main(ants_python: str, *paths: str) -> None:
    """Run both sides on every pair of a head and its brain mask, and write the table."""
    atlas = load_atlas("icbm152", "T1")
    rows = []
    for head, brain in zip(paths[::2], paths[1::2], strict=True):
        scan, affine = at_1_mm(*read_scan(Path(head)))
        mask = at_1_mm(*volumes.read(brain))[0] > 0.5
        for side, seconds, overlap in (
            ours(scan, mask, affine, atlas),
            theirs(ants_python, scan, mask, affine, atlas),
        ):
            for step, cpu in seconds.items():
                rows.append(
                    {
                        "scan": Path(head).name.split(".")[0],
                        "side": side,
                        "step": step,
                        "cpu_seconds": round(cpu, 2),
                        "atlas_dice": round(overlap, 4),
                    }
                )
                print(*rows[-1].values(), flush=True)
    table = pd.DataFrame(rows)
    write_csv(HERE / "preprocessing_ants.csv", table)
    total = table.groupby(["scan", "side"])["cpu_seconds"].sum().unstack()
    print((total["ants"] / total["ours"]).describe().round(2).to_string())
    print(table.groupby("side")["atlas_dice"].median())


def at_1_mm(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A volume on voxels of 1 mm, interpolated linearly."""
    size = np.linalg.norm(affine[:3, :3], axis=0)
    finer = affine.astype(float).copy()
    finer[:3, :3] = affine[:3, :3] / size
    shape = tuple(np.round(np.array(array.shape) * size).astype(int).tolist())
    return resample_like(
        array, affine, sitk.Transform(3, sitk.sitkIdentity), shape=shape, target_affine=finer
    ), finer


def ours(scan: np.ndarray, mask: np.ndarray, affine: np.ndarray, atlas: Atlas) -> tuple[str, dict, float]:
    """This package: (name, {step: CPU seconds}, overlap of the moved mask with the atlas mask)."""
    with one_thread():
        begun = time.process_time()
        transform, _ = register(scan, mask, affine, atlas)
        volume = resample_like(scan, affine, transform, shape=atlas.mask.shape, target_affine=atlas.affine)
        registered = time.process_time()
        moved = (
            resample_like(mask, affine, transform, shape=atlas.mask.shape, target_affine=atlas.affine) > 0.5
        )
        before = time.process_time()
        correct_bias(volume, moved, atlas.affine)
        after = time.process_time()
    seconds = {"registration": registered - begun, "bias": after - before}
    return "ours", seconds, dice(moved, atlas.mask)


def theirs(
    python: str, scan: np.ndarray, mask: np.ndarray, affine: np.ndarray, atlas: Atlas
) -> tuple[str, dict, float]:
    """ANTs, in its own environment and with one thread: as `ours`."""
    with tempfile.TemporaryDirectory() as folder:
        names = ("atlas", "stripped", "mask", "moved")
        atlas_path, stripped, mask_path, moved = (Path(folder) / f"{name}.nii.gz" for name in names)
        volumes.write(atlas_path, atlas.image, atlas.affine)
        volumes.write(stripped, scan * mask, affine)
        volumes.write(mask_path, mask.astype(np.float32), affine)
        done = subprocess.run(
            [python, "-c", ANTS, atlas_path, stripped, mask_path, moved],
            env={**os.environ, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1", "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        overlap = dice(volumes.read(moved)[0] > 0.5, atlas.mask)
    return "ants", json.loads(done.stdout.splitlines()[-1]), overlap


if __name__ == "__main__":
    main(*sys.argv[1:])
