"""BraTS 2021: the training cases.

Every label of the segmentation is lesion. The scans are skull-stripped and in SRI24 space already.
"""

import re
from pathlib import PurePosixPath

EXPECTED = "BraTS2021_#####_{t1,t1ce,t2,flair,seg}.nii.gz, in whatever folders, with all cases or in several archives"
SCAN = re.compile(r"(BraTS2021_\d{5})_(?:t1|t1ce|t2|flair|seg)\.nii\.gz")


def place(path: PurePosixPath) -> PurePosixPath | None:
    """BraTS2021_#####/, whatever folders were around it: archives of a single case have none."""
    match = SCAN.fullmatch(path.name)
    return PurePosixPath(match[1], path.name) if match else None


def subject(path: PurePosixPath) -> str | None:
    """BraTS2021_#####."""
    return path.parts[0]
