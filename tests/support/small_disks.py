"""Small file systems in the memory, and how they are filled."""

import shutil
import subprocess
from contextlib import contextmanager, suppress

import pytest

FILLER = "filler"


@contextmanager
def mounted(folder, size="200m"):
    """A small file system in the memory, in the place of a folder, with what is in there."""
    kept = folder.with_name(f"{folder.name}-kept")
    folder.rename(kept)
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        folder.rmdir()
        kept.rename(folder)
        pytest.skip("this machine lets us mount no file system of our own: no faults of one are tested")
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True, symlinks=True)
        shutil.rmtree(kept)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(folder):
    """Fill the file system that a folder is on."""
    filler = folder / FILLER
    with open(filler, "wb") as stream, suppress(OSError):
        stream.write(bytes(shutil.disk_usage(folder).free))
    with suppress(OSError), open(filler, "ab", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass
    yield
    filler.unlink()


def resize(folder, size):
    """Give a mounted file system another size."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)
