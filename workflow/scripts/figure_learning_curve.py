"""Learning curve of one training."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    import pandas as pd

    from patch2loc.data.labels import dataset_label
    from patch2loc.figures.learning_curve import learning_curve
    from patch2loc.figures.style import save_figure

    wildcards, output = snakemake.wildcards, snakemake.output
    title = dataset_label(f"Training, fold {wildcards.fold}", snakemake.params.simulated, wildcards.modality)
    save_figure(learning_curve(title, pd.read_csv(snakemake.input[0])), [output.png, output.pdf])
