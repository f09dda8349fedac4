"""Download the files of a name in the registry that need no form and no registration, but for what lies there."""

import os
import sys

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from pathlib import Path

    from patch2loc.acquire import registry
    from patch2loc.acquire.obtain import obtain
    from patch2loc.files import write_json

    manifest, params = snakemake.output[0], snakemake.params
    paths = obtain(
        snakemake.wildcards.registry_name,
        params.rows,
        Path(manifest).parent,
        put_by_hand=snakemake.input,
        datasets=params.datasets,
        target=params.target,
        mirror=os.environ.get(registry.MIRROR_VARIABLE),
        progress=sys.__stderr__,
    )
    write_json(manifest, paths)
