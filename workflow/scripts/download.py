"""Download the files of a name in the registry that need no form and no registration."""

import os
import sys

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from pathlib import Path

    from patch2loc.acquire import download, registry, unpack
    from patch2loc.files import write_json

    name = snakemake.wildcards.registry_name
    folder = Path(snakemake.output[0]).parent
    paths = []
    for row in snakemake.params.rows:
        paths += download.fetch(
            row,
            folder,
            os.environ.get(registry.MIRROR_VARIABLE),
            is_needed=lambda path: unpack.is_needed(name, path),
            progress=sys.__stderr__,
        )
    write_json(snakemake.output[0], [path.relative_to(folder).as_posix() for path in paths])
