"""What `patch2loc detect` says of scans that its detector is not for: a panel of kinds.

    python benchmarks/out_of_purpose.py make DATA SCANS
    python benchmarks/out_of_purpose.py detect SCANS RESULTS [--model FILE]

DATA is a folder with real scans: healthy T1 scans without a skull (ds002748, SUBJECT_t1.nii.gz) and whole heads
(ds000011), and scans of other kinds where they are there (REAL).  `make` changes the healthy ones into each kind of
SIMULATED and writes them to SCANS with panel.csv, which names kind, scan and whether it is real or simulated; `detect`
answers about each of them and writes RESULTS/panel.csv.  The detector's rules were settled on the subjects SETTLED, so
that the panel in benchmarks/out_of_purpose.csv is of the other ones.
"""

import argparse
import re
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import nibabel as nib
import numpy as np
import pandas as pd
from modality import draw_signals
from scipy import ndimage

from patch2loc.acquire.tissues import fit_tissues
from patch2loc.errors import InputError
from patch2loc.files import write_csv
from patch2loc.own_scan import detect_scan, load_detector
from patch2loc.trained import DEFAULT, path_of

SETTLED = {
    "stripped": ["sub-52", "sub-53", "sub-54", "sub-55"],
    "head": ["sub-01", "sub-02", "sub-03", "sub-04"],
}
REPORTED = {"stripped": ["sub-57", "sub-58"], "head": ["sub-06", "sub-07"]}
SPACING_MM = 2.0  # of the scans that are changed
UNCHANGED = "healthy, unchanged"
FOLDERS = {"stripped": "ds002748", "head": "ds000011"}
# Real scans by kind: file below DATA.
REAL = {
    "T2": [
        "brats21/BraTS2021_00006/BraTS2021_00006_t2.nii.gz",
        "mslub/patient07/t2_mni.nii.gz",
        "kirby21_113/t2.nii.gz",
    ],
    "T2, thick slices": [
        "stroke_t2/clinical_t2.nii.gz",
        "ds000011/sub-05_inplane_t2.nii.gz",
        "tcga/TCGA-FG-6692/t2_raw.nii.gz",
    ],
    "proton density": ["sri24/pd_brain.nii.gz"],
    "T1, thick slices": [
        "mslub_raw_heads/patient01_study1_t1w.nii.gz",
        "mslub_raw_heads/patient04_study1_t1w.nii.gz",
    ],
}

Volume = tuple[np.ndarray, np.ndarray]  # (x, y, z) float32 in RAS order, and its 4 x 4 affine


def read_ras(path: Path) -> Volume:
    """A scan with its axes in RAS order, at about 2 mm, as the detector sees it."""
    image = nib.as_closest_canonical(nib.load(path))
    array = np.asarray(image.dataobj, np.float32).reshape(image.shape[:3])
    factors = np.minimum(edges_mm(image.affine) / SPACING_MM, 1.0)
    brain = (
        ndimage.zoom((array > 0).astype(np.float32), factors, order=1, grid_mode=True, mode="nearest") >= 0.5
    )
    small = ndimage.zoom(array, factors, order=1, grid_mode=True, mode="nearest")
    scale = np.array(array.shape) / small.shape
    affine = image.affine @ np.diag([*scale, 1])
    affine[:3, 3] += image.affine[:3, :3] @ ((scale - 1) / 2)
    return np.where(brain, np.maximum(small, 1), 0).astype(np.float32), affine


def edges_mm(affine: np.ndarray) -> np.ndarray:
    """Edges of a voxel, mm, (3,)."""
    return np.linalg.norm(affine[:3, :3], axis=0)


def box(array: np.ndarray) -> list[tuple[int, int]]:
    """First and last index along each axis of what is bright, as of a head."""
    bright = array > 0.15 * np.percentile(array[array > 0], 90)
    ends = []
    for axis in range(3):
        filled = np.flatnonzero(bright.sum(axis=tuple({0, 1, 2} - {axis})) > 50)
        ends.append((int(filled[0]), int(filled[-1])))
    return ends


