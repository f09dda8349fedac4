"""Bad scans and masks, each with the message that it must get: {name: (make, message)}.

make(folder) writes the input and gives the function that reads it.
"""

import gzip
import os
import struct
from pathlib import Path

import nibabel as nib
import numpy as np

from patch2loc.acquire import painted
from patch2loc.preprocess.brain_mask import brain_mask
from patch2loc.preprocess.images import read_mask_of, read_scan
from patch2loc.preprocess.lesions import read_lesion, share_of_brain

VOXELS = np.random.default_rng(0).integers(0, 200, (12, 14, 10)).astype(np.int16)
STRAIGHT = np.diag([2.0, 2.0, 2.0, 1.0])
HALF_TURN = np.diag([-2.0, -2.0, 2.0, 1.0])
MIRRORED = np.diag([-2.0, 2.0, 2.0, 1.0])
# Places in a NIfTI-1 header.
DIM, DATATYPE, QFAC, PIXDIM, OFFSET, UNITS, CODES = 40, 70, 76, 80, 108, 123, 252
QUATERNION, SFORM, MAGIC = 256, 280, 344
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


def image_of(array=VOXELS, affine=STRAIGHT, sform=1, qform=1, *, qform_affine=None, form=nib.Nifti1Image):
    image = form(array, affine)
    image.set_sform(affine, sform)
    image.set_qform(affine if qform_affine is None else qform_affine, qform)
    return image


def nifti(*arguments, **options):
    """A NIfTI file, not compressed."""
    return image_of(*arguments, **options).to_bytes()


def forged(place, form, *values, whole=None):
    """A NIfTI-1 file, not compressed, some bytes of its header overwritten."""
    content = bytearray(whole or nifti())
    struct.pack_into(form, content, place, *values)
    return bytes(content)


