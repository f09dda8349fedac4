"""Table 1: every method on every lesion dataset."""

from itertools import product

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    import pandas as pd

    from patch2loc import tables
    from patch2loc.provenance import describe, write_sidecar
    from patch2loc.summary import summarise

    given, params, output = snakemake.input, snakemake.params, snakemake.output
    names = list(product(params.methods, params.datasets))
    folds = len(params.folds)
    by_fold = {
        key: [pd.read_csv(path) for path in given.metrics[place * folds : (place + 1) * folds]]
        for place, key in enumerate(names)
    }
    summaries = {key: summarise(metrics, params.seed) for key, metrics in by_fold.items()}
    table = tables.table1(summaries, params.datasets, tables.read_published(given.published))
    layout = tables.table1_layout(table, params.datasets, params.protocol)
    tables.write_table(table, layout, output.csv, output.markdown, output.latex, output.html)
    configuration = {"seed": params.seed, "folds": params.folds, "protocol": params.protocol}
    subjects = {subject for metrics in by_fold.values() for part in metrics for subject in part["subject"]}
    write_sidecar(output.csv, describe(params.code, given, configuration, sorted(subjects)))