# Changes of a stripped scan or a head; each takes (array, affine, random) and gives (array, affine).


def contrast(name: str) -> Callable:
    """The brain in another contrast, by the signal equations of benchmarks/modality.py; texture of the scan stays."""

    def change(array, affine, random):
        brain = array > 0
        evened, mixture = fit_tissues(array, brain, edges_mm(affine), name)
        shares = mixture.shares(evened[brain], 1.0)
        signals, _ = draw_signals(random, name)
        rendered = np.zeros_like(array)
        rendered[brain] = signals @ shares
        noise = 0.02 * random.standard_normal((2, *array.shape))
        return np.where(brain, np.maximum(1000 * np.hypot(rendered + noise[0], noise[1]), 1), 0), affine

    return change


def flair_with_lesion(array, affine, random):
    """FLAIR with a bright ball of 40 mm, as a large infiltrating lesion."""
    changed, affine = contrast("FLAIR")(array, affine, random)
    ball = _ball(changed > 0, affine, 20.0, random)
    return np.where(ball, 1.6 * np.percentile(changed[changed > 0], 90), changed), affine


def contrast_agent(array, affine, random):
    """Bright vessels and meninges: thin bright sheets and threads in fluid, above white matter."""
    brain = array > 0
    rough = ndimage.gaussian_filter(
        random.standard_normal(array.shape).astype(np.float32), 2.0 / edges_mm(affine)
    )
    thread = (np.abs(rough) < 0.15 * rough.std()) & (array < np.percentile(array[brain], 30)) & brain
    rim = brain & ~ndimage.binary_erosion(brain, iterations=2)
    bright = 1.5 * np.percentile(array[brain], 95)
    return np.where(thread | (rim & (random.uniform(size=array.shape) < 0.4)), bright, array), affine


def _ball(brain, affine, radius_mm, random):
    deep = ndimage.distance_transform_edt(brain, sampling=edges_mm(affine)) > radius_mm
    center = np.argwhere(deep)[random.integers(np.count_nonzero(deep))]
    places = np.indices(brain.shape).reshape(3, -1) - center[:, None]
    return (np.linalg.norm(places * edges_mm(affine)[:, None], axis=0) < radius_mm).reshape(
        brain.shape
    ) & brain


def hydrocephalus(array, affine, random):
    """The middle of the brain pushed outward, so that its ventricles are about three times as wide."""
    brain, voxel = array > 0, edges_mm(affine)
    center = ndimage.center_of_mass(brain) + np.array([0, 0, 8]) / voxel
    places = (np.indices(array.shape).reshape(3, -1).T - center) * voxel
    radius = np.linalg.norm(places * [1.0, 0.6, 1.0], axis=1)
    shrink = 1 - 0.55 * np.exp(-((radius / 32) ** 4))
    source = (places * shrink[:, None] / voxel + center).T
    moved = ndimage.map_coordinates(array, source, order=1, mode="nearest").reshape(array.shape)
    return np.where(brain, np.maximum(moved, 1), 0), affine


def child(array, affine, random):
    """A head of 0.85 of its size."""
    return array, affine @ np.diag([0.85, 0.85, 0.85, 1])


def cut(axis: int, side: int, share: float) -> Callable:
    """Field of view that ends early; share: of the head's extent along the axis that is left out."""

    def change(array, affine, random):
        first, last = box(array)[axis]
        width = round(share * (last - first))
        kept = slice(first + width, None) if side < 0 else slice(None, last - width)
        start = np.zeros(4)
        start[axis] = first + width if side < 0 else 0
        index = tuple(kept if each == axis else slice(None) for each in range(3))
        moved = affine.copy()
        moved[:3, 3] += affine[:3, :3] @ start[:3]
        return array[index], moved

    return change


def without_cerebellum(array, affine, random):
    """A stripped brain whose lower, rear part is missing: below a plane that rises backward."""
    (_, (back, front), (bottom, top)) = box(array)
    y, z = np.indices(array.shape)[1:]
    plane = bottom + (top - bottom) * (0.42 - 0.5 * (y - back) / (front - back))
    return np.where(z < plane, 0, array), affine


