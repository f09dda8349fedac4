"""Score one dataset with one model."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.configuration.method_device import device_and_precision
    from patch2loc.data.scans import read_cohort
    from patch2loc.score.scoring import score_scans

    params = snakemake.params
    method = snakemake.wildcards.method
    device, precision = device_and_precision(method, params.device, params.precision, snakemake.threads)
    score_scans(
        snakemake.input.model,
        read_cohort(snakemake.input.cohort),
        snakemake.output[0],
        device,
        params.stride,
        params.median_filter,
        params.code,
        precision,
        snakemake.threads,
    )
