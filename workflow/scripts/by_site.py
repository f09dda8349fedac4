"""Results by the site of a scan."""

from itertools import product

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.provenance.record import describe, write_sidecar
    from patch2loc.tables.by_site import site_layout, site_table
    from patch2loc.tables.formats import write_table
    from patch2loc.tables.inputs import read_folds, subjects_in

    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    keys = list(product(params.methods, params.datasets))
    metrics, at_thresholds = (
        read_folds(paths, keys, len(params.folds)) for paths in (inputs.metrics, inputs.at_thresholds)
    )
    table = site_table(metrics, at_thresholds, params.datasets, params.seed)
    layout = site_layout(table, params.datasets, params.protocol)
    write_table(table, layout, csv=output.csv, markdown=output.markdown, latex=output.latex, html=output.html)
    configuration = {"seed": params.seed, "folds": params.folds, "protocol": params.protocol}
    write_sidecar(output.csv, describe(params.code, snakemake.input, configuration, subjects_in(metrics)))
