"""Say which scans are still missing when everything that can be had is unpacked: the last that `data` prints."""

import sys

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.acquire.shortfall import closing_note

    print(closing_note(snakemake.params.datasets), file=sys.__stderr__)
