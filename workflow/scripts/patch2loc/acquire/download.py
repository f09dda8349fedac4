"""Downloads that arrive whole: resumed after a broken connection, verified before they get their name.

Proxies and certificates are taken from the environment (HTTPS_PROXY, REQUESTS_CA_BUNDLE, ...), as requests does.
`file://` addresses work wherever others do.
"""

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TextIO
from urllib.parse import unquote, urljoin, urlsplit

import requests
import tenacity
from requests.adapters import HTTPAdapter
from requests_file import FileAdapter
from tqdm import tqdm
from urllib3.util import Retry

from patch2loc.acquire import dataverse, registry
from patch2loc.acquire.archives import is_web_page
from patch2loc.acquire.unpack import OTHER_RELEASE
from patch2loc.errors import InputError
from patch2loc.process import printable

ATTEMPTS = 6  # at a connection, and at a file whose transfer breaks off
PAUSE = 1.0  # seconds before the second attempt; doubled each time
LONGEST_PAUSE = 60.0
TIMEOUT = (30, 60)  # seconds: to connect, between two pieces
CHUNK = 1 << 16  # bytes; lost when a connection breaks off
# Of what is expected: another release of a file has more or fewer scans, and not twice as many.
MOST_TIMES, ALWAYS_ALLOWED = 2, 1 << 20
BUSY = (408, 429, 500, 502, 503, 504)
BROKEN_OFF = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


@dataclass(frozen=True)
class _Transfer:
    """A download: from where, by way of which part, to where, how large, and whether a checksum will verify it."""

    session: requests.Session
    url: str
    path: Path
    part: Path
    most_bytes: int | None
    has_checksum: bool
    progress: TextIO | None


class _Session(requests.Session):
    """A session in which no server sends the reader to a file of this machine, or from https to http."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where an answer leads to, or None.

        Raises:
            InputError: An address that an answer of this server may not lead to.
        """
        target: str | None = super().get_redirect_target(resp)
        if target is None:
            return None
        scheme = urlsplit(urljoin(resp.url, target)).scheme
        if scheme not in (("https",) if resp.url.startswith("https:") else ("http", "https")):
            raise InputError(
                f"{resp.url}: redirected to {target}, which is not safe; download the file by hand"
            )
        return target


def open_session() -> requests.Session:
    """HTTP, with retries and exponential back-off for servers that say they are busy, and file://."""
    retry = Retry(
        total=ATTEMPTS - 1,
        connect=0,  # broken connections are retried by `_transfer`
        read=0,
        backoff_factor=PAUSE,
        backoff_max=LONGEST_PAUSE,
        status_forcelist=BUSY,
        allowed_methods=["GET"],
        raise_on_status=False,
    )
    session = _Session()
    session.headers["Accept-Encoding"] = "identity"  # the bytes of the file, as its checksum counts them
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    session.mount("file://", FileAdapter())
    return session


def fetch(
    row: Mapping[str, str],
    folder: str | Path,
    mirror: str | None = None,
    *,
    is_needed: Callable[[PurePosixPath], bool] = lambda path: True,
    is_at_hand: Callable[[PurePosixPath], bool] = lambda path: False,
    roots: Sequence[str] = (),
    progress: TextIO | None = None,
) -> list[Path]:
    """Download what a row of the registry names. Files that are there are verified and kept.

    Args:
        row: Of the registry: file, url, bytes, checksum, fetch.
        folder: Folder to download to.
        mirror: Address of a folder that has the files under their names in the registry and, of a Dataverse, its API
            below api/. It may have a user and a password.
        is_needed: Chooses files of a Dataverse dataset by their paths in it.
        is_at_hand: Tells those of them that need no download.
        roots: Folders that the files are read from, for messages.
        progress: Where to draw a bar, if that is a terminal.

    Returns:
        The files, all verified.

    Raises:
        InputError: As for `download`, and for data that cannot be downloaded without a person.
    """
    with open_session() as session:
        if mirror:
            mirror, session.auth = _without_password(mirror)
        if row["fetch"] == "dataverse":
            listing = dataverse.list_files(session, row, mirror, timeout=TIMEOUT)
            needed = {relative: file_row for relative, file_row in listing if is_needed(relative)}
            if not needed:
                raise InputError(
                    f"{row['file']}: {len(listing)} files listed, none of them a scan or an archive; see {row['url']}"
                )
            paths = []
            for relative, file_row in needed.items():
                if not is_at_hand(relative):
                    paths.append(Path(folder) / relative)
                    download(file_row["url"], paths[-1], file_row, session=session, progress=progress)
            return paths
        if row["fetch"] != "file":
            raise InputError(f"{row['file']}: cannot be downloaded without a person; see {row['url']}")
        url = f"{mirror.rstrip('/')}/{row['file']}" if mirror else row["url"]
        path = Path(folder, row["file"])
        download(url, path, row, session=session, progress=progress, roots=roots, keep_other_release=True)
        return [path]


