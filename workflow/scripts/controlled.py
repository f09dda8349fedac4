"""Controlled lesions by change, size and amount, table and figure."""

from itertools import product

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.figures.controlled import controlled_figure
    from patch2loc.figures.style import save_figure
    from patch2loc.provenance.record import describe, write_sidecar
    from patch2loc.tables.controlled import controlled_layout, controlled_table
    from patch2loc.tables.formats import write_table
    from patch2loc.tables.inputs import read_folds, subjects_in

    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    keys = list(product(params.methods, params.datasets))
    metrics, at_thresholds = (
        read_folds(paths, keys, len(params.folds)) for paths in (inputs.metrics, inputs.at_thresholds)
    )
    table = controlled_table(metrics, at_thresholds, params.datasets, params.seed)
    layout = controlled_layout(table, params.datasets, params.protocol)
    write_table(table, layout, csv=output.csv, markdown=output.markdown, latex=output.latex, html=output.html)
    save_figure(controlled_figure(table, params.datasets), [output.png, output.pdf])
    configuration = {"seed": params.seed, "folds": params.folds, "protocol": params.protocol}
    write_sidecar(output.csv, describe(params.code, snakemake.input, configuration, subjects_in(metrics)))
