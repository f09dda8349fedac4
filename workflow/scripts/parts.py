"""What the score is made of: table and figure over subjects and trainings."""

import pandas as pd

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.figures.parts import parts_figure
    from patch2loc.figures.style import save_figure
    from patch2loc.metrics.parts import Setting
    from patch2loc.provenance.record import describe, write_sidecar
    from patch2loc.tables.formats import write_table
    from patch2loc.tables.inputs import read_folds, subjects_in
    from patch2loc.tables.parts import parts_layout, parts_table

    params, output = snakemake.params, snakemake.output
    keys = [("patch2loc", dataset) for dataset in params.datasets]
    parts = read_folds(snakemake.input, keys, len(params.folds), pd.read_parquet)
    own = {dataset: Setting(*setting) for dataset, setting in params.own.items()}
    table = parts_table(parts, params.datasets, own, params.seed)
    write_table(
        table,
        parts_layout(table, params.datasets, own, params.protocol),
        csv=output.csv,
        markdown=output.markdown,
        latex=output.latex,
        html=output.html,
    )
    save_figure(parts_figure(table, params.datasets, own), [output.png, output.pdf])
    configuration = {"seed": params.seed, "folds": params.folds, "own": own, "protocol": params.protocol}
    write_sidecar(output.csv, describe(params.code, snakemake.input, configuration, subjects_in(parts)))
