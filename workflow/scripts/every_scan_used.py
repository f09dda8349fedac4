"""Fail, after everything else, if a scan was left out."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    import pandas as pd

    from patch2loc.quality_table import check_every_scan_is_used

    table = pd.read_csv(snakemake.input[0], keep_default_na=False)
    check_every_scan_is_used(table, snakemake.input[0])
