"""Figure of the metrics of every method and lesion dataset: by subject or by fold."""

from itertools import product

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.data.labels import label_of
    from patch2loc.figures.fold_spread import folds_figure
    from patch2loc.figures.style import save_figure
    from patch2loc.figures.subject_scatter import subjects_figure
    from patch2loc.tables.inputs import read_folds

    params, output = snakemake.params, snakemake.output
    by_fold = read_folds(snakemake.input, product(params.methods, params.datasets), len(params.folds))
    rows = [
        (
            label_of(info),
            {method: by_fold[method, name] for method in params.methods},
        )
        for name, info in params.datasets.items()
    ]
    figure_of = {"subjects": subjects_figure, "folds": folds_figure}[params.figure]
    save_figure(figure_of(rows, params.methods), [output.png, output.pdf])
