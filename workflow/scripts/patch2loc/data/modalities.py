"""The modalities: what a dataset can have scans of, a row of one table each.

To add one, add its name to `Modality` and its row to `MODALITIES`, its weights in `patch2loc.preprocess.modality`
(benchmarks/modality.py fits them), and its simulated contrast in `patch2loc.acquire.phantom.contrast`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Modality = Literal["T1", "T2", "FLAIR"]
Tissue = Literal["csf", "gray", "white"]


@dataclass(frozen=True)
class ModalityRow:
    """What is known of a modality.

    Attributes:
        scan: What messages call a scan that looks like one of this modality, with an article.
        spellings: Regular expression of what people write for the modality, whatever the case.
        bids_suffix: End of the names of its scans in a BIDS dataset.
        dicom_words: Regular expression of words, lower case, one of which the description of a DICOM series has.
        other_dicom_words: The same for words that it must not have: the series is of another modality after all.
        order: The tissues of a healthy adult brain, darkest first.
        sri24_file: Map of the SRI24 atlas that has this contrast; None if the atlas has none.
        simulated_atlas: Brightness of pure tissue, which turns the tissue maps of ICBM152 into an atlas of this
            contrast; None if the atlas's own map, a T1, has it.
        pure: Percentiles of an atlas's brightness deep in its brain between which tissue is pure.  Where they overlap
            with another tissue, at borders, the brightness is steep, and the steeper half of each range is left out.
        has_rim_check: True if a bright rim of the brain mask tells that the mask is too tight.
        passes_into: Contrasts that pass into this one, so that a scan that looks like one of them is never refused.
    """

    scan: str
    spellings: str
    bids_suffix: str
    dicom_words: str
    other_dicom_words: str
    order: tuple[Tissue, Tissue, Tissue]
    sri24_file: str | None
    simulated_atlas: Mapping[Tissue, float] | None
    pure: Mapping[Tissue, tuple[float, float]]
    has_rim_check: bool
    passes_into: tuple[str, ...] = ()


# Simulated from common random streams, so always together.  Each other modality has streams of its own, so that a new
# one changes no simulated scan.
SIMULATED_TOGETHER: tuple[Modality, ...] = ("T1", "T2")
FLAIR_WORDS = r"flair|dark.?fluid|tirm"
MODALITIES: dict[Modality, ModalityRow] = {
    "T1": ModalityRow(
        scan="a T1 scan",
        spellings=r"t[ _-]?1[ _-]?(w|weighted)?",
        bids_suffix="T1w",
        dicom_words=r"t1|mp-?rage|mp2rage|f?spgr|bravo|tfl3d|tfe3d",
        other_dicom_words=FLAIR_WORDS,
        order=("csf", "gray", "white"),
        sri24_file="spgr.nii",
        simulated_atlas=None,
        pure={"csf": (0, 3), "gray": (20, 45), "white": (85, 100)},
        has_rim_check=True,
    ),
    "T2": ModalityRow(
        scan="a T2 scan, or a T1 scan with inverted brightness",
        spellings=r"t[ _-]?2[ _-]?(w|weighted)?",
        bids_suffix="T2w",
        dicom_words=r"t2",
        other_dicom_words=FLAIR_WORDS,
        order=("white", "gray", "csf"),
        sri24_file="late.nii",
        simulated_atlas={"csf": 1.0, "gray": 0.55, "white": 0.40},
        pure={"csf": (97, 100), "gray": (62, 76), "white": (0, 15)},
        has_rim_check=False,
        passes_into=("PD",),  # echoes of one sequence
    ),
    "FLAIR": ModalityRow(
        scan="a FLAIR scan",
        spellings=r"(t[ _-]?2[ _-]?(w|weighted)?[ _-]?)?flair[ _-]?(w|weighted)?",
        bids_suffix="FLAIR",
        dicom_words=FLAIR_WORDS,
        other_dicom_words=r"t1",
        order=("csf", "white", "gray"),
        sri24_file=None,
        simulated_atlas={"csf": 0.12, "gray": 1.0, "white": 0.80},
        pure={"csf": (0, 3), "gray": (88, 100), "white": (10, 30)},
        has_rim_check=False,
    ),
}
