"""MSLUB: the official release (patientNN/patientNN_T2W.nii.gz), or a copy of the public mirror.

The official folder of a patient has the co-registered scans, brain mask and lesions, all on the voxels of the FLAIR,
and below raw/ the scans before that, under the same names. The mirror (GitHub muschellij2/open_ms_data) has them as
cross_sectional/coregistered/patientNN/ and cross_sectional/raw/patientNN/, some without the patient's name in front;
its MNI/ and longitudinal/ hold other images of the same or other patients. How the official archives are nested could
not be seen: the patient is taken from the file's name, or else from the folder or archive that the file lies in.
"""

import re
from pathlib import PurePosixPath

EXPECTED = (
    "patientNN_T2W.nii.gz, _brainmask and _consensus_gt in any folder, or T2W.nii.gz and so on in a folder or "
    "archive patientNN; nothing below raw, MNI or longitudinal"
)
OTHER_SPACES = {"raw", "MNI", "longitudinal"}
PATIENT = re.compile(r"patient\d{2}")
SCAN = re.compile(r"(?:(patient\d{2})_)?(T1W|T2W|FLAIR|T1WKS|brainmask|consensus_gt)\.nii\.gz")


def place(path: PurePosixPath) -> PurePosixPath | None:
    """patientNN/patientNN_NAME.nii.gz: co-registered images only, as masks are on their voxels."""
    match = SCAN.fullmatch(path.name)
    if not match or OTHER_SPACES & set(path.parts):
        return None
    patient = match[1] or path.parent.name
    return PurePosixPath(patient, f"{patient}_{match[2]}.nii.gz") if PATIENT.fullmatch(patient) else None


def subject(path: PurePosixPath) -> str | None:
    """patientNN."""
    return path.parts[0]
