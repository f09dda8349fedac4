"""Predictions for the non-overlapping patches of one dataset."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc import device
    from patch2loc.files import replacing
    from patch2loc.models import load_model
    from patch2loc.patch_statistics import cohort_patches
    from patch2loc.scans import read_cohort

    given, params = snakemake.input, snakemake.params
    method = snakemake.wildcards.method
    where, precision = device.for_method(method, params.device, params.precision, snakemake.threads)
    table = cohort_patches(load_model(given.model), read_cohort(given.cohort), where, precision)
    with replacing(snakemake.output[0]) as partial:
        table.to_parquet(partial, index=False)
