"""Combine the heatmaps that several methods made of one dataset."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.combination import combine_folders

    combine_folders(snakemake.input, snakemake.params.by, snakemake.output[0])
