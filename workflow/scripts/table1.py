"""Table 1: every method on every lesion dataset."""

from itertools import product

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc import tables
    from patch2loc.provenance import describe, write_sidecar
    from patch2loc.summary import summarise

    given, params, output = snakemake.input, snakemake.params, snakemake.output
    by_fold = tables.read_folds(given.metrics, product(params.methods, params.datasets), len(params.folds))
    summaries = {key: summarise(metrics, params.seed) for key, metrics in by_fold.items()}
    table = tables.table1(summaries, params.datasets, tables.read_published(given.published))
    layout = tables.table1_layout(table, params.datasets, params.protocol)
    tables.write_table(table, layout, output.csv, output.markdown, output.latex, output.html)
    configuration = {"seed": params.seed, "folds": params.folds, "protocol": params.protocol}
    write_sidecar(output.csv, describe(params.code, given, configuration, tables.subjects_in(by_fold)))
