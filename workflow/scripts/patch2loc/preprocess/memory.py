"""Memory: what a scan takes, what there is, and the message where that is too little."""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from patch2loc.errors import ResourceError
from patch2loc.process import address_limit

# Peak of `preprocess_scan` above what is loaded before, of cubes with 100, 200, 300 and 400 voxels along an edge, as
# int16: 99, 196, 674 and 1549 MB, 25 bytes a voxel. With 300: 714 MB as float64, 762 MB (29 bytes) with a lesion map.
BASE_BYTES, BYTES_PER_VOXEL = 100e6, 30
PROC, CONTROL_GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
# Limit, use, and the part of the use that is given back when asked for, of control groups of both versions.
GROUP_FILES = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
REMEDY = "use a machine or a job with more, or resample the scan to larger voxels"


def needed_bytes(shape: tuple[int, ...]) -> float:
    """Memory that preprocessing takes for a scan of a shape, bytes."""
    return BASE_BYTES + BYTES_PER_VOXEL * math.prod(shape)


def available_bytes() -> float:
    """Memory that this process can still have, bytes: of the machine, its control groups and its own limit.

    What the system does not tell is taken as without limit.
    """
    return min(_free_on_machine(), _free_in_groups(), _free_in_process())


def check_memory(scan_path: Path, shape: tuple[int, ...]) -> None:
    """Check that there is memory for a scan before its voxels are read.

    Raises:
        ResourceError: There is not.
    """
    needed, available = needed_bytes(shape), available_bytes()
    if needed > available:
        raise ResourceError(
            f"{scan_path}: shape {shape} found, for which preprocessing needs {needed / 1e9:.1f} GB of memory, and "
            f"{max(available, 0) / 1e9:.1f} GB are available; {REMEDY}"
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


def _free_on_machine() -> float:
    """Free memory of the machine, all of it where only that is known."""
    try:
        lines = (PROC / "meminfo").read_text(encoding="ascii").splitlines()
        kilobytes = {name: float(value.split()[0]) for name, value in (line.split(":") for line in lines)}
        return 1024 * (kilobytes["MemAvailable"] + kilobytes.get("SwapFree", 0.0))
    except (OSError, ValueError, KeyError, IndexError):
        pass
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return math.inf


def _free_in_groups() -> float:
    """What the control groups of the process, from its own to the outermost, leave to it."""
    try:
        lines = (PROC / "self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return math.inf
    free = math.inf
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers not in GROUP_FILES:
            continue
        root = CONTROL_GROUPS / controllers
        folder = root / group.strip("/")
        for place in (folder, *folder.parents):
            free = min(free, _free_in_group(place, *GROUP_FILES[controllers]))
            if place == root:
                break
    return free


def _free_in_group(folder: Path, limit_file: str, use_file: str, reclaimable: str) -> float:
    try:
        limit = float((folder / limit_file).read_text(encoding="ascii").replace("max", "inf"))
        use = float((folder / use_file).read_text(encoding="ascii"))
        pairs = (line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        return limit - use + {name: float(value) for name, value in pairs}.get(reclaimable, 0.0)
    except (OSError, ValueError):
        return math.inf


def _free_in_process() -> float:
    """What the limit of the address space (ulimit -v) leaves to the process, where the system tells its use."""
    limit = address_limit()
    if limit == math.inf or sys.platform != "linux":
        return math.inf
    pages = int((PROC / "self/statm").read_text(encoding="ascii").split()[0])
    return limit - pages * float(os.sysconf("SC_PAGE_SIZE"))
