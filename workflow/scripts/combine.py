"""Combine the heatmaps that several methods made of one dataset, or one row of the scans of the same people."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.score.combination import combine_folders, parts_of

    inputs, params = snakemake.input, snakemake.params
    parts = parts_of(params.of, inputs.heatmaps, inputs.calibrations, params.spacing)
    combine_folders(parts, inputs.heatmaps, params.by, snakemake.output[0], joint=params.joint)
