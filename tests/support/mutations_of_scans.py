"""Mutations of the files that hold a scan: their headers, their packing, and how much of the head is in them."""

import bz2
import gzip
from functools import partial
from itertools import permutations

import nibabel as nib
import numpy as np
from hypothesis import strategies as some
from mutations import mutations_by
from mutations_of_voxels import SPACING, axes
from nibabel.nifti1 import header_dtype

# Files: functions of a NIfTI-1 file, not compressed, that give {name: bytes}; the first one is the scan.


def _plain(content):
    return {"scan.nii": bytes(content)}


def _fields(content):
    """The header of a file, to read and to set fields of."""
    changed = bytearray(content)
    return changed, np.ndarray((), header_dtype, changed)


def random_field(content, field, values):
    changed = bytearray(content)
    dtype, place = header_dtype.fields[field][:2]
    changed[place : place + dtype.itemsize] = values.ljust(dtype.itemsize, b"\0")[: dtype.itemsize]
    return _plain(changed)


def set_fields(content, **values):
    changed, header = _fields(content)
    for name, value in values.items():
        header[name] = value
    return _plain(changed)


def codes(content, sform, qform):
    return set_fields(content, sform_code=sform, qform_code=qform)


def mirrored_form(content, form, sform, qform, axis):
    """One of the two forms is mirrored, so that they contradict each other."""
    image = nib.Nifti1Image.from_bytes(content)
    flip = np.diag([-1.0 if number == axis else 1.0 for number in range(3)] + [1.0])
    image.set_sform(image.affine @ flip if form == "sform" else image.affine, sform)
    image.set_qform(image.affine @ flip if form == "qform" else image.affine, qform)
    return _plain(image.to_bytes())


def shape(content, sizes):
    return set_fields(content, dim=[len(sizes), *sizes, *[1] * (7 - len(sizes))])


def permuted_shape(content, order):
    _, header = _fields(content)
    return shape(content, sizes=[int(header["dim"][1 + number]) for number in order])


def data_type(content, code):
    return set_fields(content, datatype=code)


def slope(content, slope, intercept):
    return set_fields(content, scl_slope=slope, scl_inter=intercept)


def voxel_sizes(content, sizes):
    changed, header = _fields(content)
    header["pixdim"][1:4] = sizes
    return _plain(changed)


def units(content, code):
    return set_fields(content, xyzt_units=code)


def offset(content, places):
    return set_fields(content, vox_offset=np.float32(places))


def truncated(content, share):
    return _plain(content[: int(share * len(content))])


def longer(content, more):
    return _plain(content + more)


def flipped_bits(content, places):
    """Bits of the compressed file."""
    packed = bytearray(gzip.compress(content, mtime=0))
    for place in places:
        packed[int(place * len(packed))] ^= 1 << int(place * 1e6) % 8
    return {"scan.nii.gz": bytes(packed)}


def cut_gzip(content, share):
    packed = gzip.compress(content, mtime=0)
    return {"scan.nii.gz": packed[: int(share * len(packed))]}


def packed(content, form):
    """The same file under the name and packing of another."""
    forms = {
        "gz": ("scan.nii.gz", gzip.compress(content)),
        "bz2": ("scan.nii.bz2", bz2.compress(content)),
        "not packed": ("scan.nii.gz", content),
        "packed without a name": ("scan.nii", gzip.compress(content)),
        "packed twice": ("scan.nii.gz", gzip.compress(gzip.compress(content))),
        "two parts": ("scan.nii.gz", gzip.compress(content[:9999]) + gzip.compress(content[9999:])),
        "no ending": ("scan", content),
        "another format": ("scan.mgz", gzip.compress(content)),
    }
    name, changed = forms[form]
    return {name: changed}


def big_endian(content):
    image = nib.Nifti1Image.from_bytes(content)
    header = image.header.as_byteswapped(">")
    swapped = nib.Nifti1Image(np.asarray(image.dataobj).astype(">i2"), None, header)
    return _plain(swapped.to_bytes())


