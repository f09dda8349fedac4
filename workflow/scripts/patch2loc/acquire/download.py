"""Downloads that arrive whole: resumed after a broken connection, verified before they get their name.

Proxies and certificates are taken from the environment (HTTPS_PROXY, REQUESTS_CA_BUNDLE, ...), as requests does.
`file://` addresses work wherever others do.
"""

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TextIO
from urllib.parse import urlsplit

import requests
import tenacity
from requests.adapters import HTTPAdapter
from requests_file import FileAdapter
from tqdm import tqdm
from urllib3.util import Retry

from patch2loc.acquire import registry
from patch2loc.acquire.archives import is_web_page, safe_path
from patch2loc.errors import InputError

MIRROR_VARIABLE = "PATCH2LOC_MIRROR"
ATTEMPTS = 6  # at a connection, and at a file whose transfer breaks off
PAUSE = 1.0  # seconds before the second attempt; doubled each time
LONGEST_PAUSE = 60.0
TIMEOUT = (30, 60)  # seconds: to connect, between two pieces
CHUNK = 1 << 16  # bytes; what is lost when a connection breaks off
BUSY = (408, 429, 500, 502, 503, 504)
BROKEN_OFF = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


def session() -> requests.Session:
    """HTTP with retries and exponential back-off for servers that say they are busy; and file://."""
    retry = Retry(
        total=ATTEMPTS - 1,
        connect=0,  # broken connections are for `_transfer`
        read=0,
        backoff_factor=PAUSE,
        backoff_max=LONGEST_PAUSE,
        status_forcelist=BUSY,
        allowed_methods=["GET"],
        raise_on_status=False,
    )
    opened = requests.Session()
    opened.headers["Accept-Encoding"] = "identity"  # the bytes of the file, as its checksum counts them
    for scheme in ("http://", "https://"):
        opened.mount(scheme, HTTPAdapter(max_retries=retry))
    opened.mount("file://", FileAdapter())
    return opened


def fetch(
    row: Mapping[str, str],
    folder: str | Path,
    mirror: str | None = None,
    wanted: Callable[[PurePosixPath], bool] = lambda path: True,
    progress: TextIO | None = None,
) -> list[Path]:
    """Download what a row of the registry names into `folder`; returns the files, all verified.

    `mirror`: address of a folder that has the files under their names in the registry and, of a Dataverse, its API
    below api/. `wanted`: which files of a Dataverse dataset, by their paths in it. Files that are there are verified
    and kept. Raises InputError, see `download`.
    """
    with session() as opened:
        if row["fetch"] == "dataverse":
            return _dataverse(opened, row, Path(folder), mirror, wanted, progress)
        if row["fetch"] != "file":
            raise InputError(f"{row['file']}: cannot be downloaded without a person; see {row['url']}")
        url = f"{mirror.rstrip('/')}/{row['file']}" if mirror else row["url"]
        path = Path(folder, row["file"])
        download(url, path, row, opened, progress)
        return [path]


def download(
    url: str,
    path: str | Path,
    row: Mapping[str, str],
    opened: requests.Session | None = None,
    progress: TextIO | None = None,
) -> None:
    """Download `url` to `path`, by way of {path}.part, which a later call goes on with.

    `row`: file, url, bytes and checksum as in the registry; size and checksum are verified, where known, before the
    file gets its name; after a wrong one it is fetched once more from the start. `progress`: where to draw a bar, if
    that is a terminal.
    Raises InputError when the server has no such file, gives a web page in its place, breaks off again and again, or
    gives a file with another size or checksum.
    """
    path = Path(path)
    if path.exists():
        registry.verify(path, row)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    opened = opened or session()
    for last in (False, True):
        _transfer(opened, url, path, part, bool(row["checksum"]), progress)
        try:
            registry.verify(part, row)
            break
        except InputError as error:
            _forget(part)
            if last:
                raise
            print(f"{error}; trying once more")
    os.replace(part, path)
    _forget(part)
    print(f"{path}: {path.stat().st_size:,} bytes from {url}")


def _transfer(opened, url: str, path: Path, part: Path, checked: bool, progress: TextIO | None) -> None:
    """Bring a file to `part`, going on where the connection broke off."""
    trying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(BROKEN_OFF),
        wait=tenacity.wait_exponential(multiplier=PAUSE, max=LONGEST_PAUSE),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        before_sleep=lambda state: print(f"{url}: broke off ({state.outcome.exception()}); going on"),
        reraise=True,
    )
    try:
        trying(_receive, opened, url, path, part, checked, progress)
    except (requests.RequestException, ValueError) as error:
        kept = (
            f"{part.stat().st_size:,} bytes are kept, run again to go on"
            if part.exists()
            else "run again later"
        )
        raise InputError(
            f"{url}: could not be downloaded ({error}); {kept}, or put the file at {path}"
        ) from error


