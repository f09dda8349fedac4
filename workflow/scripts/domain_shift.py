"""Domain shift: location error in the healthy tissue of every scan, table and figure."""

from itertools import product

import pandas as pd

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.figures.domain_shift import domain_shift_figure
    from patch2loc.figures.style import save_figure
    from patch2loc.provenance.record import describe, write_sidecar
    from patch2loc.tables.domain_shift import domain_shift_layout, domain_shift_table
    from patch2loc.tables.formats import write_table
    from patch2loc.tables.inputs import read_folds, subjects_in

    params, output = snakemake.params, snakemake.output
    patches = read_folds(
        snakemake.input, product(params.methods, params.datasets), len(params.folds), pd.read_parquet
    )
    table = domain_shift_table(patches, params.datasets, params.training)
    layout = domain_shift_layout(table, params.datasets, params.seed)
    write_table(
        table,
        layout,
        csv=output.csv,
        markdown=output.markdown,
        latex=output.latex,
        html=output.html,
    )
    save_figure(domain_shift_figure(table, params.datasets), [output.png, output.pdf])
    configuration = {"seed": params.seed, "folds": params.folds}
    write_sidecar(output.csv, describe(params.code, snakemake.input, configuration, subjects_in(patches)))
