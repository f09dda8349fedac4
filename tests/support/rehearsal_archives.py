"""The archives of the paper's datasets, in their official layouts, filled with simulated heads at 1 mm.

Every lesion is in the left hemisphere, so that a scan or a mask that is mirrored somewhere is noticed.  What was
simulated is kept beside the archives, on the voxels that it was simulated on: truth/{dataset}/{subject}_{brain,lesion}.
"""

import gzip
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import nibabel as nib
import numpy as np
import replica
from scipy import ndimage

from patch2loc.acquire import phantom
from patch2loc.acquire.phantom import lesions
from patch2loc.data import splits, volumes
from patch2loc.files import sha256
from patch2loc.preprocess.atlas import load_atlas
from patch2loc.provenance.code import code_hash

SEED = 22
SETTINGS = {"anatomy_spacing": 1.0, "voxel_size": [1.0, 1.0, 1.0], "noise": 0.03}
MIDLINE = 4.0  # mm beside it that hold no lesion
# Subjects of the published lists.  IXI: their roles in the first fold are train, validation, test.
IXI_ROLES = {"train": 4, "validation": 2, "test": 2}
ON_NO_LIST = "IXI637-HH-2785"  # IXI-T1.tar has it, the paper's lists have not
BRATS21 = ("BraTS2021_00000", "BraTS2021_00002")
MSLUB = ("patient01", "patient02")
MORE_OF_MSLUB = tuple(f"patient{number:02d}" for number in range(3, 21))  # twenty of thirty with those two
ATLAS = ("sub-r001s001", "sub-r001s002")
BROKEN = "sub-r001s003"  # of ATLAS; its scan is cut off in the middle
WMH = ("GE3T_100", "Singapore_50", "Utrecht_0")  # one of each site
COHORTS = {"brats21": "tumor", "mslub": "ms", "atlas": "stroke", "wmh": "wmh"}
MADE_BY = "made_by"  # file in a folder of archives that are complete
OTHER_PATHOLOGY = 2  # label of WMH that is no lesion


class Head(NamedTuple):
    """A simulated scan on the voxels of a dataset, and the truth on those that it was simulated on.

    Attributes:
        scan: (x, y, z) int16.
        brain: (x, y, z) bool.
        lesion: (x, y, z) bool.
        affine: Voxel indices of these to mm, 4 x 4.
        truth: Brain and lesion as simulated, each (x, y, z) uint8.
        truth_affine: Its voxel indices to mm, in the same space, 4 x 4.
    """

    scan: np.ndarray
    brain: np.ndarray
    lesion: np.ndarray
    affine: np.ndarray
    truth: dict[str, np.ndarray]
    truth_affine: np.ndarray


class Voxels(NamedTuple):
    """Voxels of a dataset: directions of the axes, their number, edges in mm, tilt about x in degrees."""

    axes: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    tilt: float = 0.0
    origin: tuple[float, float, float] | None = None  # mm of the first voxel; None: the head is in the middle


# As the headers of the published scans have them, but for MSLUB, whose scans are finer (0.47 x 0.47 x 0.8 mm).
VOXELS = {
    ("ixi", "T1"): Voxels("PSR", (256, 256, 150), (0.9375, 0.9375, 1.2)),
    ("ixi", "T2"): Voxels("LPS", (256, 256, 130), (0.9375, 0.9375, 1.25), tilt=9.0),
    ("brats21", "T2"): Voxels("LPS", (240, 240, 155), (1.0, 1.0, 1.0), origin=(0.0, 239.0, 0.0)),
    ("mslub", "T2"): Voxels("LAS", (180, 220, 200), (1.0, 1.0, 0.9)),
    ("atlas", "T1"): Voxels("RAS", (197, 233, 189), (1.0, 1.0, 1.0)),
    ("wmh", "T1"): Voxels("LAS", (240, 240, 48), (0.96, 0.96, 3.0), tilt=-6.0),
}


def subjects_of_ixi():
    """Listed subjects with both contrasts, some of every role in the first fold."""
    table = splits.of_modality(splits.read(str(replica.SPLITS / "ixi.csv")), "T2")
    return {role: list(table["subject"][table["fold0"] == role][:count]) for role, count in IXI_ROLES.items()}


