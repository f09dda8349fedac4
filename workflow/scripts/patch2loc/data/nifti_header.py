"""Headers of images: the formats that are read, what a header may claim, and the one rule of where voxels lie.

NIfTI-1 and NIfTI-2 are read, as one file or a pair (.hdr, .img), compressed or not; any other format is refused by
its name.  The rule of where voxels lie is the same for all: the header has to tell one place, so that left and right
are never guessed.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.fileholders import FileHolder
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError

from patch2loc.data.image_files import check_file, image_files, reading
from patch2loc.errors import InputError, ResourceError

MAX_VOXELS = 1 << 30  # 4 GB as float32; a head at 0.3 mm has a third of it
MAX_SIZE = 32767  # voxels along an axis, the most that NIfTI-1, which results are written in, can hold
MAX_COMPRESSION = {
    ".gz": 1032,
    ".bz2": math.inf,
    ".zst": math.inf,
}  # content over file size; .gz by its format
CODES = range(6)  # of sform and qform: none, scanner, aligned, Talairach, MNI, another template
GZIP_MAGIC = b"\x1f\x8b"  # first bytes
KINDS = (nib.Nifti1Header, nib.Nifti2Header)
EXTENSION_FLAG, LEAST_EXTENSION = 4, 16  # bytes between header and extensions, and of an extension
EXTENSION_HEAD = 8  # bytes: its size and its code
MILLIMETERS = {
    1: ("meter", 1000.0),
    3: ("micron", 0.001),
}  # what the header's code of units means if it is not mm
# Volume of a voxel over the product of its edges: 1 at right angles, 0.87 for slices of a gantry tilted by 30 degrees.
LEAST_RIGHT_ANGLED = 0.5
ROTATION_TOLERANCE = 1e-4  # of the length of a quaternion, which is 1
REPAIR = "write its orientation into the header or leave it out"
ANALYZE = (
    "an Analyze image, which stores no orientation,",
    "convert the scan to NIfTI from its DICOM files, or write the orientation that you know into a NIfTI file as sform",
)
OTHER_FORMATS = {
    "AnalyzeImage": ANALYZE,
    "Spm99AnalyzeImage": ANALYZE,
    "Spm2AnalyzeImage": ANALYZE,
    "MGHImage": ("an MGH image of FreeSurfer", "convert it: mri_convert scan.mgz scan.nii.gz"),
    "Minc1Image": ("a MINC image", "convert it: mnc2nii scan.mnc scan.nii"),
    "Minc2Image": ("a MINC image", "convert it: mnc2nii scan.mnc scan.nii"),
    "PARRECImage": ("a PAR/REC image of Philips", "convert it, for example with dcm2niix"),
    "AFNIImage": ("an AFNI image", "convert it: 3dAFNItoNIFTI scan+orig"),
    "GiftiImage": ("a GIFTI file of a surface", "give the scan itself"),
    "Cifti2Image": ("a CIFTI file of surfaces and parts of volumes", "give the scan itself"),
}


def open_image(path: str | Path) -> nib.Nifti1Pair:
    """Open a NIfTI image, of which only the header is read here, and check what the header says.

    Raises:
        InputError: There is no file, or one of another format, or its header is damaged, claims more voxels than the
            file can hold, is not of one volume of real numbers, or does not tell one place of the voxels.
        ResourceError: The file cannot be read.
    """
    for file in image_files(path):
        check_file(file)
    with reading_image(path):
        return _checked_image(path)


@contextmanager
def reading_image(path: str | Path) -> Iterator[None]:
    """Turn whatever goes wrong while an image is read into a message that names the file.

    Raises:
        InputError: The file is missing or damaged.
        ResourceError: The file cannot be read, or there is no memory for it.
    """
    try:
        with reading(path):
            yield
    except InputError:
        raise
    except MemoryError as error:
        raise ResourceError(
            f"{path}: no memory for its voxels found ({str(error) or 'no allocation was possible'}); use a machine or "
            "a job with more"
        ) from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path}: not a readable NIfTI image ({reason}); get the file again, convert it if it has another "
            "format, or leave the subject out"
        ) from error


def _checked_image(path: str | Path) -> nib.Nifti1Pair:
    _check_compression(path)
    _check_extensions(path)
    if nib.Nifti1Image.path_maybe_image(path)[0]:
        # `nib.load` would spell an ending such as .Nii.Gz anew, and find no such file.
        image = nib.Nifti1Image.from_file_map({"image": FileHolder(str(path))})
    else:
        image = nib.load(path)
    if not isinstance(image, nib.Nifti1Pair):  # of which NIfTI-2 and single files are kinds, too
        name = type(image).__name__
        found, remedy = OTHER_FORMATS.get(name, (f"an image of the format {name}", "convert it"))
        raise InputError(
            f"{path}: {found} found, NIfTI (.nii, .nii.gz, or .hdr with .img) expected; {remedy}"
        )
    _check_claims(path, image)
    _check_place(path, image)
    return image


def _check_compression(path: str | Path) -> None:
    """Check that an image is gzipped if its name says so, and only then."""
    path = Path(path)
    with open(path, "rb") as stream:
        start = stream.read(nib.Nifti2Header.sizeof_hdr)
    if path.suffix.lower() == ".gz" and any(kind.may_contain_header(start) for kind in KINDS):
        raise InputError(
            f"{path}: an uncompressed NIfTI image found, a gzipped one expected by its name; rename it to {path.stem}, "
            "or compress it"
        )
    if path.suffix.lower() == ".nii" and start.startswith(GZIP_MAGIC):
        raise InputError(
            f"{path}: a gzipped file found, an uncompressed NIfTI image expected by its name; rename it to "
            f"{path.name}.gz, or decompress it"
        )


def _check_extensions(path: str | Path) -> None:
    """Check that header extensions of a single file end before its voxels start: nibabel would read them as voxels."""
    with ImageOpener(str(path)) as stream:
        start = stream.read(nib.Nifti2Header.sizeof_hdr)
        kind: Any = next((kind for kind in KINDS if kind.may_contain_header(start)), None)
        header = kind(start[: kind.sizeof_hdr], check=False) if kind else None
        if header is None or header["magic"] != header.single_magic:
            return
        stream.seek(header.sizeof_hdr)
        if not any(stream.read(EXTENSION_FLAG)[:1]):
            return
        place, voxels = header.sizeof_hdr + EXTENSION_FLAG, int(header["vox_offset"])
        is_empty = voxels - place < LEAST_EXTENSION
        while True:
            stream.seek(place)
            size = int(np.frombuffer(stream.read(4), np.dtype(np.int32).newbyteorder(header.endianness))[0])
            if is_empty and (size < LEAST_EXTENSION or size % LEAST_EXTENSION):
                return  # these are voxels: there is no extension in spite of the flag
            if not EXTENSION_HEAD <= size <= voxels - place:
                raise InputError(
                    f"{path}: a header extension of {size:,} bytes found from byte {place:,}, one that ends before "
                    f"the voxels expected, which start at byte {voxels:,} by the header (vox_offset); write the file "
                    "again with another program, or get it again"
                )
            place += size
            if voxels - place < LEAST_EXTENSION:
                return


def _check_claims(path: str | Path, image: nib.Nifti1Pair) -> None:
    """Check a header's claims against the size of its file, before memory is taken for them."""
    shape, dtype = image.shape, image.get_data_dtype()
    spatial = shape[:3] if math.prod(shape[3:]) == 1 else shape
    if len(spatial) != 3 or min(spatial) < 2:
        raise InputError(
            f"{path}: shape {shape} found, one 3-D volume expected; give one whole volume or leave the subject out"
        )
    if dtype.kind not in "iuf":
        raise InputError(
            f"{path}: voxels of type {dtype} found, real numbers expected; save the magnitude or one channel, or "
            "leave the subject out"
        )
    voxel_file = Path(image.file_map["image"].filename or path)
    size, voxels = voxel_file.stat().st_size, math.prod(shape)
    most = size * MAX_COMPRESSION.get(voxel_file.suffix.lower(), 1)
    if voxels > MAX_VOXELS or max(shape) > MAX_SIZE or voxels * dtype.itemsize > most:
        raise InputError(
            f"{path}: a header that claims {shape} voxels of {dtype} found in a file of {size:,} bytes, at most "
            f"{MAX_VOXELS:,} voxels, {MAX_SIZE:,} along an axis, and a file that can hold them expected; get the "
            "file again"
        )


