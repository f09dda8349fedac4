"""Patch analysis of one dataset: what was predicted for its non-overlapping patches, and their lesion."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.data.scans import read_cohort
    from patch2loc.evaluate.patch_analysis import analyze_patches
    from patch2loc.files import replacing
    from patch2loc.score.heatmap_folder import read_patch_predictions

    files, params = snakemake.input, snakemake.params
    table = analyze_patches(
        read_patch_predictions(files.heatmaps), read_cohort(files.cohort), params.spacing, params.truth
    )
    with replacing(snakemake.output[0]) as partial:
        table.to_parquet(partial, index=False)
