"""SRI24: sri24_anatomy_nifti.zip, the skull-stripped atlas."""

from pathlib import PurePosixPath

EXPECTED = "sri24_anatomy_nifti.zip with spgr.nii (T1), late.nii (T2), erly.nii (proton density)"
IMAGES = ("spgr", "late", "erly")


def place(path: PurePosixPath) -> PurePosixPath | None:
    """The images and the license, without folders; not the atlas with skull, whose images have the same names."""
    if any("unstripped" in part for part in path.parts):
        return None
    is_image = path.name in {f"{image}{suffix}" for image in IMAGES for suffix in (".nii", ".nii.gz")}
    return PurePosixPath(path.name) if is_image or path.name == "LICENSE" else None


def subject(path: PurePosixPath) -> None:
    """An atlas has no subjects."""
    return None
