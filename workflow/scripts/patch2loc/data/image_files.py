"""Files of an image as they lie on the disk: one, or two of a pair; what is in their place instead; their hash."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from patch2loc.errors import InputError, ResourceError
from patch2loc.files import sha256

PAIR = (".hdr", ".img")  # header and voxels
COMPRESSED = (".gz", ".bz2", ".zst")  # what nibabel reads
# How files begin that stand for a content that is elsewhere, what they are, and how to get the content.
POINTERS = {
    b"/annex/objects/": ("a file of git-annex without its content", "`datalad get` or `git annex get`"),
    b"version https://git-lfs": ("a file of Git LFS without its content", "`git lfs pull`"),
}
NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


def image_files(path: str | Path) -> tuple[Path, ...]:
    """The files that an image is stored in: its own, or header and voxels, in this order, where either is named."""
    path = Path(path)
    compression = path.suffix if path.suffix.lower() in COMPRESSED else ""
    uncompressed = Path(path.name.removesuffix(compression))
    if uncompressed.suffix.lower() not in PAIR:
        return (path,)
    suffixes = [suffix.upper() if uncompressed.suffix.isupper() else suffix for suffix in PAIR]
    header, voxels = (path.with_name(uncompressed.stem + suffix + compression) for suffix in suffixes)
    return header, voxels


def check_file(path: str | Path, expected: str = "a NIfTI image") -> None:
    """Check that a path leads to a file that can be read.

    Args:
        path: The file.
        expected: What is expected there, for the message.

    Raises:
        InputError: Nothing is there, or a folder, a link without end, a device, a pipe, or a file that stands for
            another one.
        ResourceError: It must not be read, or the disk fails.
    """
    with reading(path, expected):
        mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise InputError(
            f"{path}: a folder found, {expected} was expected there; name a file in it, or, if it holds a DICOM "
            "series, convert that to NIfTI, for example with dcm2niix"
        )
    if not stat.S_ISREG(mode):
        raise InputError(
            f"{path}: a device, pipe or socket found, {expected} was expected there; name a file"
        )
    with reading(path, expected), open(path, "rb") as stream:
        start = stream.read(max(map(len, POINTERS)))
    for pointer, (found, command) in POINTERS.items():
        if start.startswith(pointer):
            raise InputError(f"{path}: {found} found, {expected} was expected there; get it with {command}")


@contextmanager
def reading(path: str | Path, expected: str = "a NIfTI image") -> Iterator[None]:
    """Turn an error of the system while a file is read into one that names the file.

    Errors without a number, by which libraries say what is wrong with a content, pass.

    Raises:
        InputError: There is no such file.
        ResourceError: The file is there and cannot be read: by its rights, or because the disk fails.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        if error.errno not in NOT_THERE:
            raise ResourceError(
                f"{path}: {error.strerror} while it was read, {expected} was expected there; get the right to read "
                "it, or look after the disk or the connection to it, and try again"
            ) from error
        if os.path.islink(path):
            target = os.readlink(path)
            end = "in a circle" if error.errno == errno.ELOOP else "to no file"
            remedy = "; get it with `datalad get` or `git annex get`" if "annex/objects" in target else ""
            raise InputError(
                f"{path}: a link to {target} found, which leads {end}; {expected} was expected there{remedy}"
            ) from error
        raise InputError(f"{path}: no such file; {expected} was expected there") from error


def image_sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of an image's file, or of the two hashes of a pair's files.

    Raises:
        InputError: A file is not there.
        ResourceError: A file cannot be read.
    """
    hashes = []
    for file in image_files(path):
        check_file(file)
        with reading(file):
            hashes.append(sha256(file))
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
