"""Files of a Dataverse dataset, by its own listing (native API and data access API, guides.dataverse.org)."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import requests

from patch2loc.acquire.archives import safe_path
from patch2loc.errors import InputError


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
        entries = response.json()["data"]["latestVersion"]["files"]
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{url}: no list of the files of {row['file']} found ({type(error).__name__}); run again later, or get "
            f"them from {row['url']} and unpack them yourself, where docs/how-to/data.md says"
        ) from error
    files = []
    for entry in entries:
        stored = entry["dataFile"]
        name = f"{entry.get('directoryLabel', '')}/{entry['label']}".lstrip("/")
        checksum = stored.get("checksum") or {"type": "MD5", "value": stored.get("md5", "")}
        algorithm = checksum["type"].lower().replace("-", "")
        file_row = {
            "file": name,
            "url": f"{base}/api/access/datafile/{stored['id']}",
            "bytes": str(stored.get("filesize", "")),
            "checksum": f"{algorithm}:{checksum['value']}" if checksum["value"] else "",
        }
        files.append((safe_path(name, url), file_row))
    return files