def one_hemisphere(array, affine, random):
    """Everything right of the middle set to 0."""
    first, last = box(array)[0]
    changed = array.copy()
    changed[(first + last) // 2 :] = 0
    return changed, affine


def back_to_front(array, affine, random):
    """An array in LPS order under a header that says RAS."""
    return array[::-1, ::-1].copy(), affine


def upside_down(array, affine, random):
    """Top and bottom exchanged, left and right, too."""
    return array[::-1, :, ::-1].copy(), affine


def wrong_axes(array, affine, random):
    """Axes exchanged under a header that does not tell."""
    return np.ascontiguousarray(array.transpose(0, 2, 1)), affine


def motion(array, affine, random):
    """Ghosts and blur of a head that nods during the scan: lines of k-space from seven poses."""
    lines = np.fft.fft(array, axis=1)
    order = np.array_split(random.permutation(array.shape[1]), 7)
    moved = np.zeros_like(lines)
    for part in order:
        pose = ndimage.shift(array, random.normal(0, 3, 3) / edges_mm(affine), order=1)
        moved[:, part] = np.fft.fft(pose, axis=1)[:, part]
    image = np.abs(np.fft.ifft(moved, axis=1)).astype(np.float32)
    return (np.where(array > 0, np.maximum(image, 1), 0) if (array == 0).mean() > 0.5 else image), affine


def thick_slices(array, affine, random):
    """Slices of 8 mm, interpolated to the voxels that they had."""
    axis = int(random.integers(3))
    step = round(8 / edges_mm(affine)[axis])
    blurred = ndimage.uniform_filter1d(array, step, axis)
    count = array.shape[axis]
    centers = np.arange(0, count, step)
    coarse = np.take(blurred, centers, axis)
    zoomed = ndimage.zoom(coarse, [count / len(centers) if each == axis else 1 for each in range(3)], order=1)
    return np.where(array > 0, np.maximum(zoomed[tuple(slice(size) for size in array.shape)], 1), 0), affine


def bottle(array, affine, random):
    """A cylinder of water, as scanners are tested by; nothing of the scan is in it."""
    x, y, z = np.indices((128, 128, 128)) * 2.0 - 127
    radius = np.hypot(x, y)
    inside = (radius < 72) & (np.abs(z) < 75)
    image = np.where(
        inside,
        900 * (1 - 0.3 * (radius / 72) ** 2) + random.normal(0, 8, x.shape),
        np.abs(random.normal(0, 12, x.shape)),
    )
    placed = np.diag([2.0, 2.0, 2.0, 1.0])
    placed[:3, 3] = -127
    return image, placed


def skull_left_in(array, affine, random):
    """A small head with its skull and air of 0, which looks like a stripped brain."""
    head = ndimage.binary_fill_holes(
        ndimage.binary_closing(array > 0.1 * np.percentile(array, 98), iterations=3)
    )
    _, _, (_, top) = box(array)
    height = round(140 / edges_mm(affine)[2])
    changed = np.where(head, np.maximum(array, 1), 0)[:, :, max(top - height, 0) :]
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ [0, 0, max(top - height, 0)]
    return changed, moved @ np.diag([0.88, 0.88, 0.88, 1])


# Kind: base (stripped or head) and change.
SIMULATED: dict[str, tuple[str, Callable]] = {
    UNCHANGED: ("both", lambda array, affine, random: (array, affine)),
    "FLAIR": ("stripped", contrast("FLAIR")),
    "FLAIR with a lesion": ("stripped", flair_with_lesion),
    "T2 (simulated)": ("stripped", contrast("T2")),
    "proton density (simulated)": ("stripped", contrast("PD")),
    "T1 with contrast agent": ("stripped", contrast_agent),
    "thick slices, interpolated": ("both", thick_slices),
    "top cut off": ("both", cut(2, 1, 0.2)),
    "bottom cut off": ("stripped", cut(2, -1, 0.3)),
    "front cut off": ("both", cut(1, 1, 0.2)),
    "side cut off": ("both", cut(0, 1, 0.2)),
    "no cerebellum": ("stripped", without_cerebellum),
    "one hemisphere": ("stripped", one_hemisphere),
    "small head, as of a child": ("both", child),
    "hydrocephalus": ("stripped", hydrocephalus),
    "back to front": ("both", back_to_front),
    "upside down": ("both", upside_down),
    "wrong axes": ("both", wrong_axes),
    "motion": ("both", motion),
    "head taken for a brain": ("head", skull_left_in),
    "bottle": ("head", bottle),
}


def make(data: Path, scans: Path, subjects: dict[str, list[str]], *, real: bool) -> None:
    """Write the scans of the panel, and the table that names them.

    Args:
        data: Folder with the real scans.
        scans: Folder to write to.
        subjects: Healthy people that are changed, by SETTLED or REPORTED.
        real: Whether the scans of REAL belong to the panel.
    """
    scans.mkdir(parents=True, exist_ok=True)
    rows = []
    for kind, (base, change) in SIMULATED.items():
        for which in FOLDERS if base == "both" else (base,):
            for subject in subjects[which]:
                random = np.random.default_rng([zlib.crc32(kind.encode()), int(subject[-2:])])
                array, affine = read_ras(data / FOLDERS[which] / f"{subject}_t1.nii.gz")
                changed, affine = change(array, affine, random)
                name = "_".join(re.findall("[A-Za-z0-9-]+", f"{kind} {which} {subject}"))
                image = nib.Nifti1Image(np.rint(changed).astype(np.int16), affine)
                image.set_qform(affine, 1)
                image.set_sform(affine, 1)
                nib.save(image, scans / f"{name}.nii.gz")
                origin = f"{FOLDERS[which]} {subject}"
                rows.append(
                    [kind, f"{name}.nii.gz", origin if kind == UNCHANGED else f"simulated from {origin}"]
                )
    if real:
        rows += [[kind, str((data / path).resolve()), path] for kind, paths in REAL.items() for path in paths]
    pd.DataFrame(rows, columns=["kind", "scan", "origin"]).to_csv(scans / "panel.csv", index=False)


def detect(scans: Path, results: Path, model: Path) -> None:
    """Answer about each scan of the panel, and write what came of it."""
    detector = load_detector(model)
    rows = []
    for number, row in enumerate(pd.read_csv(scans / "panel.csv").itertuples()):
        result = {"kind": row.kind, "origin": row.origin, "outcome": "refused"}
        try:
            summary = detect_scan(detector, scans / row.scan, results / f"{number:03}")
        except InputError as error:
            rows.append(result | {"message": str(error).replace(f"{scans / row.scan}", "scan")})
            continue
        names = [warning["name"] for warning in summary["warnings"]]
        outcome = "reported" if not names else "warned" if summary["judged"] else "cannot be judged"
        rows.append(
            result
            | {name: summary[name] for name in ("percentile", "candidates", "abnormal_ml")}
            | {"outcome": outcome, "warnings": " ".join(names), "message": summary["answer"]}
            | {f"location_error_{name}": summary["location_error"][name] for name in ("scan", "best_eighth")}
        )
        print(f"{row.kind}, {row.origin}: {outcome} ({' '.join(names)})", flush=True)
    write_csv(results / "panel.csv", pd.DataFrame(rows))


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("data", type=Path)
    making.add_argument("scans", type=Path)
    making.add_argument(
        "--settling", action="store_true", help="of the subjects that the rules were settled on"
    )
    detecting = commands.add_parser("detect")
    detecting.add_argument("scans", type=Path)
    detecting.add_argument("results", type=Path)
    detecting.add_argument("--model", type=Path, default=path_of(DEFAULT))
    arguments = parser.parse_args()
    if arguments.command == "make":
        subjects = SETTLED if arguments.settling else REPORTED
        make(arguments.data, arguments.scans, subjects, real=not arguments.settling)
    else:
        detect(arguments.scans, arguments.results, arguments.model)


if __name__ == "__main__":
    main()
