"""Memory: what a scan takes, what there is, and the message where that is too little."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from patch2loc.errors import ResourceError

# Peak of `preprocess_scan` above what is loaded before, of cubes with 100, 200, 300 and 400 voxels along an edge, as
# int16: 99, 196, 674 and 1549 MB, 25 bytes a voxel. With 300: 714 MB as float64, 762 MB (29 bytes) with a lesion map.
BASE_BYTES, BYTES_PER_VOXEL = 100e6, 30
MEMORY = Path("/proc/meminfo")  # of the machine, in kilobytes
REMEDY = "use a machine or a job with more, or resample the scan to larger voxels"


def needed_bytes(shape: tuple[int, ...]) -> float:
    """Memory that preprocessing takes for a scan of a shape, bytes."""
    return BASE_BYTES + BYTES_PER_VOXEL * math.prod(shape)


def available_bytes() -> float:
    """Free memory of the machine with its swap, bytes; infinite where the system does not tell."""
    try:
        lines = MEMORY.read_text(encoding="ascii")
    except OSError:
        return math.inf
    return 1024 * sum(map(float, re.findall(r"^(?:MemAvailable|SwapFree): *(\d+)", lines, re.MULTILINE)))


def check_memory(scan_path: Path, shape: tuple[int, ...]) -> None:
    """Check that there is memory for a scan before its voxels are read.

    Raises:
        ResourceError: There is not.
    """
    needed, available = needed_bytes(shape), available_bytes()
    if needed > available:
        raise ResourceError(
            f"{scan_path}: shape {shape} found, for which preprocessing needs {needed / 1e9:.1f} GB of memory, and "
            f"{available / 1e9:.1f} GB are available; {REMEDY}"
        )


@contextmanager
def memory_errors(scan_path: Path) -> Iterator[None]:
    """Turn a lack of memory into a message that names the scan.

    Raises:
        ResourceError: The memory ran out.
    """
    try:
        yield
    except MemoryError as error:
        raise out_of_memory(scan_path, str(error)) from error


def out_of_memory(scan_path: Path, reason: str) -> ResourceError:
    """The error for a scan whose preprocessing found no memory."""
    return ResourceError(
        f"{scan_path}: the memory ran out while the scan was preprocessed ({reason or 'no allocation was possible'}"
        f"), which needs {BYTES_PER_VOXEL} bytes for each of its voxels; {REMEDY}"
    )