def heads(dataset, number):
    """The simulated head of a subject in the contrasts of its dataset, on their voxels: {modality: Head}."""
    cohort = COHORTS.get(dataset, "healthy")
    with patch.object(lesions, "grow", _on_one_side(lesions.grow)):
        scans = phantom.simulate_subject(cohort, number, SEED, SETTINGS)
    on_voxels = {}
    for modality in (modality for name, modality in VOXELS if name == dataset):
        scan, affine = scans[modality], scans[modality].affine
        if scan.lesion.any() and _center(scan.lesion, affine)[0] > _center(scan.brain, affine)[0]:
            affine = np.diag([-1.0, 1.0, 1.0, 1.0]) @ affine  # the mirror image of a head is a head
        on_voxels[modality] = _on_voxels(scan, affine, VOXELS[dataset, modality])
    return on_voxels


def _on_one_side(grow):
    """The function, whose lesions stay in the hemisphere that has most of them."""

    def grow_on_one_side(rng, cohort, anatomy, **named):
        lesion = grow(rng, cohort, anatomy, **named)
        x = anatomy.axes[0]
        left, right = (lesion.membership[side].sum() for side in (x < 0, x > 0))
        kept = (x < -MIDLINE) if left > right else (x > MIDLINE)
        lesion.membership = lesion.membership * kept[:, None, None]
        lesion.compartments = [
            (membership * kept[:, None, None], values) for membership, values in lesion.compartments
        ]
        return lesion

    return grow_on_one_side


def _center(mask, affine):
    """Center of the bounding box of a mask, mm."""
    box = ndimage.find_objects(np.asarray(mask, np.uint8))[0]
    return affine[:3, :3] @ [(edge.start + edge.stop - 1) / 2 for edge in box] + affine[:3, 3]


def _on_voxels(simulated, affine, grid):
    """A head that is resampled to the voxels of a dataset, by interpolation between neighbors."""
    turn = np.deg2rad(grid.tilt)
    tilted = np.eye(4)
    tilted[1:3, 1:3] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    codes = nib.orientations.axcodes2ornt(grid.axes)
    to_world = np.eye(4)
    to_world[:3, :3] = 0
    for axis, (world_axis, direction) in enumerate(codes):
        to_world[int(world_axis), axis] = direction * grid.spacing[axis]
    to_world = tilted @ to_world
    middle = (np.asarray(grid.shape) - 1) / 2
    to_world[:3, 3] = _center(simulated.brain, affine) - to_world[:3, :3] @ middle
    to_simulated = np.linalg.inv(affine) @ to_world

    def sampled(array):
        matrix, offset = to_simulated[:3, :3], to_simulated[:3, 3]
        return ndimage.affine_transform(array.astype(np.float32), matrix, offset, grid.shape, order=1)

    moved = np.eye(4)
    if grid.origin is not None:
        moved[:3, 3] = np.asarray(grid.origin) - to_world[:3, 3]
    return Head(
        scan=np.rint(sampled(simulated.array)).astype(np.int16),
        brain=sampled(simulated.brain) >= 0.5,
        lesion=sampled(simulated.lesion) >= 0.5,
        affine=moved @ to_world,
        truth={"brain": simulated.brain, "lesion": simulated.lesion},
        truth_affine=moved @ affine,
    )


def nifti(array, affine):
    """A compressed NIfTI; voxels are as in the array, the units mm."""
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), 1, mtime=0)


def contents(files):
    """Content of an archive, as the layouts of `replica` ask for it: {path: bytes} of {path: (subject, part)}.

    Of {subject: {part: bytes}}; a part that is not there is the one called None, the scan that is read, once more.
    """
    return lambda layout: {
        path: files[subject][part if part in files[subject] else None]
        for path, (subject, part) in layout.items()
    }


def ixi(by_modality):
    """Whole heads in both contrasts, on voxels of their own."""
    return {modality: nifti(each.scan, each.affine) for modality, each in by_modality.items()}