def stored_as(content, dtype):
    image = nib.Nifti1Image.from_bytes(content)
    return _plain(_with_header_of(image, np.asarray(image.dataobj).astype(dtype), image.affine).to_bytes())


def stored_along(content, order, flips):
    """Another order of the axes in storage, which the header tells: the same head in the same place."""
    image = nib.Nifti1Image.from_bytes(content)
    turned = image.as_reoriented(np.c_[order, flips])
    turned.set_qform(turned.affine, 1)
    return _plain(turned.to_bytes())


def moved(content, degrees, millimeters):
    """The head in another pose, which the header tells."""
    image = nib.Nifti1Image.from_bytes(content)
    turn, move = np.deg2rad(degrees), np.eye(4)
    move[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    move[:3, 3] = millimeters
    return _plain(_with_header_of(image, np.asarray(image.dataobj), move @ image.affine).to_bytes())


def second_version(content):
    image = nib.Nifti1Image.from_bytes(content)
    again = nib.Nifti2Image(np.asarray(image.dataobj), image.affine)
    again.set_qform(image.affine, 1)
    again.set_sform(image.affine, 1)
    return _plain(again.to_bytes())


def pair(content, kind, codes=(1, 1), mirrored=False):
    """Header and voxels in two files."""
    image = nib.Nifti1Image.from_bytes(content)
    array = np.asarray(image.dataobj)
    if kind == "analyze":
        old = nib.AnalyzeImage(array, np.diag([-SPACING, SPACING, SPACING, 1]))
        files = old.make_file_map()
    else:
        old = nib.Nifti1Pair(array, image.affine)
        flip = np.diag([-1.0 if mirrored else 1.0, 1, 1, 1])
        old.set_sform(image.affine, codes[0])
        old.set_qform(image.affine @ flip, codes[1])
        files = old.make_file_map()
    from io import BytesIO

    for holder in files.values():
        holder.fileobj = BytesIO()
    old.to_file_map(files)
    return {
        f"scan.{ending}": files[part].fileobj.getvalue()
        for ending, part in (("img", "image"), ("hdr", "header"))
    }


def header_alone(content):
    return {"scan.hdr": pair(content, "nifti")["scan.hdr"]}


def cropped(content, axis, end, share):
    """The field of view ends in the brain: a share of the brain's slices is not there, from one end on."""
    filled = _filled(content)[axis]
    cut = round(share * len(filled))
    kept = slice(filled[cut], None) if end == "first" else slice(filled[-cut - 1] + 1)
    return _part(content, tuple(kept if number == axis else slice(None) for number in range(3)))


def cropped_air(content, share):
    """A field of view that is as much closer to the brain on all sides."""
    box = []
    for size, filled in zip(nib.Nifti1Image.from_bytes(content).shape, _filled(content), strict=True):
        below, above = filled[0], size - 1 - filled[-1]
        box.append(slice(round(share * below), size - round(share * above)))
    return _part(content, tuple(box))


def _filled(content):
    """Numbers of the slices through the brain, for each axis."""
    brain = np.asarray(nib.Nifti1Image.from_bytes(content).dataobj) > 0
    return [np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]


def _part(content, box):
    image = nib.Nifti1Image.from_bytes(content)
    part = image.slicer[box]
    return _plain(_with_header_of(image, np.asarray(part.dataobj), part.affine).to_bytes())


def _with_header_of(image, array, affine):
    again = nib.Nifti1Image(array, affine)
    again.set_sform(affine, int(image.header["sform_code"]))
    again.set_qform(affine, int(image.header["qform_code"]))
    return again


FIELDS = [name for name in header_dtype.names]
wrong_numbers = some.sampled_from([0.0, -1.0, -4.0, 1e-30, 1e30, float("nan"), float("inf"), 4000.0, 0.004])
form_codes = some.integers(1, 4)
ORDERS = list(permutations(range(3)))
flips = some.tuples(*[some.sampled_from([1, -1])] * 3)


def files(registered):
    """Mutations of files; registered: those that a registration has to undo, which takes longer."""
    same, wrong, noticed = (
        partial(mutations_by, harmless=True),
        mutations_by,
        partial(mutations_by, noticed=True),
    )
    if registered:
        return same(
            "moved",
            moved,
            degrees=some.floats(-15, 15),
            millimeters=some.tuples(*[some.floats(-30, 30)] * 3).map(lambda shift: tuple(np.round(shift, 1))),
        )
    return some.one_of(
        wrong("random field", random_field, field=some.sampled_from(FIELDS), values=some.binary(max_size=16)),
        same("codes", codes, sform=form_codes, qform=some.integers(0, 4)),
        wrong(
            "codes unknown", codes, sform=some.sampled_from([0, -1, 99]), qform=some.sampled_from([0, -1, 77])
        ),
        noticed(
            "mirrored form",
            mirrored_form,
            form=some.sampled_from(["sform", "qform"]),
            sform=form_codes,
            qform=form_codes,
            axis=axes,
        ),
        wrong("shape", shape, sizes=some.lists(some.integers(-3, 30000), min_size=1, max_size=7)),
        wrong("permuted shape", permuted_shape, order=some.sampled_from(ORDERS[1:])),
        wrong(
            "data type",
            data_type,
            code=some.sampled_from([0, 1, 2, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1536, 2304, 7]),
        ),
        same("positive slope", slope, slope=some.floats(0.01, 100), intercept=some.just(0.0)),
        wrong("slope", slope, slope=wrong_numbers, intercept=some.one_of(some.just(0.0), wrong_numbers)),
        wrong(
            "voxel sizes",
            voxel_sizes,
            sizes=some.lists(some.one_of(some.just(SPACING), wrong_numbers), min_size=3, max_size=3),
        ),
        wrong("units", units, code=some.integers(0, 255)),
        wrong(
            "offset",
            offset,
            places=some.sampled_from(
                [0.0, 1.0, 348.0, 350.0, 353.0, 354.0, 368.0, 1e6, 1e30, float("nan"), -1.0]
            ),
        ),
        wrong("magic", random_field, field=some.just("magic"), values=some.binary(max_size=4)),
        wrong("truncated", truncated, share=some.floats(0, 1, exclude_max=True)),
        wrong("longer", longer, more=some.binary(min_size=1, max_size=5)),
        wrong(
            "flipped bits",
            flipped_bits,
            places=some.lists(some.floats(0, 1, exclude_max=True), min_size=1, max_size=4),
        ),
        wrong("cut gzip", cut_gzip, share=some.floats(0, 1, exclude_max=True)),
        same("packed", packed, form=some.sampled_from(["gz", "bz2", "two parts"])),
        wrong(
            "packed wrongly",
            packed,
            form=some.sampled_from(
                ["not packed", "packed without a name", "packed twice", "no ending", "another format"]
            ),
        ),
        same("big-endian", big_endian),
        same("stored as", stored_as, dtype=some.sampled_from(["u2", "i4", "f4", "f8", "u4"])),
        same("stored along", stored_along, order=some.sampled_from(ORDERS), flips=flips),
        same("second version", second_version),
        same("pair", pair, kind=some.just("nifti"), codes=some.sampled_from([(1, 1), (2, 0), (0, 1)])),
        noticed("pair without orientation", pair, kind=some.just("nifti"), codes=some.just((0, 0))),
        noticed(
            "pair mirrored",
            pair,
            kind=some.just("nifti"),
            codes=some.tuples(form_codes, form_codes),
            mirrored=some.just(True),
        ),
        noticed("analyze", pair, kind=some.just("analyze")),
        wrong("header alone", header_alone),
        same("cropped air", cropped_air, share=some.floats(0, 1)),
        noticed(
            "cropped",
            cropped,
            axis=axes,
            end=some.sampled_from(["first", "last"]),
            share=some.floats(0.15, 0.6),
        ),
    )
