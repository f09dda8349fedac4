"""Predictions for the non-overlapping patches of one dataset."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc import device
    from patch2loc.files import replacing
    from patch2loc.models import load_model
    from patch2loc.patch_statistics import cohort_patches
    from patch2loc.standardize import paired_scans

    given, params = snakemake.input, snakemake.params
    table = cohort_patches(
        load_model(given.model),
        paired_scans(params.subjects, given.scans, given.masks),
        given.lesions,
        device.choose(params.device, snakemake.threads),
    )
    with replacing(snakemake.output[0]) as partial:
        table.to_parquet(partial, index=False)