def brats21(by_modality):
    """Stripped scan, and the three labels of a segmentation, which are all lesion: 4 in the middle, 1, 2 around."""
    simulated = by_modality["T2"]
    depth = ndimage.distance_transform_edt(simulated.lesion)
    labels = np.select([depth > 8, depth > 4, depth > 0], [4, 1, 2], 0).astype(np.uint8)
    scan = nifti(np.where(simulated.brain, simulated.scan, 0).astype(np.int16), simulated.affine)
    return {None: scan, "seg": nifti(labels, simulated.affine)}


def mslub(by_modality):
    """Whole head with its brain mask; the scan below raw/ is on other voxels."""
    simulated = by_modality["T2"]
    scan, brain, lesion = (
        nifti(array, simulated.affine)
        for array in (simulated.scan, simulated.brain.astype(np.uint8), simulated.lesion.astype(np.uint8))
    )
    raw = nifti(
        np.ascontiguousarray(simulated.scan[::2, ::2, ::2]), simulated.affine @ np.diag([2.0, 2, 2, 1])
    )
    return {None: scan, "brainmask": brain, "consensus_gt": lesion, "raw T2W": raw}


def atlas(by_modality):
    """Whole head in MNI space, with an outline."""
    simulated = by_modality["T1"]
    lesion = simulated.lesion.astype(np.uint8)
    scan = nifti(simulated.scan, simulated.affine)
    return {None: scan, "label-L_desc-T1lesion_mask": nifti(lesion, simulated.affine)}


def wmh(by_modality):
    """Whole head in slices of 3 mm; besides the lesions, other pathology in the right hemisphere, which is none."""
    simulated = by_modality["T1"]
    labels = simulated.lesion.astype(np.uint8)
    voxels = np.argwhere(simulated.brain)
    points = voxels @ simulated.affine[:3, :3].T + simulated.affine[:3, 3]
    to_the_right = np.add(_center(simulated.brain, simulated.affine), (30.0, 0.0, 15.0))
    near = np.linalg.norm(points - to_the_right, axis=1) < 9
    labels[tuple(voxels[near].T)] = OTHER_PATHOLOGY
    return {None: nifti(simulated.scan, simulated.affine), "wmh": nifti(labels, simulated.affine)}


PARTS = {"ixi": ixi, "brats21": brats21, "mslub": mslub, "atlas": atlas, "wmh": wmh}


