"""Files of images: what else is found in their place, both halves of a pair, and their hash."""

import errno
import hashlib
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from patch2loc.data import volumes
from patch2loc.data.image_files import check_file, image_files, image_sha256, reading
from patch2loc.errors import InputError, ResourceError
from patch2loc.files import sha256

FAILING = Path("/proc/self/mem")  # whose first bytes give an I/O error, as a failing disk does


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("a.nii.gz", ["a.nii.gz"]),
        ("a.nii", ["a.nii"]),
        ("a.hdr", ["a.hdr", "a.img"]),
        ("a.img", ["a.hdr", "a.img"]),
        ("a.b.img.gz", ["a.b.hdr.gz", "a.b.img.gz"]),
        ("A.HDR", ["A.HDR", "A.IMG"]),
        ("img", ["img"]),
    ],
)
def test_the_files_of_an_image(name, files):
    assert image_files(Path("scans", name)) == tuple(Path("scans", file) for file in files)


@pytest.mark.parametrize("name", ["a.hdr", "a.img", "a.img.gz", "A.HDR"])
def test_the_files_of_a_pair_are_those_that_are_read(name, tmp_path):
    nib.Nifti1Pair(np.ones((3, 3, 3), np.uint8), np.eye(4)).to_filename(tmp_path / name)
    assert {path.name for path in image_files(tmp_path / name)} == set(os.listdir(tmp_path))
    volumes.read(tmp_path / name)


def test_the_hash_of_a_pair_depends_on_both_files(tmp_path):
    image = nib.Nifti1Pair(np.ones((3, 3, 3), np.uint8), np.eye(4))
    image.to_filename(tmp_path / "a.hdr")
    before = image_sha256(tmp_path / "a.hdr")
    assert image_sha256(tmp_path / "a.img") == before
    content = (tmp_path / "a.img").read_bytes()
    (tmp_path / "a.img").write_bytes(b"\2" + content[1:])
    changed = image_sha256(tmp_path / "a.hdr")
    (tmp_path / "a.img").write_bytes(content)
    (tmp_path / "a.hdr").write_bytes((tmp_path / "a.hdr").read_bytes() + b"\0")
    assert len({before, changed, image_sha256(tmp_path / "a.hdr")}) == 3


def test_the_hash_of_a_single_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"bytes")
    assert image_sha256(tmp_path / "a.nii.gz") == hashlib.sha256(b"bytes").hexdigest()
    assert sha256(tmp_path / "a.nii.gz") == hashlib.sha256(b"bytes").hexdigest()


@pytest.mark.skipif(not FAILING.exists(), reason="no file here gives an I/O error")
@pytest.mark.parametrize("read", [volumes.read, image_sha256])
def test_a_failing_disk_is_not_the_scan_s_fault(read, tmp_path):
    path = tmp_path / "scan.nii.gz"
    path.symlink_to(FAILING)
    with pytest.raises(ResourceError, match=r"scan\.nii\.gz: Input/output error while it was read"):
        read(path)


@pytest.mark.parametrize(
    ("number", "raised"),
    [(errno.ENOENT, InputError), (errno.EIO, ResourceError), (errno.EACCES, ResourceError)],
)
def test_an_error_of_the_system_names_the_file(number, raised, tmp_path):
    with pytest.raises(InputError, match=f"^{tmp_path}/own: ") as caught, reading(tmp_path / "own", "it"):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is raised


def test_an_error_of_a_library_passes(tmp_path):
    with pytest.raises(OSError, match="Not a gzipped file"), reading(tmp_path / "own"):
        raise OSError("Not a gzipped file")


def test_the_message_says_what_was_expected(tmp_path):
    with pytest.raises(InputError, match="a folder found, the mask was expected there"):
        check_file(tmp_path, "the mask")
