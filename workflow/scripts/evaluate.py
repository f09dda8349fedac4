"""Numbers of one method on one dataset: of subjects, at thresholds, as the released code has them, and curves."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.data.scans import read_cohort
    from patch2loc.evaluate.subjects import evaluate_scans
    from patch2loc.files import write_csv
    from patch2loc.provenance.record import describe, write_sidecar
    from patch2loc.score.calibration import read_calibration
    from patch2loc.score.heatmap_folder import read_times

    files, params, output = snakemake.input, snakemake.params, snakemake.output
    scans = read_cohort(files.cohort)
    folder = params.subfolder
    validation_scans = read_cohort(files.lesion_cohort) if files.lesion_cohort else []
    evaluation = evaluate_scans(
        scans,
        Path(files.heatmaps, folder),
        healthy=[*Path(files.healthy, folder).glob("*.nii.gz")] if files.healthy else [],
        validation=[*Path(files.validation, folder).glob("*.nii.gz")],
        patches=files.patches or None,
        spacing=params.spacing,
        patch=params.patch,
        truth=params.truth,
        choices=params.choices,
        calibration=read_calibration(files.calibration) if files.calibration else None,
        common_brain=params.joint,
        lesion_validation=[
            (scan, Path(files.lesion_validation, folder, f"{scan.subject}.nii.gz"))
            for scan in validation_scans
        ],
    )
    scoring = read_times(files.heatmaps).iloc[0]
    configuration = {
        "patch": params.patch,
        "score": params.score,
        "truth": params.truth,
        "metrics": params.choices,
        "device": scoring["device"],
        "precision": scoring["precision"],
        "lesion_validation": [scan.subject for scan in validation_scans],
        **snakemake.wildcards,
    }
    masks = [
        path
        for scan in [*scans, *validation_scans]
        for path in (scan.mask_path, scan.lesion_path, scan.lesion_any_path)
    ]
    inputs = [*params.models, *masks]
    description = describe(params.code, inputs, configuration, evaluation.metrics["subject"])
    tables = (output.metrics, output.at_thresholds, output.released_code, output.curves)
    for path, table in zip(tables, evaluation, strict=True):
        write_csv(path, table)
        write_sidecar(path, description)
