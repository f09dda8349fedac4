"""GPUs of NVIDIA that this process may use, and its claim of one of several; without torch, which takes seconds."""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"  # what CUDA shows to a process and to all that it starts; it is read once
NAME = re.compile(r"\d+|(?:GPU|MIG)-.+")  # there; anything else, as -1 or NoDevFiles, is no GPU
ANSWER = 60  # seconds that a driver may take
POLL = 1.0  # seconds

_claiming = threading.Lock()
_claims: list[object] = []  # a lock object that nobody refers to is released


def visible_gpus() -> list[str]:
    """GPUs that CUDA shows to this process, and to programs that it starts, by their names in CUDA_VISIBLE_DEVICES."""
    count, chosen = _gpu_count(), os.environ.get(VISIBLE)
    if chosen is None:
        return [str(number) for number in range(count)]
    return [name for name in map(str.strip, chosen.split(",")) if NAME.fullmatch(name)] if count else []


def claim_gpu(folder: str | Path | None = None) -> None:
    """Claim one of several visible GPUs for this process and all that it starts; wait while all are claimed.

    CUDA_VISIBLE_DEVICES names the claimed one from then on, so that every later answer, in any thread, is the same. It
    has to be asked before CUDA starts. The claim ends with this process, however it ends. Where a single GPU is
    visible, as a scheduler assigns it, nothing is claimed, and several processes can share it.

    Args:
        folder: Folder with a lock file for each GPU; the one for temporary files when None.
    """
    with _claiming:
        names = visible_gpus()
        if len(names) > 1:
            os.environ[VISIBLE] = _claimed(names, Path(folder or tempfile.gettempdir()))


def _claimed(names: list[str], folder: Path) -> str:
    """The first GPU that no other process of this user has claimed."""
    from filelock import FileLock, Timeout  # here: planning and most jobs claim nothing

    # Not by name, which a user of a container may not have.
    paths = {name: folder / f"patch2loc-{os.getuid()}-gpu-{name.replace('/', '-')}.lock" for name in names}
    told = False
    while True:
        for name, path in paths.items():
            # Held by the process, also after the thread that asked has ended.
            lock = FileLock(path, mode=0o600, thread_local=False)
            with suppress(Timeout):
                lock.acquire(blocking=False)
                _claims.append(lock)
                return name
        if not told:
            print(
                f"waiting for a GPU: all that are visible are claimed ({', '.join(map(str, paths.values()))}). A claim "
                f"ends with its process (fuser names it): wait, or stop one, or run this again with {VISIBLE} naming "
                "one GPU, to share it, or with device: cpu",
                file=sys.stderr,
                flush=True,
            )
            told = True
        time.sleep(POLL)


@cache
def _gpu_count() -> int:
    """Number of GPUs that the driver's tool lists."""
    with suppress(OSError, subprocess.TimeoutExpired):
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=ANSWER, check=False
        )
        if listed.returncode == 0:
            return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    return 0
