"""Patch analysis of one dataset: predictions for its non-overlapping patches."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.configuration.method_device import device_and_precision
    from patch2loc.data.scans import read_cohort
    from patch2loc.evaluate.patch_analysis import analyze_patches
    from patch2loc.files import replacing
    from patch2loc.models import load_model

    params = snakemake.params
    method = snakemake.wildcards.method
    device, precision = device_and_precision(method, params.device, params.precision, snakemake.threads)
    table = analyze_patches(
        load_model(snakemake.input.model, method=method),
        read_cohort(snakemake.input.cohort),
        device,
        precision,
        truth=params.truth,
        same_dataset=params.same_dataset,
    )
    with replacing(snakemake.output[0]) as partial:
        table.to_parquet(partial, index=False)