def download(
    url: str,
    path: str | Path,
    row: Mapping[str, str],
    *,
    session: requests.Session | None = None,
    progress: TextIO | None = None,
    roots: Sequence[str] = (),
    keep_other_release: bool = False,
) -> None:
    """Download a file by way of {path}.part, which a later call goes on with.

    Size and checksum are verified, where they are known, before the file gets its name. After a wrong one it is
    downloaded once more from the start. The same bytes twice are no error of the transfer but another release: if asked
    for it is kept aside as {path}.other-release, and taken without a download once its checksum is the expected one.

    Args:
        url: Address of the file.
        path: File to write.
        row: Of the registry: file, url, bytes, checksum.
        session: From `open_session`.
        progress: Where to draw a bar, if that is a terminal.
        roots: Folders that its content is read from, for messages.
        keep_other_release: True for a file that the configuration can give another checksum.

    Raises:
        InputError: The server has no such file, gives a web page in its place, breaks off again and again, or gives a
            file with another size or checksum.
    """
    path = Path(path)
    aside = path.with_name(f"{path.name}{OTHER_RELEASE}")
    if aside.exists() and not path.exists() and not _difference(aside, row):
        os.replace(aside, path)
        print(f"{path}: kept from before, and its checksum is the expected one by now")
    for present in (path, aside):
        if present.exists():
            if difference := _difference(present, row):
                advice = (
                    f"\n{_ways_on(present, row, roots)}" if keep_other_release else " remove it and run again"
                )
                raise InputError(f"{present}: {difference}; nothing of it is used:{advice}")
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    most_bytes = MOST_TIMES * int(row["bytes"]) + ALWAYS_ALLOWED if row["bytes"] else None
    transfer = _Transfer(
        session or open_session(), url, path, part, most_bytes, bool(row["checksum"]), progress
    )
    if difference := _transfer_twice_at_most(transfer, row):
        if not keep_other_release:
            _forget(part)
            raise InputError(
                f"{url}: {difference}, twice the same: the source has another file than is known here"
            )
        os.replace(part, aside)
        _forget(part)
        raise InputError(
            f"{url}: {difference}, twice the same: the source has another release of {row['file']} than is known here; "
            f"it is kept as {aside}, and nothing of it is used:\n{_ways_on(aside, row, roots)}"
        )
    os.replace(part, path)
    _forget(part)
    print(f"{path}: {path.stat().st_size:,} bytes from {url}")


def _transfer_twice_at_most(transfer: _Transfer, row: Mapping[str, str]) -> str:
    """Bring a file to its part, a second time if it differs from its row; returns a difference that is no accident.

    Raises:
        InputError: As for `_transfer`, and if both times other bytes came.
    """
    url, part = transfer.url, transfer.part
    _transfer(transfer)
    difference = _difference(part, row)
    if not difference:
        return ""
    print(f"{url}: {difference}; downloading it once more, as the transfer may have damaged it")
    first = registry.checksum_of(part, "sha256")
    _forget(part)
    _transfer(transfer)
    difference = _difference(part, row)
    if difference and registry.checksum_of(part, "sha256") != first:
        _forget(part)
        raise InputError(
            f"{url}: {difference}, and something else the time before: the transfer damages the file; nothing is kept: "
            f"run again, by another network if you can, or put the file at {transfer.path}"
        )
    return difference


def _difference(path: Path, row: Mapping[str, str]) -> str:
    """Size and checksum found and expected, if a file differs from its row of the registry; "" if it does not."""
    size = path.stat().st_size
    algorithm, _, expected = (row["checksum"] or "md5:").partition(":")
    if row["bytes"] in ("", str(size)) and not expected:
        return ""
    found = registry.checksum_of(path, algorithm).partition(":")[2]
    if row["bytes"] in ("", str(size)) and found == expected:
        return ""
    expectations = [f"{int(row['bytes']):,} bytes"] if row["bytes"] else []
    expectations += [f"{algorithm} {expected}"] if expected else []
    return f"{size:,} bytes, {algorithm} {found} found, {', '.join(expectations)} expected"


def _ways_on(path: Path, row: Mapping[str, str], roots: Sequence[str]) -> str:
    """Lines of advice on a file that has another checksum than is expected."""
    ways = [f"unpack it yourself under {root}/" for root in dict.fromkeys(roots)]
    found = registry.checksum_of(path, row["checksum"].partition(":")[0] or "md5")
    ways.append(
        "if you trust it, state its checksum in the configuration and run again, which takes it without a download:"
        f"\n    checksums: {{{row['file']}: '{found}'}}"
    )
    ways.append("remove it and run again, which downloads it anew")
    return "  " + "\n  or ".join(ways)


