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
from itertools import pairwise, takewhile
from pathlib import Path
from typing import NamedTuple

# What CUDA shows to a process and to all that it starts: numbers or the beginnings of UUIDs, up to the first that is
# neither. CUDA reads it once, when it starts.
VISIBLE = "CUDA_VISIBLE_DEVICES"
DEVICES = Path("/dev")
UUID = re.compile(r"\(UUID: ((?:GPU|MIG)-[^\s)]+)\)")
ANSWER = 60  # seconds that a driver may take
POLL = 1.0  # seconds

_claiming = threading.Lock()
_claims: list[object] = []  # a lock object that nobody refers to is released


class Driver(NamedTuple):
    """GPUs that the driver knows.

    Attributes:
        number: Of GPUs.
        uuids: Of each GPU, before those of the parts (MIG) that it is divided into; empty if only the number is known.
    """

    number: int
    uuids: list[str]


def visible_gpus() -> list[str]:
    """GPUs that CUDA shows to this process, and to programs that it starts, by their names in CUDA_VISIBLE_DEVICES."""
    driver = _driver()
    chosen = os.environ.get(VISIBLE)
    if chosen is None:
        return _all_of(driver)
    names = list(takewhile(lambda name: _is_known(name, driver), map(str.strip, chosen.split(","))))
    return names if len(set(names)) == len(names) else []  # CUDA shows none if one is named twice


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
                if isinstance(lock, FileLock):  # filelock makes it another kind where the system has no locks
                    path.write_text(f"process {os.getpid()}", encoding="utf-8")
                return name
        if not told:
            print(_waiting(paths), file=sys.stderr, flush=True)
            told = True
        time.sleep(POLL)


def _waiting(paths: dict[str, Path]) -> str:
    """What a process waits for, and how the wait can be ended."""
    claims = []
    for name, path in paths.items():
        holder = ""
        with suppress(OSError):
            holder = path.read_text(encoding="utf-8")
        claims.append(f"{name} ({holder or 'a process'}, {path})")
    return (
        f"waiting for a GPU: all that are visible are claimed: {', '.join(claims)}. A claim ends with its process: "
        f"wait, or stop one, or run this again with {VISIBLE} naming one GPU, to share it, or with device: cpu"
    )


def _all_of(driver: Driver) -> list[str]:
    """All GPUs of a driver, by number as CUDA counts them; by UUID if one is divided, as parts have no number."""
    if not any(uuid.startswith("MIG-") for uuid in driver.uuids):
        return [str(number) for number in range(driver.number)]
    followed = pairwise([*driver.uuids, ""])
    return [uuid for uuid, after in followed if uuid.startswith("MIG-") or not after.startswith("MIG-")]


def _is_known(name: str, driver: Driver) -> bool:
    if name.isdecimal():
        return int(name) < driver.number
    if not driver.number or not name.startswith(("GPU-", "MIG-")):
        return False
    return not driver.uuids or any(uuid.startswith(name) for uuid in driver.uuids)


@cache
def _driver() -> Driver:
    """What the driver's tool says; where it is not installed, or fails, what the system has files of."""
    with suppress(OSError, subprocess.TimeoutExpired):
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=ANSWER, check=False
        )
        if listed.returncode == 0:
            uuids = UUID.findall(listed.stdout)
            return Driver(sum(uuid.startswith("GPU-") for uuid in uuids), uuids)
    return Driver(sum(path.name[len("nvidia") :].isdecimal() for path in DEVICES.glob("nvidia*")), [])
