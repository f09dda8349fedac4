"""Fail, after everything else, if a scan was left out."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.files import read_csv
    from patch2loc.tables.quality import check_every_scan_is_used

    path = snakemake.input.quality[0]
    check_every_scan_is_used(read_csv(path), path)
