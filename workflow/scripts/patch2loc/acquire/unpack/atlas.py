"""ATLAS v2.0: the training scans, in MNI space, with the outlines of their lesions.

The release is encrypted: its archive is decrypted while it is unpacked (acquire.decrypt). An archive that was
decrypted by hand is taken, too.
"""

import re
from pathlib import PurePosixPath

EXPECTED = (
    "ATLAS_R2.0_encrypted.tar.gz, or decrypted, with Training/R###/sub-r###s###/ses-1/anat/"
    "..._space-MNI152NLin2009aSym_T1w.nii.gz and ..._label-L_desc-T1lesion_mask.nii.gz"
)
SCAN = re.compile(
    r"(?:.*/)?(Training/R\d{3}/(sub-r\d{3}s\d{3})/(ses-\d+)/anat/\2_\3_space-MNI152NLin2009aSym_"
    r"(?:T1w|label-L_desc-T1lesion_mask)\.nii\.gz)"
)


def place(path: PurePosixPath) -> PurePosixPath | None:
    """ATLAS_2/Training/..., as in the release; the test scans, which have no lesions, are left out."""
    match = SCAN.fullmatch(str(path))
    return PurePosixPath("ATLAS_2", match[1]) if match else None


def subject(path: PurePosixPath) -> str | None:
    """sub-r###s###."""
    match = SCAN.fullmatch(str(path))
    return match[2] if match else None
