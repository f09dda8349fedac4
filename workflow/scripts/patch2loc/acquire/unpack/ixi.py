"""IXI: IXI-T1.tar and IXI-T2.tar, scans without folders."""

import re
from pathlib import PurePosixPath

EXPECTED = "IXI-T1.tar and IXI-T2.tar with files IXI###-SITE-####-T1.nii.gz and -T2.nii.gz"
SCAN = re.compile(r"(IXI\d{3}-[A-Za-z]+-\d{4})-(T1|T2)\.nii\.gz")


def place(path: PurePosixPath) -> PurePosixPath | None:
    """IXI-T1/ and IXI-T2/, one file a scan."""
    match = SCAN.fullmatch(path.name)
    return PurePosixPath(f"IXI-{match[2]}", path.name) if match else None


def subject(path: PurePosixPath) -> str | None:
    """IXI###-SITE-####."""
    return path.name.rsplit("-", 1)[0]
