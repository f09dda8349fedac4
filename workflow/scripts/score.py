"""Score one dataset with one model."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc import device
    from patch2loc.scans import read_cohort
    from patch2loc.score import score_scans

    params = snakemake.params
    method = snakemake.wildcards.method
    where, precision = device.for_method(method, params.device, params.precision, snakemake.threads)
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
