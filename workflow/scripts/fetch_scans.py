"""Fetch public scans, one by one, to their places."""

import os
import sys

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.acquire import fetch_scans, registry

    fetch_scans.fetch(
        snakemake.params.scans,
        snakemake.params.data,
        snakemake.params.sources,
        mirror=os.environ.get(registry.MIRROR_VARIABLE),
        progress=sys.__stderr__,
    )
