"""Fit the calibration of a method: what healthy validation scans score at every place, from their heatmaps."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.data.volumes import read
    from patch2loc.score.calibration import fit_calibration, write_calibration

    images = [read(path) for path in sorted(Path(snakemake.input[0]).glob("*.nii.gz"))]
    calibration = fit_calibration([heatmap for heatmap, _ in images], snakemake.params.spacing)
    _, affine = images[0]
    write_calibration(snakemake.output[0], calibration, affine)
