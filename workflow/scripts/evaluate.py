"""Numbers of one method on one dataset: of every subject, at every threshold, by every variant."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.evaluate import evaluate_scans
    from patch2loc.files import write_csv
    from patch2loc.provenance import describe, write_sidecar
    from patch2loc.scans import read_cohort

    given, params, output = snakemake.input, snakemake.params, snakemake.output
    scans = read_cohort(given.cohort)
    found = evaluate_scans(
        scans,
        Path(given.heatmaps),
        healthy=[*Path(given.healthy).glob("*.nii.gz")] if given.healthy else [],
        validation=[*Path(given.validation).glob("*.nii.gz")],
        patches=given.patches or None,
        spacing=params.spacing,
        patch=params.patch,
        calibrate=params.calibrate,
    )
    configuration = {"patch": params.patch, "score": params.score, **snakemake.wildcards}
    inputs = [params.model, *(path for scan in scans for path in (scan.mask, scan.lesion))]
    description = describe(params.code, inputs, configuration, found.metrics["subject"])
    for path, table in zip((output.metrics, output.at_thresholds, output.variants), found, strict=True):
        write_csv(path, table)
        write_sidecar(path, description)
