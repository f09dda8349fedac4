"""Score one dataset with one model."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.configuration.method_device import device_and_precision
    from patch2loc.data.scans import read_cohort
    from patch2loc.method_interface import method_of
    from patch2loc.score.job import score_scans

    params = snakemake.params
    device, precision = device_and_precision(
        snakemake.wildcards.method, params.device, params.precision, snakemake.threads
    )
    score_scans(
        snakemake.input.model,
        read_cohort(snakemake.input.cohort),
        snakemake.output[0],
        device=device,
        stride=params.stride,
        median_filter=params.median_filter,
        code=params.code,
        precision=precision,
        threads=snakemake.threads,
        method=method_of(snakemake.wildcards.method),
        fold=params.fold,
        same_dataset=params.same_dataset,
        epsilon=params.epsilon,
        tiles=params.tiles,
        as_published=params.as_published,
    )
