"""A folder that a person named for output: claimed while it is written, and filled without harm to what is there.

The lock is a file in the folder, where whoever may write results may make it. It is locked by the system and so ends
with the process; one that is left behind does no harm. Where the system has no locks, its being there is the lock, and
after a kill the message says to remove it. On a file system that cannot lock, two processes may both compute, and the
second is refused when its files would take the places of the first one's.
"""

import errno
import os
import shutil
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from patch2loc.files import LOCK, PARTIAL, file_names, name_result, partial_path, remove

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # of file systems that cannot lock


class FolderInUseError(Exception):
    """A folder to be written that another process writes to, or has written to meanwhile; a message for people.

    Attributes:
        is_certain: False for a claim that may have outlived its process.
    """

    def __init__(self, message: str, *, is_certain: bool = True) -> None:
        super().__init__(message)
        self.is_certain = is_certain


@contextmanager
def claimed(folder: str | Path) -> Iterator[None]:
    """Claim a folder, which is made if need be, as long as it is written to; the claim ends with the process.

    What a killed process left of its work there is removed. Afterwards nothing of the claim is left; nor is a folder
    that was made for it and is empty. On a file system that cannot lock nothing is claimed.

    Raises:
        FolderInUseError: Another process has claimed it.
        OSError: It cannot be made or written to.
    """
    folder = Path(folder)
    above = [folder, *folder.parents]
    made = above[: next((number for number, path in enumerate(above) if path.exists()), None)]
    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(lock, folder)
        yield
    finally:
        if lock.is_locked:
            if isinstance(lock, FileLock):
                with suppress(OSError):
                    (
                        folder / LOCK
                    ).unlink()  # while it is locked: whoever has opened it finds that it is gone
            lock.release()
        for path in made:
            with suppress(OSError):
                path.rmdir()


def _acquire(lock: FileLock, folder: Path) -> None:
    """Lock a folder, name this process there, and remove what a killed one left."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        holder = ""
        with suppress(OSError, ValueError):
            holder = _holder((folder / LOCK).read_text(encoding="utf-8"))
        raise FolderInUseError(
            f"{folder}: {holder or 'another process'} is at work there; wait for it, or name another folder"
            f"{remedy_if_left(lock)}",
            is_certain=isinstance(lock, FileLock),
        ) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return
    if isinstance(lock, FileLock):  # filelock makes it another kind where there are no locks of the system
        (folder / LOCK).write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
    for path in folder.iterdir():
        if PARTIAL.match(path.name):
            remove(path)


def _holder(text: str) -> str:
    """Who holds a lock, by the text of its file: of `_acquire`, or process, host and token in lines, of filelock."""
    process, *others = text.split("\n")
    return f"process {process} on {others[0]}" if process.isdecimal() and others else text.strip()


def remedy_if_left(lock: FileLock) -> str:
    """What to do about a lock that may have outlived its process, for the end of a message.

    Args:
        lock: Lock that another process has. Where the system has no locks filelock makes one of another kind, a file
            that stays there when its process is killed, and that no other machine can judge.
    """
    return "" if isinstance(lock, FileLock) else f"; if that process is gone, remove {lock.lock_file}"


@contextmanager
def filling(folder: str | Path, *, first: str, replaced: Collection[str] = ()) -> Iterator[Path]:
    """Yield an empty temporary folder in `folder`; on success its files move to the same names in `folder`.

    Nothing else in `folder` is touched. After an exception nothing is left behind.

    Args:
        folder: A folder that is there.
        first: Name of the file that moves first: the record of the others, by which a killed move is noticed.
        replaced: Names of files in `folder`, as of `file_hashes`, that may be replaced.

    Raises:
        FolderInUseError: `folder` has another file of the same name.
    """
    folder = Path(folder)
    partial = partial_path(folder / "result")
    moved: list[Path] = []
    try:
        partial.mkdir()
        yield partial
        names = sorted(file_names(partial), key=lambda name: (name != first, name))
        for name in names:
            if name not in replaced and os.path.lexists(folder / name):
                raise FolderInUseError(
                    f"{folder / name}: appeared while this was computed, and is kept; move it away, or name another "
                    "folder"
                )
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        for name in names:
            os.replace(partial / name, folder / name)
            if name not in replaced:
                moved.append(folder / name)
        moved.clear()
    except OSError as error:
        name_result(error, partial, folder)
        raise
    finally:
        for path in moved:
            with suppress(OSError):
                path.unlink()
                if path.parent != folder:
                    path.parent.rmdir()
        shutil.rmtree(partial, ignore_errors=True)
