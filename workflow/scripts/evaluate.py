"""Metrics of one method on one dataset, one row per subject."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.evaluate import evaluate_scans
    from patch2loc.files import write_csv
    from patch2loc.provenance import describe, write_sidecar

    given, params, output = snakemake.input, snakemake.params, snakemake.output
    table = evaluate_scans(
        params.subjects,
        Path(given.heatmaps),
        [Path(given.healthy, f"{subject}.nii.gz") for subject in params.healthy_subjects]
        if given.healthy
        else [],
        given.masks,
        given.lesions,
        given.qc,
        given.patches or None,
        params.voxel_ml,
        params.patch,
    )
    write_csv(output.metrics, table)
    configuration = {"patch": params.patch, "score": params.score, **snakemake.wildcards}
    inputs = [params.model, *given.masks, *given.lesions]
    write_sidecar(output.metrics, describe(params.code, inputs, configuration, params.subjects))