def flipped_bit(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def moved(x, affine=STRAIGHT):
    shifted = affine.copy()
    shifted[0, 3] += x
    return shifted


def scan(content, name="scan.nii.gz"):
    """A row about a raw scan: bytes of the file, compressed here if they are a NIfTI's."""

    def make(folder):
        compressed = name.endswith(".gz") and content[:4] == struct.pack("<i", 348)
        (folder / name).write_bytes(gzip.compress(content) if compressed else content)
        return lambda: read_scan(folder / name)

    return make


def stored_as(image, name):
    """A row about a scan that nibabel writes in its own format, in one or two files."""

    def make(folder):
        image.to_filename(folder / name)
        return lambda: read_scan(folder / name)

    return make


def pair(name="scan.hdr", **options):
    return stored_as(image_of(form=nib.Nifti1Pair, **options), name)


def half_pair(change, name="scan.img.gz"):
    """A row about a pair whose file of voxels is changed: change(content) -> content, None to remove it."""

    def make(folder):
        image_of(form=nib.Nifti1Pair).to_filename(folder / name)
        content = change((folder / name).read_bytes())
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
        return lambda: read_scan(folder / name)

    return make


def in_place_of_scan(put):
    """A row about something else where the scan should be: put(path) makes it."""

    def make(folder):
        put(folder / "scan.nii.gz")
        return lambda: read_scan(folder / "scan.nii.gz")

    return make


def with_extension(size, *, offset=352, padding=b""):
    """A NIfTI-1 file, not compressed, with an extension of a size that its header does not count in full."""
    content = nifti()
    extension = struct.pack("<2i", size, 6) + b"x" * (size - 8)
    header = bytearray(content[:348]) + b"\1\0\0\0"
    struct.pack_into("<f", header, OFFSET, offset)
    return bytes(header) + extension + content[352:] + padding


PACKED = gzip.compress(nifti())
LEFT_OVER = (
    r"bytes left over behind the \(12, 14, 10\) voxels of int16 found, the end of the file expected there; "
)
HUGE = {
    "terabytes": scan(forged(DIM, "<8h", 3, 30000, 30000, 30000, 1, 1, 1, 1)),
    "terabytes, not compressed": scan(forged(DIM, "<8h", 3, 30000, 30000, 30000, 1, 1, 1, 1), "scan.nii"),
    "a gigabyte": scan(forged(DIM, "<8h", 3, 1000, 1000, 500, 1, 1, 1, 1)),
}
SCANS = {
    "truncated gzip": (
        scan(PACKED[: len(PACKED) // 2]),
        r"not a readable NIfTI image \(Compressed file ended",
    ),
    "flipped bit in gzip": (scan(flipped_bit(PACKED, 400)), r"not a readable .*(CRC|invalid|decompress)"),
    "wrong checksum of gzip": (scan(PACKED[:-8] + bytes(8)), "not a readable NIfTI image .CRC check failed"),
    "truncated, not compressed": (
        scan(nifti()[:-100], "scan.nii"),
        "not a readable .*Expected 3360 bytes, got 3260",
    ),
    **{
        f"bytes behind the voxels, {name}": (make, LEFT_OVER)
        for name, make in {
            "compressed": scan(nifti() + bytes(range(20))),
            "not compressed": scan(nifti() + bytes(range(20)), "scan.nii"),
            "pair": half_pair(lambda content: gzip.compress(gzip.decompress(content) + b"more")),
            "a second gzip": scan(PACKED + gzip.compress(b"more")),
            "zeros beyond all padding": scan(PACKED + gzip.compress(bytes(1 << 22))),
            "inserted before them": scan(nifti()[:400] + bytes(range(100)) + nifti()[400:]),
        }.items()
    },
    "smaller volume than stored": (
        scan(forged(DIM, "<4h", 3, 12, 13, 10)),
        r"left over behind the \(12, 13, 10\) voxels",
    ),
    **{
        f"extension that reaches into the voxels, {name}": (
            make,
            rf"extension of {size:,} bytes found from byte {place}, one that ends before the voxels expected, which "
            rf"start at byte {offset}",
        )
        for name, size, place, offset, make in (
            ("no room", 4000, 352, 352, scan(with_extension(4000))),
            ("no room, not compressed", 32, 352, 352, scan(with_extension(32), "scan.nii")),
            ("some room", 4000, 352, 384, scan(with_extension(4000, offset=384))),
        )
    },
    "empty file": (scan(b""), "not a readable NIfTI image .Empty file.*get the file again"),
    "web page": (scan(b"<html>Please sign in</html>"), "not a readable NIfTI image .Not a gzipped file"),
    "no NIfTI": (scan(forged(MAGIC, "4s", b"xxxx")), "not a readable NIfTI image .Cannot work out file type"),
    "unknown data type": (scan(forged(DATATYPE, "<h", 12345)), "not a readable .*data code 12345"),
    "voxels beyond the end": (scan(forged(OFFSET, "<f", 1e9)), "not a readable .*Expected 3360 bytes, got 0"),
    "offset that is no number": (scan(forged(OFFSET, "<f", np.nan)), "not a readable .*NaN"),
    "dimension of zero": (
        scan(forged(DIM, "<8h", 3, 12, 0, 10, 1, 1, 1, 1)),
        r"shape \(12, 0, 10\) found, one 3-D",
    ),
    "negative dimension": (
        scan(forged(DIM, "<8h", 3, 12, -14, 10, 1, 1, 1, 1)),
        r"shape \(12, -14, 10\) found",
    ),
    "no dimensions": (
        scan(forged(DIM, "<8h", 0, 12, 14, 10, 1, 1, 1, 1)),
        r"shape \(0,\) found, one 3-D volume",
    ),
    "seven dimensions": (
        scan(forged(DIM, "<8h", 7, *[9] * 7)),
        r"shape \(9, 9, 9, 9, 9, 9, 9\) found, one 3-D",
    ),
    **{
        name: (make, r"claims .* voxels of int16 found .* bytes, at most .* expected; get")
        for name, make in HUGE.items()
    },
    "series": (
        scan(nifti(np.stack([VOXELS] * 3, -1))),
        r"shape \(12, 14, 10, 3\) found, one 3-D .*give one whole",
    ),
    "single slice": (scan(nifti(VOXELS[:, :, :1])), r"shape \(12, 14, 1\) found, one 3-D volume expected"),
    "picture": (scan(nifti(VOXELS[:, :, 0])), r"shape \(12, 14\) found, one 3-D volume expected"),
    "complex": (
        scan(nifti(VOXELS.astype(np.complex64))),
        "type complex64 found, real numbers expected; save the magn",
    ),
    "colors": (
        scan(nib.Nifti1Image(np.zeros((9, 9, 9), RGB), STRAIGHT).to_bytes()),
        "type .*'R'.* found, real numbers",
    ),
    "infinite": (
        scan(nifti(np.where(VOXELS == 5, np.inf, VOXELS))),
        "[0-9]+ voxels are infinite, numbers expected; repl",
    ),
    "NaN alone": (
        scan(nifti(np.full(VOXELS.shape, np.nan))),
        "no voxel above 0 .* a scan expected; .*leave it out",
    ),
    "constant but for NaN": (
        scan(nifti(np.where(VOXELS > 5, 7, np.nan))),
        "all voxels equal, a scan expected; .*leave it out",
    ),
    "constant": (scan(nifti(np.full_like(VOXELS, 7))), "all voxels equal, a scan expected; .*leave it out"),
    "all zero": (scan(nifti(0 * VOXELS)), "no voxel above 0 .* a scan expected; .*leave it out"),
    "neither sform nor qform": (
        scan(nifti(sform=0, qform=0)),
        "neither sform nor qform .*codes 0.*; write its orient",
    ),
    **{
        f"neither sform nor qform, {name}": (make, "neither sform nor qform .*codes 0.*; write its orient")
        for name, make in {
            "pair": pair(sform=0, qform=0),
            "pair, named by its voxels": pair("scan.img", sform=0, qform=0),
            "pair, compressed": pair("scan.hdr.gz", sform=0, qform=0),
            "NIfTI-2": scan(nifti(sform=0, qform=0, form=nib.Nifti2Image), "scan.nii"),
            "pair of NIfTI-2": stored_as(image_of(sform=0, qform=0, form=nib.Nifti2Pair), "scan.hdr"),
        }.items()
    },
    **{
        f"sform and qform mirrored, {name}": (
            make,
            r"sform \(code [14]\) and qform .* mirror each other, so that",
        )
        for name, make in {
            "one code": scan(nifti(qform_affine=MIRRORED)),
            "two codes": scan(nifti(sform=4, qform_affine=MIRRORED)),
            "the other way around": scan(nifti(affine=MIRRORED, sform=4, qform=2, qform_affine=STRAIGHT)),
            "and moved": scan(nifti(sform=4, qform_affine=moved(22, MIRRORED))),
            "pair": pair(qform_affine=MIRRORED),
            "pair, two codes": pair("scan.img.gz", sform=4, qform_affine=MIRRORED),
            "NIfTI-2": scan(nifti(sform=4, qform_affine=MIRRORED, form=nib.Nifti2Image), "scan.nii"),
            # The sign that makes a qform left-handed, lost: by the definition of NIfTI 0 is 1.
            "qfac of 0": scan(forged(QFAC, "<f", 0.0, whole=nifti(affine=MIRRORED, sform=4))),
        }.items()
    },
    **{
        f"qfac of {value}": (
            scan(forged(QFAC, "<f", value, whole=nifti(sform=sform))),
            rf"qfac .* of {value:g} found, 1 or -1 expected",
        )
        for value, sform in ((2.0, 0), (-3.0, 0), (-3.0, 4), (np.nan, 0))
    },
    "qform that is no rotation": (
        scan(forged(QUATERNION, "<3f", 3, 2, 1, whole=nifti(sform=4))),
        r"a qform found that is no rotation \(quaternion \[3.0, 2.0, 1.0\]\), one expected; set its code",
    ),
    "qform of a quaternion that is longer than rounding makes it": (
        scan(forged(QUATERNION, "<3f", 0, 0, 1.0002, whole=nifti(affine=HALF_TURN))),
        "a qform found that is no rotation",
    ),
    "code that does not exist": (
        scan(forged(CODES, "<2h", 0, 7)),
        "codes 7 of the sform and 0 of the qform found, 0 to 5 expected; write",
    ),
    "flat voxels": (
        scan(nifti(affine=np.array([[2, 0, 1.9, 0], [0, 2, 0, 0], [0, 0, 0.3, 0], [0, 0, 0, 1]]), qform=0)),
        "far from right angles that a voxel has 16% of a cuboid's volume, 50% at least expected; repair",
    ),
    "units of meters": (
        scan(forged(UNITS, "B", 1, whole=nifti(affine=np.diag([0.002, 0.002, 0.002, 1])))),
        r"voxels of \[0.002, .*\] meter found .*, which are \[2.0, 2.0, 2.0\] mm; millimeters expected: correct",
    ),
    "units of micrometers": (
        scan(forged(UNITS, "B", 3)),
        r"voxels of \[2.0, .*\] micron found .*, which are \[0.002, .* mm; millimeters expected: correct",
    ),
    "Analyze": (
        stored_as(nib.AnalyzeImage(VOXELS, STRAIGHT), "scan.img"),
        "an Analyze image, which stores no orientation, found, NIfTI .* expected; convert .* from its DICOM",
    ),
    "Analyze of SPM": (
        stored_as(nib.Spm99AnalyzeImage(VOXELS, STRAIGHT), "scan.hdr"),
        "an Analyze image, which stores no orientation, found",
    ),
    "FreeSurfer's format": (
        stored_as(nib.MGHImage(VOXELS.astype(np.float32), STRAIGHT), "scan.mgz"),
        "an MGH image of FreeSurfer found, NIfTI .* expected; convert it: mri_convert",
    ),
    "surface": (
        stored_as(nib.GiftiImage(), "scan.gii"),
        "a GIFTI file of a surface found, NIfTI .* expected",
    ),
    "pair without its voxels": (
        half_pair(lambda content: None),
        r"scan.img.gz: no such file; a NIfTI image was",
    ),
    "truncated pair": (
        half_pair(lambda content: content[:-200]),
        r"not a readable NIfTI image \(Compressed file",
    ),
    "wrong checksum of a pair": (
        half_pair(lambda content: content[:-8] + bytes(8)),
        r"not a readable NIfTI image \(CRC check failed",
    ),
    "no file": (in_place_of_scan(lambda path: None), "no such file; a NIfTI image was expected there"),
    "folder": (
        in_place_of_scan(lambda path: path.mkdir()),
        "a folder found, a NIfTI image was expected there; .* DICOM series, convert that to NIfTI",
    ),
    "link in a circle": (
        in_place_of_scan(lambda path: path.symlink_to(path.name)),
        "a link to scan.nii.gz found, which leads in a circle; a NIfTI image was expected",
    ),
    "link to nothing": (
        in_place_of_scan(lambda path: path.symlink_to("gone.nii.gz")),
        "a link to gone.nii.gz found, which leads to no file; a NIfTI image was expected",
    ),
    "link of git-annex without its content": (
        in_place_of_scan(lambda path: path.symlink_to("../.git/annex/objects/aa/bb/MD5E-s9--c.nii.gz")),
        "a link to .*annex/objects.* found, which leads to no file; .* expected there; get it with `datalad get`",
    ),
    "pointer of git-annex": (
        in_place_of_scan(lambda path: path.write_text("/annex/objects/MD5E-s9--c.nii.gz\n")),
        "a file of git-annex without its content found, a NIfTI image was expected there; get it with `datalad get`",
    ),
    "pointer of Git LFS": (
        in_place_of_scan(
            lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0")
        ),
        "a file of Git LFS without its content found, .* expected there; get it with `git lfs pull`",
    ),
    "not compressed, named .gz": (
        in_place_of_scan(lambda path: path.write_bytes(nifti())),
        "an uncompressed NIfTI image found, a gzipped one expected by its name; rename it to scan.nii, or compress",
    ),
    "compressed, not named .gz": (
        scan(PACKED, "scan.nii"),
        "a gzipped file found, an uncompressed NIfTI image expected by its name; rename it to scan.nii.gz, or decom",
    ),
    "pipe": (in_place_of_scan(os.mkfifo), "a device, pipe or socket found, a NIfTI image was expected"),
    "shifted qform": (
        scan(nifti(qform_affine=moved(30))),
        r"same code \(1\) found whose corners are 30\.00 mm apart",
    ),
    "sform of zeros": (
        scan(forged(SFORM, "<12f", *[0.0] * 12)),
        "affine .* found, an invertible one expected; repair",
    ),
    "sform of NaN": (
        scan(forged(SFORM, "<12f", *[np.nan] * 12)),
        "affine .*nan.* found, an invertible one expected",
    ),
    "negative spacing": (
        scan(forged(PIXDIM, "<3f", -2, 2, 2, whole=nifti(sform=0))),
        r"voxels of \[-2\.0, 2\.0, 2\.0\] mm found, sizes above 0 expected",
    ),
    "spacing of zero": (
        scan(forged(PIXDIM, "<3f", 0, 2, 2, whole=nifti(sform=0))),
        r"voxels of \[0\.0, 2\.0, 2\.0\] mm found, sizes above 0 expected",
    ),
    "micrometers": (
        scan(nifti(affine=np.diag([2000.0, 2000, 2000, 1]))),
        "2000.* mm found, 0.1 to 15.0 mm .*units",
    ),
}

DRAWN = (VOXELS > 190).astype(np.uint8)


def lesion(array=DRAWN, affine=STRAIGHT, labels=None, **header):
    def make(folder):
        path = folder / "lesion.nii.gz"
        path.write_bytes(gzip.compress(nifti(array, affine, **header)))
        return lambda: read_lesion(path, Path("scan.nii.gz"), VOXELS, STRAIGHT, labels=labels)

    return make


def given_brain(array, **header):
    def make(folder):
        path = folder / "lesion.nii.gz"
        path.write_bytes(gzip.compress(nifti(array, **header)))
        return lambda: read_mask_of(path, Path("scan.nii.gz"), VOXELS, STRAIGHT)

    return make


def lesion_in(brain, array, labels=None):
    """A row about a lesion mask on a scan with a brain, (x, y, z) bool."""

    def make(folder):
        read = lesion(array, labels=labels)(folder)
        return lambda: share_of_brain(read().mask, brain, folder / "lesion.nii.gz", Path("scan.nii.gz"))

    return make


def brain_of(mask, method="given"):
    return lambda folder: (
        lambda: brain_mask(
            folder / "scan.nii.gz", VOXELS, STRAIGHT, method=method, given_mask=mask, atlas=None
        )
    )


def stroke(folder):
    """A stroke to paint that lies far from the brain."""
    for name, array, affine in (
        ("scan", VOXELS, STRAIGHT),
        ("brain", DRAWN, STRAIGHT),
        ("stroke", DRAWN, moved(900)),
    ):
        (folder / f"{name}.nii.gz").write_bytes(gzip.compress(nifti(array, affine)))
    outputs = {part: folder / f"out/{part}.nii.gz" for part in ("scan", "brain", "lesion")}
    given = [folder / f"{name}.nii.gz" for name in ("scan", "brain", "stroke")]
    return lambda: painted.paint_stroke(*given, np.eye(4), seed=1, outputs=outputs)


MASKS = {
    "lesion of another shape": (
        lesion(DRAWN[1:]),
        r"shape \(11, 14, 10\) found, \(12, 14, 10\) of scan.nii.gz exp",
    ),
    "lesion of another place": (
        lesion(affine=moved(3)),
        r"corners 3\.00 mm away from those of scan.nii.gz, the same",
    ),
    "mirrored lesion": (
        lesion(affine=MIRRORED),
        r"corners 22\.00 mm away .* resample the mask",
    ),
    "lesion whose sform and qform mirror each other": (
        lesion(qform_affine=MIRRORED, sform=4),
        "lesion.nii.gz: sform .code 4. and qform .code 1. found that mirror each other",
    ),
    "brain mask without orientation": (
        given_brain(DRAWN, sform=0, qform=0),
        "lesion.nii.gz: neither sform nor qform found",
    ),
    "brain mask with NaN": (
        given_brain(np.where(VOXELS > 190, np.nan, DRAWN)),
        r"lesion.nii.gz: [0-9]+ voxels of a mask are not finite, 0 outside the mask and 1 inside expected; save",
    ),
    "brain mask of probabilities": (
        given_brain(DRAWN * np.float32(0.37) + (VOXELS == 190) * np.float32(0.2)),
        "lesion.nii.gz: 2 gray levels from 0.2 to 0.37 found, a mask of 0 and 1 or .* save what is above a threshold",
    ),
    "brain mask of probabilities in 8 bits": (
        given_brain(np.arange(VOXELS.size).reshape(VOXELS.shape).astype(np.uint8)),
        "lesion.nii.gz: 255 gray levels from 1 to 255 found, a mask of 0 and 1 or at most 200 whole labels",
    ),
    "brain mask of another grid": (
        given_brain(DRAWN[:-1]),
        "a mask must be on its scan's voxels",
    ),
    "lesion of probabilities": (
        lesion(DRAWN * np.float32(0.37)),
        r"such as 0\.37 found, 0 and 1 or whole labels exp",
    ),
    "lesion below zero": (
        lesion(-DRAWN.astype(np.int8)),
        "such as -1 found, 0 and 1 or whole labels expected; save",
    ),
    "lesion with NaN": (
        lesion(np.where(DRAWN, np.nan, 0)),
        "such as nan found, 0 and 1 or whole labels expected",
    ),
    "lesion that is the scan": (
        lesion(VOXELS),
        r"the voxels of the scan itself \(scan.nii.gz\) found, a lesion mask expected; give the file of the les",
    ),
    "lesion that is the scan, one of its values taken": (
        lesion(VOXELS, labels=[1]),
        r"the voxels of the scan itself \(scan.nii.gz\) found, a lesion mask expected",
    ),
    "lesion of intensities": (
        lesion(np.arange(VOXELS.size, dtype=np.int16).reshape(VOXELS.shape), labels=[1]),
        "1679 different values found, at most 1000 labels expected; these are likely the intensities of a scan",
    ),
    "lesion that is the brain mask": (
        lesion_in(VOXELS > 60, (VOXELS > 60).astype(np.uint8)),
        "lesion in 100% of the brain of scan.nii.gz found, at most 60% expected; it is likely a brain mask",
    ),
    "lesion that is another contrast of the scan": (
        lesion_in(VOXELS > 60, 200 - VOXELS),
        "lesion in 100% of the brain of scan.nii.gz found, at most 60% expected; .* name their labels .les",
    ),
    "lesion that is the reverse of its mask": (
        lesion_in(VOXELS > 60, 1 - DRAWN),
        "lesion in 9[0-9]% of the brain of scan.nii.gz found, .* or the reverse of a lesion mask: give",
    ),
    "lesion of a series": (
        lesion(np.stack([DRAWN] * 2, -1)),
        r"shape \(12, 14, 10, 2\) found, one 3-D volume",
    ),
    "empty brain mask": (
        brain_of(np.zeros(VOXELS.shape, bool)),
        r"scan.*: brain mask of 0\.0 ml found .*; check the",
    ),
    "brain mask of some voxels": (
        brain_of(DRAWN > 0),
        r"scan.*: brain mask of [0-9.]+ ml found .*a brain expected",
    ),
    "brain mask of the head": (
        lambda folder: (
            lambda: brain_mask(
                folder / "scan.nii.gz",
                VOXELS,
                np.diag([14.0, 14, 14, 1]),
                method="given",
                given_mask=VOXELS > 40,
                atlas=None,
            )
        ),
        r"scan.*: brain mask of 3,[0-9]+ ml found .*, at most 3,500 ml expected, as no brain is larger; check",
    ),
    "brain mask where the scan is black": (
        lambda folder: (
            lambda: brain_mask(
                folder / "scan.nii.gz",
                np.where(DRAWN, VOXELS, 0),
                np.diag([6.0, 6, 6, 1]),
                method="given",
                given_mask=DRAWN == 0,
                atlas=None,
            )
        ),
        r"scan.*: one brightness \(0\) in the whole brain mask found .* a brain expected; check the mask",
    ),
    "no brain mask": (
        brain_of(None),
        "scan.*: no brain mask found, one expected .*; give one, or set skull_strip",
    ),
    "nothing above zero in a stripped scan": (
        lambda folder: (
            lambda: brain_mask(
                folder / "scan.nii.gz", -VOXELS, STRAIGHT, method="none", given_mask=None, atlas=None
            )
        ),
        r"scan.*: brain mask of 0\.0 ml found",
    ),
    "stroke outside the brain": (
        stroke,
        r"stroke.*: 0\.00 ml of it lie in the brain tissue of .*scan.*, at least",
    ),
}
