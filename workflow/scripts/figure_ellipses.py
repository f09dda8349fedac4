"""Figure 2: predicted locations of patches from one place, normal and abnormal."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    import pandas as pd

    from patch2loc.data.labels import label_of
    from patch2loc.data.scans import read_cohort
    from patch2loc.data.volumes import read
    from patch2loc.figures.ellipses import ellipse_figure
    from patch2loc.figures.style import save_figure

    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    scan = read_cohort(inputs.background)[0]
    background, _ = read(scan.volume_path)
    patches = pd.concat(
        [pd.read_parquet(inputs.patches[0]), pd.read_parquet(inputs.healthy[0])], ignore_index=True
    )
    figure = ellipse_figure(
        label_of(params.about),
        patches,
        background,
        scan.subject,
        patch=params.patch,
        seed=params.seed,
    )
    save_figure(figure, [output.png, output.pdf])
