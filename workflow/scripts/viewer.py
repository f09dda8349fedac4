"""Viewer: its folder, beside the report."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.data.scans import read_cohort
    from patch2loc.files import read_csv
    from patch2loc.report.viewer.folder import ScoredDataset, write_viewer
    from patch2loc.score.stored_heatmaps import heatmaps_of

    inputs, params = snakemake.input, snakemake.params
    results = Path(snakemake.output[0]).parent
    metrics = {Path(path).parent.name: path for path in inputs.metrics}
    datasets = []
    for (name, info), cohort in zip(params.datasets.items(), inputs.cohorts, strict=True):
        datasets.append(
            ScoredDataset(
                name=name,
                title=info["title"],
                role=info["role"],
                simulated=info["simulated"],
                scans=read_cohort(cohort),
                heatmaps={
                    method: heatmaps_of(results, method, name, info["modality"], fold=params.fold)
                    for method in params.methods
                },
                metrics=read_csv(metrics[name]) if name in metrics else None,
            )
        )
    write_viewer(
        snakemake.output[0],
        datasets,
        count=params.scans_shown,
        fold=params.fold,
        color_map=params.color_map,
        truth=params.truth,
    )
