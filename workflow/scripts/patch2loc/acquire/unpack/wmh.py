"""WMH 2017: the 60 training subjects of three sites.

In wmh.nii.gz 1 is a white-matter hyperintensity and 2 other pathology, which is no lesion here: the configuration
says `lesion_labels: [1]`, the file stays as it is.
"""

import re
from pathlib import PurePosixPath

EXPECTED = "training/{Utrecht,Singapore,Amsterdam/GE3T}/ID/orig/T1.nii.gz and ID/wmh.nii.gz"
FOLDERS = {"Utrecht": "Utrecht", "Singapore": "Singapore", "GE3T": "Amsterdam/GE3T"}
LATER_RELEASE = {"test", "additional_annotations"}  # 110 subjects of the challenge's test, other raters
SCAN = re.compile(
    r"(?:.*/)?(Utrecht|Singapore|GE3T)/(\d+)/((?:orig|pre)/(?:3DT1|T1|FLAIR)\.nii\.gz|wmh\.nii\.gz)"
)


def place(path: PurePosixPath) -> PurePosixPath | None:
    """training/SITE[/SCANNER]/ID/, whatever folders were around the site's."""
    match = SCAN.fullmatch(str(path))
    if not match or LATER_RELEASE & {part.lower() for part in path.parts}:
        return None
    return PurePosixPath("training", FOLDERS[match[1]], match[2], match[3])


def subject(path: PurePosixPath) -> str | None:
    """SITE_ID, as in splits/wmh.csv."""
    match = SCAN.fullmatch(str(path))
    return f"{match[1]}_{match[2]}" if match else None