def sri24():
    """sri24_anatomy_nifti.zip of a stand-in: ICBM152, its T2 and proton density simulated, on the atlas's voxels.

    The published files are 4-D, (240, 240, 155, 1), and stored from right to left.
    """
    t1, t2 = (load_atlas("icbm152", modality) for modality in ("T1", "T2"))
    density = np.where(t1.mask, 60 + 40 * t2.image / 255, 0)
    shape = (240, 240, 155)
    to_world = np.diag([-1.0, 1.0, 1.0, 1.0])
    to_world[:3, 3] = _center(t1.mask, t1.affine) - to_world[:3, :3] @ (np.asarray(shape) // 2)
    to_icbm = np.linalg.inv(t1.affine) @ to_world
    images = {}
    for name, image in {"spgr": t1.image, "late": t2.image, "erly": density}.items():
        moved = ndimage.affine_transform(
            image.astype(np.float32), to_icbm[:3, :3], to_icbm[:3, 3], shape, order=1
        )
        images[name] = nib.Nifti1Image(np.rint(moved).astype(np.int16)[..., None], to_world).to_bytes()
    return replica.sri24_of(images)


def write_archives(folder, workers):
    """Make all archives, unless they are there as this code makes them.

    served/   what is downloaded: IXI-T1.tar, IXI-T2.tar, sri24_anatomy_nifti.zip, and wmh/ with the Dataverse's files
    by_hand/  what a person gets: brats21/, mslub/, atlas/
    truth/    what was simulated
    """
    if _is_made(folder):
        return
    shutil.rmtree(folder, ignore_errors=True)
    served, by_hand = folder / "served", folder / "by_hand"
    for each in (served, by_hand / "brats21", by_hand / "mslub", by_hand / "atlas"):
        each.mkdir(parents=True)
    of_ixi = [*(subject for group in subjects_of_ixi().values() for subject in group), ON_NO_LIST]
    listed = {"ixi": of_ixi, "brats21": BRATS21, "mslub": MSLUB, "atlas": (*ATLAS, BROKEN), "wmh": WMH}
    asked = [(name, subject, number) for name in listed for number, subject in enumerate(listed[name])]
    files = simulated_files(asked, folder / "truth", workers)
    whole = files[BROKEN][None]
    files[BROKEN][None] = whole[: len(whole) // 2]
    content = contents(files)
    (served / "IXI-T1.tar").write_bytes(replica.ixi("T1", of_ixi, content))
    (served / "IXI-T2.tar").write_bytes(replica.ixi("T2", of_ixi[:-1], content))
    (served / "sri24_anatomy_nifti.zip").write_bytes(sri24())
    # As registration gives it, with a folder around the cases, and as the most common public copy: a tar in a zip.
    brats = replica.zipped(replica.brats21_files(BRATS21[:1], content))
    (by_hand / "brats21/RSNA-ASNR-MICCAI-BraTS-2021.zip").write_bytes(brats)
    copy = replica.tar(replica.brats21_files(BRATS21[1:], content, folder="."))
    copies = replica.zipped({"BraTS2021_Training_Data.tar": copy})
    (by_hand / "brats21/archive.zip").write_bytes(copies)
    for patient in MSLUB:
        (by_hand / f"mslub/{patient}.zip").write_bytes(replica.mslub([patient], content))
    rows = [row for row in replica.listed("atlas", 700) if row["subject"] in (*ATLAS, BROKEN)]
    encrypted = replica.encrypted(replica.atlas(rows, content))
    (by_hand / "atlas/ATLAS_R2.0_encrypted.tar.gz").write_bytes(encrypted)
    rows = [row for row in replica.listed("wmh", 60) if row["subject"] in WMH]
    for path, file in replica.wmh(rows, content).items():
        target = served / "wmh" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file)
    _mark_as_made(folder)


def write_more_patients(folder, workers):
    """Make the archives of MORE_OF_MSLUB, one of each patient, unless they are there as this code makes them."""
    if _is_made(folder):
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    asked = [("mslub", patient, number) for number, patient in enumerate(MORE_OF_MSLUB, start=len(MSLUB))]
    files = simulated_files(asked, folder / "truth", workers)
    for patient in MORE_OF_MSLUB:
        (folder / f"{patient}.zip").write_bytes(replica.mslub([patient], contents(files)))
    _mark_as_made(folder)


def simulated_files(asked, truth_folder, workers):
    """Files of heads, {subject: {part: bytes}}, of (dataset, subject, number); writes the truth of lesions."""
    files = {}
    with ProcessPoolExecutor(workers) as pool:
        simulated = pool.map(heads, [name for name, _, _ in asked], [number for _, _, number in asked])
        for (name, subject, _), by_modality in zip(asked, simulated, strict=True):
            files[subject] = PARTS[name](by_modality)
            if name in COHORTS:
                (only,) = by_modality.values()
                for part, mask in only.truth.items():
                    volumes.write(truth_folder / name / f"{subject}_{part}.nii.gz", mask, only.truth_affine)
    return files


def _version():
    """What archives depend on: a hash of the code."""
    return code_hash("patch2loc.acquire.phantom") + sha256(Path(__file__)) + sha256(Path(replica.__file__))


def _is_made(folder):
    made_by = folder / MADE_BY
    return made_by.is_file() and made_by.read_text(encoding="utf-8") == _version()


def _mark_as_made(folder):
    (folder / MADE_BY).write_text(_version(), encoding="utf-8")


def served_files(folder):
    """{path of a request: content} of a mirror of the sources."""
    served = folder / "served"
    dataverse = {
        str(path.relative_to(served / "wmh")): path.read_bytes()
        for path in sorted((served / "wmh").rglob("*"))
        if path.is_file()
    }
    archives = {f"/{path.name}": path.read_bytes() for path in served.iterdir() if path.is_file()}
    return {**archives, **replica.dataverse(dataverse)}


def truth_of(folder: Path, dataset: str, subject: str):
    """Brain and lesion as simulated, {part: array}, and their affine."""
    read = {
        part: volumes.read(folder / "truth" / dataset / f"{subject}_{part}.nii.gz")
        for part in ("brain", "lesion")
    }
    return {part: array > 0 for part, (array, _) in read.items()}, read["brain"][1]
