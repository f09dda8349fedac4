"""Scans of a command line, one after the other: a folder for each, and no failure of one harms the others."""

import glob
import os
import sys
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from patch2loc.commands import terminal
from patch2loc.errors import InputError
from patch2loc.files import readable, storage_message
from patch2loc.process import Stopped, for_terminal, is_for_lack_of_memory, memory_message, printable
from patch2loc.report.viewer import INDEX_OF_SCANS

T = TypeVar("T")
# Exit status of `detect`: every scan has a result, and one at least cannot be judged.
NOT_JUDGED_STATUS = 3


class Progress(NamedTuple):
    """What the work on a scan tells while it goes on.

    Attributes:
        stage_done: To be called with each stage that is done.
        notify: To be called with a message for people, shown at once.
        tell: To be called with a line of the result, for the standard output.
        warn: To be called with a warning about the result, for the same.
    """

    stage_done: Callable[[str], object]
    notify: Callable[[str], object]
    tell: Callable[[str], object]
    warn: Callable[[str], object]


def matching(scans: Sequence[str]) -> list[str]:
    """The scans, and those that a quoted pattern such as "t1/*.nii.gz" stands for."""
    return [match for scan in scans for match in _matches(scan)]


def _matches(scan: str) -> list[str]:
    is_pattern = glob.has_magic(scan) and not os.path.lexists(scan)
    return (sorted(glob.glob(scan)) if is_pattern else []) or [scan]


def folders_of(scans: Sequence[str], output: str) -> list[Path]:
    """The folder of each scan's results: the output itself for one scan, else a folder in it by the scan's name.

    Raises:
        InputError: A scan has no name that a folder can have, or several scans would share one.
    """
    return [Path(output)] if len(scans) == 1 else [Path(output, name) for name in _names(scans, output)]


def _names(scans: Sequence[str], output: str) -> list[str]:
    """The names of several scans, which differ from each other on every file system."""
    names = [Path(scan).name.removesuffix(".gz").removesuffix(".nii") for scan in scans]
    nameless = [scan for scan, name in zip(scans, names, strict=True) if name in ("", ".", "..")]
    if nameless:
        raise InputError(
            f"{nameless[0]}: no name found that a folder in {output} can have; give it in a call of its own"
        )
    reserved = [scan for scan, name in zip(scans, names, strict=True) if name.casefold() == INDEX_OF_SCANS]
    if reserved:
        raise InputError(
            f"{reserved[0]}: a name found that {output} needs for its list of scans; give it in a call of its own"
        )
    keys = [unicodedata.normalize("NFC", name).casefold() for name in names]  # as macOS and Windows compare
    repeated = {name for name, key in zip(names, keys, strict=True) if keys.count(key) > 1}
    if repeated:
        raise InputError(
            f"{output}: several scans are named {', '.join(sorted(repeated))}, which would share a folder; "
            "give them in calls of their own"
        )
    return names


def one_for_each(scans: Sequence[str], option: str, values: Sequence[T] | None) -> Sequence[T | None]:
    """What an option that is repeated gives to each scan; nothing to any of them where it is absent.

    Args:
        scans: Paths of the scans.
        option: Name, for the message.
        values: Of the option, in the order of the scans.

    Raises:
        InputError: There are values, and not one for each scan.
    """
    if not values:
        return [None] * len(scans)
    if len(values) != len(scans):
        raise InputError(f"{option}: {len(values)} found for {len(scans)} scans, one for each expected")
    return values


def counted(what: str, scans: Sequence[str]) -> str:
    """How many scans something is true of, and which."""
    return f"{len(scans)} {what}" + (f" ({', '.join(scans)})" if scans else "")


def one_by_one(
    scans: Sequence[str],
    folders: Sequence[Path],
    stages: Sequence[str],
    work: Callable[[int, Progress], object],
) -> int:
    """Do the work on each scan, with a bar of progress; the number of scans that failed, each with a message.

    Args:
        scans: Paths of the scans.
        folders: Folder of each scan's results.
        stages: Of the work on one scan.
        work: Called with the place of each scan in the list.

    Raises:
        OSError: A folder cannot be written: the other scans would meet it too.
        Stopped: By a signal.
    """
    from tqdm import tqdm

    failed = 0
    with tqdm(total=len(stages) * len(scans), unit="stage", disable=None) as bar:

        def notify(message: str) -> None:
            bar.write(for_terminal(message), file=sys.stderr)

        def tell(line: str) -> None:
            with tqdm.external_write_mode(file=sys.stdout):
                terminal.tell(line)

        def warn(message: str) -> None:
            with tqdm.external_write_mode(file=sys.stdout):
                terminal.warn(message)

        progress = Progress(lambda stage: bar.update(), notify, tell, warn)
        for place, (scan, folder) in enumerate(zip(scans, folders, strict=True)):
            bar.set_description(printable(readable(Path(scan).name)))
            try:
                work(place, progress)
            except InputError as error:
                failed += 1
                notify(f"patch2loc: {error}")
            except (MemoryError, RuntimeError) as error:
                if not is_for_lack_of_memory(error):
                    raise
                failed += 1
                notify(f"patch2loc: {scan}: {memory_message(error)}")
            except BrokenPipeError:
                raise
            except OSError as error:
                raise OSError(
                    storage_message(error, folder) or f"{error.filename or folder}: {error}"
                ) from error
            except Stopped as stop:
                stop.consequence = f"nothing was written to {folder}; run the same command again"
                raise
            bar.update((place + 1) * len(stages) - bar.n)
    return failed
