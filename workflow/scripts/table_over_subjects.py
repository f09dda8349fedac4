"""One of the tables over subjects and folds: thresholds, comparison, released_code, by_volume or seeds."""

from functools import partial
from itertools import product

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.provenance.record import describe, write_sidecar
    from patch2loc.tables import by_volume, comparison, released_code, seeds, thresholds
    from patch2loc.tables.formats import write_table
    from patch2loc.tables.inputs import read_folds, subjects_in

    params, output = snakemake.params, snakemake.output
    table_of, layout_of = {
        "thresholds": (thresholds.threshold_table, thresholds.threshold_layout),
        "comparison": (comparison.comparison_table, comparison.comparison_layout),
        "released_code": (released_code.released_code_table, released_code.released_code_layout),
        "by_volume": (by_volume.volume_table, by_volume.volume_layout),
        "seeds": (partial(seeds.seed_table, trainings=params.folds), seeds.seed_layout),
    }[params.table]
    by_fold = read_folds(snakemake.input, product(params.methods, params.datasets), len(params.folds))
    table = table_of(by_fold, params.datasets, params.seed)
    layout = layout_of(table, params.datasets, params.protocol)
    write_table(
        table,
        layout,
        csv=output.csv,
        markdown=output.markdown,
        latex=output.latex,
        html=output.html,
    )
    configuration = {"seed": params.seed, "folds": params.folds, "protocol": params.protocol}
    write_sidecar(output.csv, describe(params.code, snakemake.input, configuration, subjects_in(by_fold)))
