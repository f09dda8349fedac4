"""Files that are no scan, or a scan of another contrast, each with its message: {name: (make, message)}.

make(folder) writes the input and gives the function that preprocesses it.
"""

import nibabel as nib
import numpy as np
from contrasts import brain_of, preprocessed, tissue

from patch2loc.data import volumes


def given(modality, make):
    """A row about a scan that `make` gives, (x, y, z) with its affine, given as a modality."""

    def write(folder):
        path = folder / "scan.nii.gz"
        volumes.write(path, *make())
        return lambda: preprocessed(path, modality)

    return write


def of(contrast, change=lambda array: array):
    """The brain of a contrast, changed."""

    def make():
        array, affine = brain_of(contrast)
        return np.where(array > 0, np.maximum(change(array), 1), 0).astype(np.float32), affine

    return make


def label_map():
    fractions, brain, affine = tissue()
    return np.where(brain, fractions.argmax(axis=0) + 1, 0).astype(np.uint8), affine


def lesion_mask():
    _, brain, affine = tissue()
    lesion = np.zeros(brain.shape, np.uint8)
    lesion[40:52, 50:62, 40:52] = 1
    return lesion, affine


def steps(count):
    return lambda array: np.ceil(count * np.clip(array / np.percentile(array[array > 0], 99), 0.01, 1)) * 40


def negated(folder):
    """Intensities stored whole, and negated by the header's slope."""
    array, affine = brain_of("T1")
    image = nib.Nifti1Image(np.where(array > 0, array, 1200).astype(np.int16), affine)
    image.header.set_slope_inter(-1, 1200)
    (folder / "scan.nii").write_bytes(image.to_bytes())
    return lambda: preprocessed(folder / "scan.nii", "T1")


OTHER = (
    r"this looks like {} \(log odds of {} -[0-9.]+, 2 expected at least; .*, a scan of the modality {} exp"
)
LEVELS = r" in 90% of the brighter voxels found, more than 8 expected of a scan; .*: give the scan itself"


def other(looks, modality):
    return OTHER.format(looks, modality, modality)


CONTRASTS = {
    "T2 as T1": (given("T1", of("T2")), other("a T2 scan.*", "T1")),
    "proton density as T1": (given("T1", of("PD")), other("a proton-density scan", "T1")),
    "FLAIR as T1": (given("T1", of("FLAIR")), other("a FLAIR scan", "T1")),
    "inverted T1": (
        given("T1", of("T1", lambda array: 1200 - array)),
        other("a T2 scan.*inverted.*", "T1"),
    ),
    "T1 with a negative slope": (negated, other("a T2 scan.*inverted.*", "T1")),
    "T1 as T2": (given("T2", of("T1")), other("a T1 scan", "T2")),
    "FLAIR as T2": (given("T2", of("FLAIR")), other("a FLAIR scan", "T2")),
    "T1 as FLAIR": (given("FLAIR", of("T1")), other("a T1 scan", "FLAIR")),
    "T2 as FLAIR": (given("FLAIR", of("T2")), other("a T2 scan.*", "FLAIR")),
    "label map": (given("T1", label_map), "[12] distinct values?" + LEVELS),
    "lesion mask as scan": (given("T2", lesion_mask), "1 distinct value" + LEVELS),
    "two levels": (
        given("T1", of("T1", lambda array: np.where(array > 700, 200, 100))),
        "[12] distinct values?" + LEVELS,
    ),
    "six levels": (given("T1", of("T1", steps(6))), "[1-6] distinct values" + LEVELS),
}
