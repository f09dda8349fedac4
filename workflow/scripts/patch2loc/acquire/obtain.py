"""The archives of a dataset: what lies there is looked into first, only what it lacks is downloaded."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

import pandas as pd

from patch2loc.acquire import archives, registry, sources, unpack
from patch2loc.acquire.download import fetch


def obtain(
    name: str,
    rows: Sequence[Mapping[str, str]],
    folder: str | Path,
    *,
    put_by_hand: Sequence[str | Path] = (),
    datasets: Sequence[Mapping[str, Any]] = (),
    target: str | Path = "",
    mirror: str | None = None,
    progress: TextIO | None = None,
) -> list[str]:
    """Bring together what is to be unpacked of a name in the registry.

    A row of the registry is not downloaded if nothing of it is missing, or all that is missing is in archives that were
    put into the folder by hand; of a Dataverse each single file that they have is passed over.

    Args:
        name: In the registry.
        rows: Its rows to download: file, url, bytes, checksum, fetch.
        folder: Folder of its downloads.
        put_by_hand: Archives in the folder, from `unpack.put_by_hand`.
        datasets: Sources of the datasets that read its files; without any, all rows are downloaded.
        target: Folder that its archives are unpacked to.
        mirror: As for `fetch`.
        progress: As for `fetch`.

    Returns:
        Paths below the folder, of the archives put there by hand, too.

    Raises:
        InputError: As for `fetch`, and as for `archives.members` if an archive put there by hand is damaged.
    """
    folder, target = Path(folder), Path(target)
    at_hand: set[Path] = set()
    for archive in put_by_hand:
        places = map(unpack.unpacker(name).place, archives.members(archive, folder))
        at_hand |= {target / place for place in places if place is not None}

    def is_at_hand(path: PurePosixPath) -> bool:
        place = unpack.unpacker(name).place(path)
        return place is not None and target / place in at_hand

    paths = [Path(path) for path in put_by_hand]
    table = pd.DataFrame(rows).assign(dataset=name)
    for row in rows:
        readers = [
            dataset for dataset in datasets if row["file"] in set(registry.rows_of(dataset, table)["file"])
        ]
        missing = {path for dataset in readers for path in sources.missing(dataset)}
        if readers and missing <= at_hand:
            print(
                f"{row['file']}: not downloaded, as all that is missing of it is at hand ({len(missing)} files)"
            )
            continue
        if at_hand:
            print(
                f"{row['file']}: downloaded, as archives at hand have {len(missing & at_hand)} of {len(missing)} files"
            )
        paths += fetch(
            row,
            folder,
            mirror,
            is_needed=lambda path: name not in unpack.NAMES or unpack.is_needed(name, path),
            is_at_hand=is_at_hand,
            roots=[str(reader["root"]) for reader in readers],
            progress=progress,
        )
    return [path.relative_to(folder).as_posix() for path in paths]
