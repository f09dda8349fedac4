"""The project's words as types: roles, truth, the description of a dataset, and landmarks."""

from typing import Literal, NotRequired, TypedDict

from patch2loc.data.modalities import Modality

QUALITY = "qc.json"  # file of quality control in the folder of a preprocessed scan
DatasetRole = Literal["lesion", "healthy", "unlabeled"]
SubjectRole = Literal["train", "validation", "test"]  # in a fold
# Intensities after the landmarks: over their 98th percentile; or percentiles 1 to 99 clipped and made 0 to 1.
Scale = Literal["percentile", "range"]
# Patches of the patch analysis: whole ones; or the first centered on the edge of the grid.
Tiles = Literal["whole", "from-edge"]
Truth = Literal["half", "any"]  # how much of a voxel of the grid lesion fills


class DatasetInfo(TypedDict):
    """A dataset as tables, figures and the report describe it."""

    title: str
    modality: Modality
    role: DatasetRole
    simulated: bool
    published_name: str | None  # its name in the paper's tables
    sites: NotRequired[dict[str, str]]  # {subject: site}
    n_listed: NotRequired[int]  # scans that its list has to be tested, whether they were or not
    lesion_diameter_mm: NotRequired[
        float
    ]  # of a ball of the volume of each of its lesions, where all have one
    change: NotRequired[str]  # of controlled lesions: a key of `acquire.controlled.CHANGES`
    # Of these: healthy scan, diameter in mm and amount of change of each subject
    lesions: NotRequired[dict[str, tuple[str, float, float]]]


class Landmarks(TypedDict):
    """Intensity landmarks (Nyul et al. 2000), as landmarks/{modality}/fold{fold}.json and models hold them."""

    percentiles: list[float]  # (n,), ascending
    standard_scale: list[float]  # (n,), 0 to 100: the intensity that each percentile is mapped to
    subjects: NotRequired[list[str]]  # that they were fitted to; unknown for landmarks from elsewhere
    scale: NotRequired[Scale]
    background: NotRequired[bool]  # percentiles are of the box of a brain, background included