def _receive(opened, url: str, path: Path, part: Path, checked: bool, progress: TextIO | None) -> None:
    """One request: the rest of the file, or all of it where the server cannot or may not go on."""
    validator = _validator_file(part)
    known = validator.read_text(encoding="utf-8") if validator.exists() else ""
    # Without a validator only a checksum would notice that the file has changed in between.
    start = part.stat().st_size if part.exists() and (known or checked) else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and known:
        headers["If-Range"] = known
    with opened.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        said = response.headers.get("Content-Range", "")
        if response.status_code == 416:
            if said == f"bytes */{start}":
                return
            _forget(part)
            raise requests.ConnectionError("the part that was kept is longer than the file")
        if response.status_code >= 400:
            raise InputError(
                f"{url}: {response.status_code} {response.reason} found, a file expected; it may have moved or "
                f"be out of order: "
                f"look for it there and put it at {path}"
            )
        if response.status_code == 206 and not said.startswith(f"bytes {start}-"):
            _forget(part)
            raise requests.ConnectionError(f"asked for bytes from {start} on, got {said!r}")
        if response.status_code == 200:
            start = 0
        pieces = response.iter_content(CHUNK)
        first = next(pieces, b"")
        page = response.headers.get("Content-Type", "").startswith("text/html")
        if page or (start == 0 and is_web_page(first)):
            _forget(part)
            raise InputError(
                f"{url}: a web page found, {path.name} expected{_title(first)}; open the address in a browser (it may "
                f"ask to sign in, or have moved) and put the file at {path}, or run again later"
            )
        if start == 0:
            _keep_validator(validator, response.headers)
        length = int(response.headers.get("Content-Length") or 0)
        # A bar needs a terminal; in a log it would be noise.
        with (
            open(part, "ab" if start else "wb") as output,
            tqdm(
                desc=path.name,
                initial=start,
                total=start + length if length else None,
                unit="B",
                unit_scale=True,
                file=progress or sys.stderr,
                disable=None,
            ) as bar,
        ):
            while first:
                output.write(first)
                bar.update(len(first))
                first = next(pieces, b"")


def _validator_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.validator")


def _keep_validator(file: Path, headers: Mapping[str, str]) -> None:
    """What tells this version of a file from others: its ETag, or the date of its last change."""
    etag = headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
    file.unlink(missing_ok=True)
    if validator:
        file.write_text(validator, encoding="utf-8")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator_file(part).unlink(missing_ok=True)


def _title(page: bytes) -> str:
    match = re.search(rb"<title[^>]*>([^<]{1,120})", page, re.IGNORECASE)
    return f" (its title: {match[1].decode(errors='replace').strip()})" if match else ""


def _dataverse(opened, row, folder: Path, mirror: str | None, wanted, progress) -> list[Path]:
    """Files of a Dataverse dataset (native API and data access API, guides.dataverse.org), by its own listing."""
    address = urlsplit(row["url"])
    base = mirror.rstrip("/") if mirror else f"{address.scheme}://{address.netloc}"
    url = f"{base}/api/datasets/:persistentId"
    try:
        answer = opened.get(url, params={"persistentId": row["file"]}, timeout=TIMEOUT)
        listed = answer.json()["data"]["latestVersion"]["files"]
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{url}: no list of the files of {row['file']} found ({type(error).__name__}); run again later, or get "
            f"them from {row['url']} and unpack them yourself, where docs/how-to/data.md says"
        ) from error
    paths = []
    for entry in listed:
        stored = entry["dataFile"]
        name = f"{entry.get('directoryLabel', '')}/{entry['label']}".lstrip("/")
        relative = safe_path(name, url)
        if not wanted(relative):
            continue
        checksum = stored.get("checksum") or {"type": "MD5", "value": stored.get("md5", "")}
        algorithm = checksum["type"].lower().replace("-", "")
        expected = {
            "file": name,
            "url": f"{base}/api/access/datafile/{stored['id']}",
            "bytes": str(stored.get("filesize", "")),
            "checksum": f"{algorithm}:{checksum['value']}" if checksum["value"] else "",
        }
        paths.append(folder / relative)
        download(expected["url"], paths[-1], expected, opened, progress)
    if not paths:
        raise InputError(
            f"{url}: {len(listed)} files listed, none of them a scan or an archive; see {row['url']}"
        )
    return paths
