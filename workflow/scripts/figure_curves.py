"""Precision-recall and Dice-threshold curves of every method and lesion dataset."""

from itertools import product

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.data.labels import label_of
    from patch2loc.figures.curves import DatasetCurves, curves_figure
    from patch2loc.figures.style import save_figure
    from patch2loc.files import read_csv

    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    keys = product(params.methods, params.datasets)
    tables = {key: read_csv(path) for key, path in zip(keys, inputs.curves, strict=True)}
    rows = []
    for (name, info), path in zip(params.datasets.items(), inputs.metrics, strict=True):
        metrics = read_csv(path)
        rows.append(
            DatasetCurves(
                label_of(info),
                {method: tables[method, name] for method in params.methods},
                metrics.loc[metrics["auprc"].notna(), "prevalence"].mean(),
            )
        )
    save_figure(curves_figure(rows, params.methods), [output.png, output.pdf])
