"""How well healthy tissue is placed in every scan: table and figure."""

from itertools import product

import pandas as pd

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.figures.domain_shift import transfer_figure
    from patch2loc.figures.style import save_figure
    from patch2loc.provenance.record import describe, write_sidecar
    from patch2loc.tables.domain_shift import transfer_layout, transfer_table
    from patch2loc.tables.formats import write_table
    from patch2loc.tables.inputs import read_folds, subjects_in

    given, params, output = snakemake.input, snakemake.params, snakemake.output
    patches = read_folds(given, product(params.methods, params.datasets), len(params.folds), pd.read_parquet)
    table = transfer_table(patches, params.datasets, params.training)
    layout = transfer_layout(table, params.datasets, params.seed)
    write_table(table, layout, output.csv, output.markdown, output.latex, output.html)
    save_figure(transfer_figure(table, params.datasets), [output.png, output.pdf])
    configuration = {"seed": params.seed, "folds": params.folds}
    write_sidecar(output.csv, describe(params.code, given, configuration, subjects_in(patches)))