def _check_place(path: str | Path, image: nib.Nifti1Pair) -> None:
    """Check that a header tells one place of its voxels, in millimeters.

    nibabel guesses an orientation where there is neither sform nor qform, sets codes that do not exist to 0, replaces
    voxel sizes that are not above 0 and a qfac that is not 1 or -1, passes over units, and takes the sform where the
    two disagree.  They may disagree if their codes name different spaces, but never mirror each other: no registration
    turns left into right.
    """
    header_file = image.file_map.get("header", image.file_map["image"]).filename or str(path)
    with ImageOpener(header_file) as stream:
        stored = image.header_class.from_fileobj(stream, check=False)  # as it is, without nibabel's repairs
    sform, qform = int(stored["sform_code"]), int(stored["qform_code"])
    if sform not in CODES or qform not in CODES:
        raise InputError(
            f"{path}: codes {sform} of the sform and {qform} of the qform found, {CODES[0]} to {CODES[-1]} expected; "
            f"{REPAIR}"
        )
    if sform == qform == 0:
        raise InputError(
            f"{path}: neither sform nor qform found (both codes 0), one of them expected; {REPAIR}"
        )
    if sform == 0 and not (stored["pixdim"][1:4] > 0).all():
        raise InputError(
            f"{path}: voxels of {stored['pixdim'][1:4].tolist()} mm found, sizes above 0 expected; {REPAIR}"
        )
    edges = voxel_sizes(image.affine)
    finite = np.isfinite(image.affine).all()
    volume = abs(np.linalg.det(image.affine[:3, :3])) if finite else 0.0
    if not (volume > 0 and edges.min() > 0):
        raise InputError(
            f"{path}: affine {image.affine[:3].tolist()} found, an invertible one expected; repair the header or "
            "leave it out"
        )
    if not volume >= LEAST_RIGHT_ANGLED * edges.prod():
        raise InputError(
            f"{path}: affine {image.affine[:3].tolist()} found, whose axes are so far from right angles that a voxel "
            f"has {volume / edges.prod():.0%} of a cuboid's volume, {LEAST_RIGHT_ANGLED:.0%} at least expected; repair "
            "the header or leave it out"
        )
    unit, millimeters = MILLIMETERS.get(int(stored["xyzt_units"]) & 7, ("mm", 1.0))
    if millimeters != 1.0:
        raise InputError(
            f"{path}: voxels of {edges.round(4).tolist()} {unit} found by the units in the header (xyzt_units), which "
            f"are {(edges * millimeters).round(6).tolist()} mm; millimeters expected: correct the units or the affine"
        )
    if qform:
        _check_qform(path, image, stored, sform, qform)


