"""Figure 2."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    import pandas as pd

    from patch2loc.data.labels import label_of
    from patch2loc.data.scans import read_cohort
    from patch2loc.data.volumes import read
    from patch2loc.figures.ellipses import ellipse_figure
    from patch2loc.figures.style import save_figure

    given, params, output = snakemake.input, snakemake.params, snakemake.output
    about = params.about
    title = label_of(about)
    scan = read_cohort(given.background)[0]
    background, _ = read(scan.volume)
    patches = pd.concat(
        [pd.read_parquet(given.patches[0]), pd.read_parquet(given.healthy[0])], ignore_index=True
    )
    figure = ellipse_figure(title, patches, background, params.patch, seed=params.seed)
    save_figure(figure, [output.png, output.pdf])
