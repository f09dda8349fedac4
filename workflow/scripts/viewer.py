"""The viewer's folder beside the report."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.data.scans import read_cohort
    from patch2loc.files import read_csv
    from patch2loc.report.viewer.folder import ScoredDataset, write_viewer
    from patch2loc.score.stored_heatmaps import heatmaps_of

    given, params = snakemake.input, snakemake.params
    results = Path(snakemake.output[0]).parent
    metrics = {Path(path).parent.name: path for path in given.metrics}
    datasets = []
    for (name, about), cohort in zip(params.datasets.items(), given.cohorts, strict=True):
        datasets.append(
            ScoredDataset(
                name=name,
                title=about["title"],
                role=about["role"],
                simulated=about["simulated"],
                scans=read_cohort(cohort),
                heatmaps={
                    method: heatmaps_of(results, method, name, about["modality"], params.fold)
                    for method in params.methods
                },
                metrics=read_csv(metrics[name]) if name in metrics else None,
            )
        )
    write_viewer(snakemake.output[0], datasets, params.scans_shown, params.fold, params.color_map)
