"""One head in every form of NIfTI: a mark on its right stays on its right, in the scan and in maps carried to it.

SimpleITK reads the same files with code of its own: the place that it tells is the check of ours.
"""

from datetime import timedelta
from itertools import product

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as some
from nibabel.openers import ImageOpener
from poses import rigid

from patch2loc.data import volumes
from patch2loc.data.volumes import Grid
from patch2loc.errors import InputError
from patch2loc.preprocess.images import read_scan
from patch2loc.preprocess.scan import to_native_space

MARK = np.array([14.0, 9.0, 5.0])  # mm: right, anterior, superior of the center
SIZE = 28
GRID = Grid((40, 40, 40), 2.0, (0.0, 0.0, 0.0))
AXES = {
    "RAS": np.eye(4),
    "LAS": np.diag([-1.0, 1, 1, 1]),
    "LPS": np.diag([-1.0, -1, 1, 1]),
    "RAI": np.diag([1.0, 1, -1, 1]),
    "PSR": np.array([[0, 0, 1, 0], [-1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]),
    "oblique": rigid((10, 20, 30), (0, 0, 0)),
    "oblique and mirrored": rigid((170, -20, 30), (0, 0, 0)) @ np.diag([1.0, 1, -1, 1]),
}
FILES = {
    "scan.nii": nib.Nifti1Image,
    "scan.nii.gz": nib.Nifti1Image,
    "scan.hdr": nib.Nifti1Pair,
    "scan.img": nib.Nifti1Pair,
    "scan.img.gz": nib.Nifti1Pair,
}
CODES = {"both": (1, 1), "sform alone": (2, 0), "qform alone": (0, 1), "of two spaces": (4, 1)}


def brightness(affine, shape):
    """A head of 100 with a mark of 300, (x, y, z) float32, by the places of the voxels."""
    places = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    head = np.linalg.norm(places / [30, 34, 26], axis=-1) < 1
    mark = np.exp(-((np.linalg.norm(places - MARK, axis=-1) / 5) ** 2))
    return (100 * head + 200 * mark * head).astype(np.float32)


def affine_of(axes, edges=(2.0, 2.0, 2.0)):
    """4 x 4: the center of the array at the origin."""
    affine = axes @ np.diag([*edges, 1.0])
    affine[:3, 3] = -affine[:3, :3] @ np.full(3, (SIZE - 1) / 2)
    return affine


def write_head(path, affine, codes, kind):
    image = kind(brightness(affine, (SIZE,) * 3), affine)
    image.set_sform(affine, codes[0])
    moved = affine.copy()
    if all(codes) and codes[0] != codes[1]:
        moved[:3, 3] += 40  # which two spaces may be apart
    image.set_qform(moved, codes[1])
    image.to_filename(path)


def marked_place(array, affine):
    """Center of what is above the head's brightness, mm, RAS."""
    excess = np.maximum(np.nan_to_num(array) - 150, 0)
    center = np.array([(np.indices(array.shape)[axis] * excess).sum() / excess.sum() for axis in range(3)])
    return affine[:3, :3] @ center + affine[:3, 3]


def marked_place_by_simpleitk(path):
    image = sitk.ReadImage(str(path))
    array = np.nan_to_num(sitk.GetArrayFromImage(image).T)
    return marked_place(array, affine_by_simpleitk(image))


def affine_by_simpleitk(image):
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1, 1, 1]) @ affine


def assert_mark_stays(path, folder, tolerance):
    array, affine = read_scan(path)
    np.testing.assert_allclose(marked_place(array, affine), MARK, atol=tolerance)
    on_grid = brightness(GRID.affine, GRID.shape)
    carried = to_native_space(on_grid, GRID, sitk.AffineTransform(3), path)
    volumes.write(folder / "heatmap.nii.gz", carried, affine)
    np.testing.assert_allclose(marked_place_by_simpleitk(folder / "heatmap.nii.gz"), MARK, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "axes", "codes"),
    [*product(["scan.nii.gz"], AXES, CODES), *product(FILES, ["PSR", "oblique and mirrored"], ["both"])],
)
def test_a_mark_stays_on_its_side(name, axes, codes, tmp_path):
    write_head(tmp_path / name, affine_of(AXES[axes]), CODES[codes], FILES[name])
    assert_mark_stays(tmp_path / name, tmp_path, tolerance=0.5)
    if codes != "of two spaces":  # of which SimpleITK takes the other
        np.testing.assert_allclose(marked_place_by_simpleitk(tmp_path / name), MARK, atol=0.5)


@pytest.mark.parametrize("kind", [nib.Nifti2Image, nib.Nifti2Pair])
@pytest.mark.parametrize("axes", AXES)
def test_a_mark_stays_on_its_side_in_nifti_2(kind, axes, tmp_path):
    path = tmp_path / ("scan.nii.gz" if kind is nib.Nifti2Image else "scan.hdr")
    write_head(path, affine_of(AXES[axes]), (1, 1), kind)
    assert_mark_stays(path, tmp_path, tolerance=0.5)


def test_a_file_of_another_byte_order_with_an_extension_keeps_the_mark(tmp_path):
    affine = affine_of(AXES["LAS"])
    header = nib.Nifti1Header(endianness=">")
    header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"made by hand"))
    image = nib.Nifti1Image(brightness(affine, (SIZE,) * 3), affine, header)
    image.set_qform(affine, 1)
    image.to_filename(tmp_path / "scan.nii")
    assert (tmp_path / "scan.nii").read_bytes()[:4] == b"\0\0\x01\x5c"
    assert_mark_stays(tmp_path / "scan.nii", tmp_path, tolerance=0.5)


def test_a_qfac_of_0_is_1(tmp_path):
    path = tmp_path / "scan.nii"
    write_head(path, affine_of(AXES["oblique"]), (0, 1), nib.Nifti1Image)
    content = bytearray(path.read_bytes())
    content[76:80] = bytes(4)
    path.write_bytes(content)
    assert_mark_stays(path, tmp_path, tolerance=0.5)
    np.testing.assert_allclose(marked_place_by_simpleitk(path), MARK, atol=0.5)


@settings(derandomize=True, database=None, deadline=timedelta(seconds=5), max_examples=40)
@given(
    angles=some.tuples(*[some.floats(-180, 180)] * 3),
    edges=some.tuples(*[some.floats(1.6, 3.0)] * 3),
    mirrored=some.booleans(),
    name=some.sampled_from(sorted(FILES)),
    codes=some.sampled_from(sorted(CODES)),
    other_mirrored=some.booleans(),
)
def test_a_mark_stays_on_its_side_in_any_pose_or_the_scan_is_refused(
    tmp_path_factory, angles, edges, mirrored, name, codes, other_mirrored
):
    folder = tmp_path_factory.mktemp("pose")
    flip = np.diag([1.0, -1.0 if mirrored else 1.0, 1, 1])
    affine = affine_of(rigid(angles, (0, 0, 0)) @ flip, edges)
    write_head(folder / name, affine, CODES[codes], FILES[name])
    if other_mirrored and all(CODES[codes]):
        header_file = folder / name.replace(".img", ".hdr")
        with ImageOpener(header_file) as stream:
            content = bytearray(stream.read())
        qfac = np.frombuffer(content, "<f4", 1, 76)[0]
        content[76:80] = np.float32(-qfac).tobytes()
        with ImageOpener(header_file, "wb") as stream:
            stream.write(bytes(content))
        with pytest.raises(InputError, match="mirror each other"):
            read_scan(folder / name)
        return
    assert_mark_stays(folder / name, folder, tolerance=1.0)