def _check_qform(
    path: str | Path, image: nib.Nifti1Pair, stored: nib.Nifti1Header, sform: int, qform: int
) -> None:
    """Check a qform that has a code, by itself and against the sform if that has one, too."""
    # 0 is 1 by the definition of NIfTI. Of others some programs take the sign and some take 1.
    qfac = float(stored["pixdim"][0])
    if qfac not in (-1, 0, 1):
        raise InputError(
            f"{path}: qfac (pixdim[0]) of {qfac:g} found, 1 or -1 expected, as it says which side is left in the "
            f"qform; {REPAIR}"
        )
    header = image.header.copy()
    quaternion = [f"quatern_{part}" for part in "bcd"]
    length = math.hypot(*(float(stored[part]) for part in quaternion))
    # Half a turn, of which nibabel allows less rounding than there is.
    if 1 < length <= 1 + ROTATION_TOLERANCE:
        for part in quaternion:
            header[part] = stored[part] / length
    try:
        place = header.get_qform()
    except (HeaderDataError, ValueError):
        place = np.full((4, 4), np.nan)
    if not np.isfinite(place).all():
        raise InputError(
            f"{path}: a qform found that is no rotation (quaternion "
            f"{[float(stored[part]) for part in quaternion]}), one expected; set its code to 0 if the sform "
            "is right, or leave it out"
        )
    if not sform:
        return
    if (np.linalg.det(image.affine[:3, :3]) < 0) != (qfac < 0):
        raise InputError(
            f"{path}: sform (code {sform}) and qform (code {qform}) found that mirror each other, so that left and "
            "right would be a guess; one place expected: set the code of the wrong one to 0 or leave it out"
        )
    if sform != qform:
        return
    expected = image.header.copy()
    expected.set_qform(image.affine)  # a qform cannot hold the shears of an affine
    distance = corner_distance(expected.get_qform(), place, image.shape[:3])
    if not distance <= voxel_sizes(image.affine).min() / 2:
        raise InputError(
            f"{path}: sform and qform of the same code ({sform}) found whose corners are {distance:.2f} mm apart, "
            "one place expected; set the code of the wrong one to 0 or leave it out"
        )


def corner_distance(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> float:
    """Largest distance along an axis, mm, between the corners of a volume of `shape` under two affines."""
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in shape])).reshape(3, -1)
    return float(np.abs((first - second)[:3] @ np.vstack([corners, np.ones(8)])).max())
