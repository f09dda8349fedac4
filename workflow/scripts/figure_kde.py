"""Figures 3 and 6: densities of log-error, log-variance and score."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    import pandas as pd

    from patch2loc.data.labels import label_of
    from patch2loc.figures.kde import kde_figure
    from patch2loc.figures.style import save_figure

    params, output = snakemake.params, snakemake.output
    rows = [
        (label_of(info), pd.read_parquet(path))
        for info, path in zip(params.datasets, snakemake.input, strict=True)
    ]
    save_figure(kde_figure(rows, params.seed, densities=params.densities), [output.png, output.pdf])
