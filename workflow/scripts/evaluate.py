"""Metrics of one method on one dataset, one row per subject."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.evaluate import evaluate_scans
    from patch2loc.files import write_csv
    from patch2loc.provenance import describe, write_sidecar
    from patch2loc.scans import read_cohort

    given, params, output = snakemake.input, snakemake.params, snakemake.output
    scans = read_cohort(given.cohort)
    healthy = [*Path(given.healthy).glob("*.nii.gz")] if given.healthy else []
    table = evaluate_scans(
        scans, Path(given.heatmaps), healthy, given.patches or None, params.voxel_ml, params.patch
    )
    write_csv(output.metrics, table)
    configuration = {"patch": params.patch, "score": params.score, **snakemake.wildcards}
    inputs = [params.model, *(path for scan in scans for path in (scan.mask, scan.lesion))]
    write_sidecar(output.metrics, describe(params.code, inputs, configuration, table["subject"]))
