"""Files of a Dataverse dataset, by its own listing (native API and data access API, guides.dataverse.org)."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import requests

from patch2loc.acquire.archives import safe_path
from patch2loc.errors import InputError

CHECKSUMS = ("md5", "sha1", "sha256", "sha512")  # that a Dataverse may be set to


def list_files(
    session: requests.Session, row: Mapping[str, str], mirror: str | None, timeout: tuple[int, int]
) -> list[tuple[PurePosixPath, dict[str, str]]]:
    """List the files of a dataset.

    Args:
        session: HTTP session.
        row: Of the registry: `file` is the dataset's persistent identifier, `url` its page.
        mirror: Address of a folder that has the API below api/, instead of the page's server.
        timeout: Seconds to connect, and between two pieces.

    Returns:
        The path of each file in the dataset, and its row as in the registry: file, url, bytes, checksum.

    Raises:
        InputError: There is no list of files, or a path leads out of the folder that it is put into.
    """
    address = urlsplit(row["url"])
    base = mirror.rstrip("/") if mirror else f"{address.scheme}://{address.netloc}"
    url = f"{base}/api/datasets/:persistentId"
    try:
        response = session.get(url, params={"persistentId": row["file"]}, timeout=timeout)
        rows = [_row(entry, base) for entry in response.json()["data"]["latestVersion"]["files"]]
    except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{url}: no list of the files of {row['file']} found ({type(error).__name__}); run again later, or get "
            f"them from {row['url']} and unpack them yourself, where docs/how-to/data.md says"
        ) from error
    files: dict[PurePosixPath, dict[str, str]] = {}
    for row_of_file in rows:
        path = safe_path(row_of_file["file"], url)
        if path in files:
            raise InputError(
                f"{url}: {path} is listed twice, one file of a name expected; get the files of {row['file']} from "
                f"{row['url']}"
            )
        files[path] = row_of_file
    return list(files.items())


def _row(entry: Mapping[str, Any], base: str) -> dict[str, str]:
    """Row of the registry of a file, by its entry in the list.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: It is no entry of a file.
    """
    stored = entry["dataFile"]
    checksum = stored.get("checksum") or {"type": "MD5", "value": stored.get("md5", "")}
    algorithm = checksum["type"].lower().replace("-", "")
    if algorithm not in CHECKSUMS:
        raise ValueError(algorithm)
    size = stored.get("filesize")
    return {
        "file": f"{entry.get('directoryLabel', '')}/{entry['label']}".lstrip("/"),
        "url": f"{base}/api/access/datafile/{stored['id']}",
        "bytes": "" if size is None else str(int(size)),
        "checksum": f"{algorithm}:{checksum['value']}" if checksum["value"] else "",
    }
