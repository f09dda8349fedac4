"""Parts of the score of one dataset, by one model, as detectors."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.configuration.method_device import device_and_precision
    from patch2loc.data.scans import read_cohort
    from patch2loc.evaluate.parts import analyze_parts

    params = snakemake.params
    device, precision = device_and_precision(
        snakemake.wildcards.method, params.device, params.precision, snakemake.threads
    )
    analyze_parts(
        snakemake.input.model,
        read_cohort(snakemake.input.cohort),
        snakemake.output[0],
        settings=params.settings,
        truth=params.truth,
        choices=params.choices,
        device=device,
        precision=precision,
        code=params.code,
        method=snakemake.wildcards.method,
        fold=params.fold,
        same_dataset=params.same_dataset,
        threads=snakemake.threads,
    )
