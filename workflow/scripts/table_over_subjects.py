"""One of the tables over subjects and folds: thresholds, comparison, variants or by_volume."""

from itertools import product

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    import pandas as pd

    from patch2loc import by_volume, comparison, threshold_table
    from patch2loc.provenance import describe, write_sidecar
    from patch2loc.tables import write_table

    given, params, output = snakemake.input, snakemake.params, snakemake.output
    table_of, layout_of = {
        "thresholds": (threshold_table.threshold_table, threshold_table.threshold_layout),
        "comparison": (comparison.comparison_table, comparison.comparison_layout),
        "variants": (comparison.variant_table, comparison.variant_layout),
        "by_volume": (by_volume.volume_table, by_volume.volume_layout),
    }[params.table]
    folds = len(params.folds)
    by_fold = {
        key: [pd.read_csv(path) for path in given[place * folds : (place + 1) * folds]]
        for place, key in enumerate(product(params.methods, params.datasets))
    }
    table = table_of(by_fold, params.datasets, params.seed)
    layout = layout_of(table, params.datasets, params.protocol)
    write_table(table, layout, output.csv, output.markdown, output.latex, output.html)
    configuration = {"seed": params.seed, "folds": params.folds, "protocol": params.protocol}
    subjects = {subject for parts in by_fold.values() for part in parts for subject in part["subject"]}
    write_sidecar(output.csv, describe(params.code, given, configuration, sorted(subjects)))
