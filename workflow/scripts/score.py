"""Score one dataset with one model."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc import device
    from patch2loc.methods import NETWORKS
    from patch2loc.scans import read_cohort
    from patch2loc.score import score_scans

    params = snakemake.params
    where, precision = "cpu", "float32"
    if snakemake.wildcards.method in NETWORKS:
        where = device.choose(params.device, snakemake.threads)
        precision = device.precision(params.precision, where)
    score_scans(
        snakemake.input.model,
        read_cohort(snakemake.input.cohort),
        snakemake.output[0],
        where,
        params.stride,
        params.median_filter,
        params.code,
        precision,
        snakemake.threads,
    )
