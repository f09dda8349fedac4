"""Bring public scans to their places, one by one, as config/scan_files.csv lists them.

A scan that is missing goes to a folder of the downloads first, where it is verified and, if what is public is not what
the workflow reads, made into that. When all are there, they are moved to their places; until then nothing of them is
seen, and a later call goes on with what arrived.
"""

import errno
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

import requests
from filelock import FileLock
from tqdm import tqdm

from patch2loc.acquire import registry
from patch2loc.acquire.download import BROKEN_OFF, download, open_session
from patch2loc.acquire.scan_files import NeededScan, Row
from patch2loc.data import volumes
from patch2loc.data.content import content_hash
from patch2loc.errors import InputError
from patch2loc.files import replacing

CONNECTIONS = 4  # at once, to all hosts together
WAITING = "scans"  # folder of the downloads where verified scans wait for the others
NAMED = 3  # scans that a message names, of those that come from one source
NO_CONNECTION = "no connection"


def positive(original: Path, scan: Path) -> None:
    """Write the mask of the voxels above 0 of an image."""
    voxels, affine = volumes.read(original)
    volumes.write(scan, voxels > 0, affine)


# What makes the scan that the workflow reads from the file that is public; without a step it is the same file.
STEPS: Mapping[str, Callable[[Path, Path], None]] = {"positive": positive}


def verify(path: str | Path, row: Row) -> None:
    """Check a scan against its checksum: sha256 of the file, or `content_hash` of the image.

    Raises:
        InputError: The scan is not there, cannot be read, or differs.
    """
    kind, _, expected = row["checksum"].partition(":")
    if kind != "content":
        registry.verify(path, {**row, "file": row["path"]})
        return
    found = content_hash(*volumes.read(path))
    if found != expected:
        raise InputError(
            f"{path}: voxels with the hash {found} found, {expected} expected: another image, or another version of "
            f"it; get {row['path']} from {row['url'] or 'its source'}"
        )


def fetch(
    scans: Sequence[NeededScan],
    data: str | Path,
    sources: Mapping[str, Row],
    *,
    mirror: str | None = None,
    progress: TextIO | None = None,
) -> None:
    """Bring scans to their places below `data`: all of them, or none and one message about those that did not come.

    Args:
        scans: The scans; those that are in their places are left as they are.
        data: Folder of all data.
        sources: Rows of the registry by the `source` of the scans.
        mirror: Address of a folder that has the scans, as the workflow reads them, under their paths below `data`.
        progress: Where to draw a bar, if that is a terminal.

    Raises:
        InputError: Some scans cannot be had; the message names them, and says where to get them and where to put them.
    """
    if not _missing(scans, data):
        return
    waiting = registry.downloads(data, WAITING)
    waiting.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(
        f"{waiting}.lock"
    ):  # of another run that reads the same folder; it may bring the same scans
        missing = _missing(scans, data)
        problems = _bring(missing, waiting, mirror, progress)
        if problems:
            raise InputError(_message(problems, len(missing), data, sources))
        for scan in missing:
            _put(waiting / scan["row"]["path"], Path(data, scan["row"]["path"]))
        shutil.rmtree(waiting, ignore_errors=True)


def _missing(scans: Sequence[NeededScan], data: str | Path) -> list[NeededScan]:
    return [scan for scan in scans if not Path(data, scan["row"]["path"]).exists()]


def _bring(
    scans: Sequence[NeededScan], waiting: Path, mirror: str | None, progress: TextIO | None
) -> list[tuple[NeededScan, str]]:
    """Download scans to where they wait, several at once; returns those that did not come, each with the reason."""
    connection = threading.local()
    unreachable: set[str] = set()

    def connect() -> None:
        connection.session = open_session()

    def problem(scan: NeededScan) -> str:
        row = scan["row"]
        url = f"{mirror.rstrip('/')}/{row['path']}" if mirror else row["url"]
        host = urlsplit(url).netloc
        if not url:
            return "not open to a download"
        try:
            # Each scan would wait for the same host, for half a minute.
            if host not in unreachable:
                _download(row, url, waiting / row["path"], connection.session, is_public=not mirror)
                return ""
        except InputError as error:
            if not isinstance(error.__cause__, BROKEN_OFF):
                return f"{url}: {_finding(error)}"
            unreachable.add(host)
        return f"{NO_CONNECTION} to {host}"

    with (
        ThreadPoolExecutor(CONNECTIONS, initializer=connect) as pool,
        tqdm(desc="scans", total=len(scans), unit="scan", file=progress, disable=None) as bar,
    ):
        try:
            problems = []
            for scan, reason in zip(scans, pool.map(problem, scans), strict=True):
                problems += [(scan, reason)] if reason else []
                bar.update()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return problems


def _download(row: Row, url: str, scan: Path, session: requests.Session, *, is_public: bool) -> None:
    """Bring a scan to where it waits, made from the public file if need be; what is there and right is kept."""
    if scan.exists():
        try:
            verify(scan, row)
            return
        except InputError:
            scan.unlink()
    step = STEPS[row["step"]] if is_public and row["step"] else shutil.copyfile
    row = {**row, "file": row["path"], "url": url}
    if row["checksum"].startswith("sha256:"):
        download(url, scan, row, session=session)
        return
    # The checksum is that of the result.
    original = scan.with_name(f"original-{scan.name}")
    download(url, original, {**row, "bytes": "", "checksum": ""}, session=session)
    try:
        with replacing(scan) as partial:
            step(original, partial)
            verify(partial, row)
    finally:
        original.unlink()


def _put(waiting: Path, place: Path) -> None:
    """Move a scan to its place, whole, unless there is one by now."""
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(waiting, place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with replacing(place) as partial:  # the place is on another file system
            shutil.copyfile(waiting, partial)


def _finding(error: InputError) -> str:
    """What was found, without the file in front, a temporary one, and the advice that follows."""
    return str(error).partition("; ")[0].partition(": ")[2]


def _message(
    problems: Sequence[tuple[NeededScan, str]], n_needed: int, data: str | Path, sources: Mapping[str, Row]
) -> str:
    """Ask for the scans that did not come, in one line for each source, without empty ones between them."""
    n_here = n_needed - len(problems)
    lines = [
        f"{len(problems)} of {n_needed} scans could not be fetched; the other {n_here} are kept, and the same command "
        "goes on from there"
    ]
    unreachable = [reason for _, reason in problems if reason.startswith(NO_CONNECTION)]
    if unreachable:
        lines.append(
            f"  {len(unreachable)} of them: {', '.join(dict.fromkeys(unreachable))}; look after the network or the "
            f"proxy (HTTPS_PROXY), or name a folder that has the scans ({registry.MIRROR_VARIABLE})"
        )
    by_source: dict[str, list[tuple[NeededScan, str]]] = {}
    for scan, reason in problems:
        if reason not in unreachable:
            by_source.setdefault(scan["row"]["source"], []).append((scan, reason))
    for name, of_source in by_source.items():
        source = sources[name]
        paths = [scan["row"]["path"] for scan, _ in of_source]
        listed = ", ".join(paths[:NAMED]) + (f" and {len(paths) - NAMED} more" if len(paths) > NAMED else "")
        lines.append(
            f"  {listed}, of {source['title']} ({source['license']}): {of_source[0][1]}; get them from "
            f"{source['url']} ({registry.ACCESS[source['access']]}) and put them below {data} under these names"
        )
    if not unreachable:
        datasets = dict.fromkeys(name for scan, _ in problems for name in scan["datasets"])
        lines.append(f"  or run without what reads them: --config 'without=[{','.join(datasets)}]'")
    return "\n".join(lines)