def _transfer(transfer: _Transfer) -> None:
    """Bring a file to its part, going on where the connection broke off."""
    url, path, part = transfer.url, transfer.path, transfer.part

    def announce(state: tenacity.RetryCallState) -> None:
        reason = state.outcome.exception() if state.outcome else None
        print(f"{url}: broke off ({reason}); going on")

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(BROKEN_OFF),
        wait=tenacity.wait_exponential(multiplier=PAUSE, max=LONGEST_PAUSE),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        before_sleep=announce,
        reraise=True,
    )
    try:
        retrying(_receive, transfer)
    except (requests.RequestException, ValueError) as error:
        advice = (
            f"{part.stat().st_size:,} bytes are kept, run again to go on"
            if part.exists()
            else "run again later"
        )
        raise InputError(
            f"{url}: could not be downloaded ({error}); {advice}, or put the file at {path}"
        ) from error


def _receive(transfer: _Transfer) -> None:
    """Send one request: for the rest of the file, or for all of it where the server cannot or must not go on."""
    url, path, part = transfer.url, transfer.path, transfer.part
    validator_file = _validator_file(part)
    validator = validator_file.read_text(encoding="utf-8") if validator_file.exists() else ""
    # Without a validator only a checksum would notice that the file has changed in between.
    start = part.stat().st_size if part.exists() and (validator or transfer.has_checksum) else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and validator:
        headers["If-Range"] = validator
    with transfer.session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        content_range = response.headers.get("Content-Range", "")
        if response.status_code == 416:
            if content_range == f"bytes */{start}":
                return
            _forget(part)
            raise requests.ConnectionError("the part that was kept is longer than the file")
        if response.status_code >= 400:
            raise InputError(
                f"{url}: {response.status_code} {response.reason} found, a file expected; it may have moved or "
                f"be out of order: look for it there and put it at {path}"
            )
        if response.status_code == 206 and not content_range.startswith(f"bytes {start}-"):
            _forget(part)
            raise requests.ConnectionError(f"asked for bytes from {start} on, got {content_range!r}")
        if response.status_code == 200:
            start = 0
        chunks = response.iter_content(CHUNK)
        chunk = next(chunks, b"")
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if is_page or (start == 0 and is_web_page(chunk)):
            _forget(part)
            raise InputError(
                f"{url}: a web page found, {path.name} expected{_title(chunk)}; open the address in a browser (it may "
                f"ask to sign in, or have moved) and put the file at {path}, or run again later"
            )
        if start == 0:
            _keep_validator(validator_file, response.headers)
        length = int(response.headers.get("Content-Length") or 0)
        _check_size(transfer, start + length)
        # A bar needs a terminal; in a log it would be noise.
        with (
            open(part, "ab" if start else "wb") as output,
            tqdm(
                desc=path.name,
                initial=start,
                total=start + length if length else None,
                unit="B",
                unit_scale=True,
                file=transfer.progress or sys.stderr,
                disable=None,
            ) as bar,
        ):
            while chunk:
                output.write(chunk)
                _check_size(transfer, output.tell())
                bar.update(len(chunk))
                chunk = next(chunks, b"")


def _check_size(transfer: _Transfer, size: int) -> None:
    """Stop where a server sends far more than the file can have."""
    if transfer.most_bytes is not None and size > transfer.most_bytes:
        _forget(transfer.part)
        raise InputError(
            f"{transfer.url}: {size:,} bytes found, at most {transfer.most_bytes:,} expected; nothing is kept: look "
            f"for the file there and put it at {transfer.path}"
        )


def _validator_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.validator")


def _keep_validator(file: Path, headers: Mapping[str, str]) -> None:
    """Keep what tells this version of a file from others: its ETag, or the date of its last change."""
    etag = headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
    file.unlink(missing_ok=True)
    if validator:
        file.write_text(validator, encoding="utf-8")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator_file(part).unlink(missing_ok=True)


def _without_password(address: str) -> tuple[str, tuple[str, str] | None]:
    """An address without user and password, so that no message has them; and these, for the session."""
    parts = urlsplit(address)
    if parts.username is None:
        return address, None
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host).geturl(), (unquote(parts.username), unquote(parts.password or ""))


def _title(page: bytes) -> str:
    match = re.search(rb"<title[^>]*>([^<]{1,120})", page, re.IGNORECASE)
    return f" (its title: {printable(match[1].decode(errors='replace').strip())})" if match else ""
