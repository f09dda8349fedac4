"""Table 1: every method on every lesion dataset."""

from itertools import product

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.metrics.summary import summarize
    from patch2loc.provenance.record import describe, write_sidecar
    from patch2loc.tables import formats, inputs, table1

    params, output = snakemake.params, snakemake.output
    by_fold = inputs.read_folds(
        snakemake.input.metrics, product(params.methods, params.datasets), len(params.folds)
    )
    summaries = {key: summarize(metrics, params.seed) for key, metrics in by_fold.items()}
    table = table1.table1(summaries, params.datasets, inputs.read_printed(snakemake.input.published))
    layout = table1.table1_layout(table, params.datasets, params.protocol)
    formats.write_table(
        table,
        layout,
        csv=output.csv,
        markdown=output.markdown,
        latex=output.latex,
        html=output.html,
    )
    configuration = {"seed": params.seed, "folds": params.folds, "protocol": params.protocol}
    write_sidecar(
        output.csv,
        describe(
            params.code,
            snakemake.input.metrics,
            configuration,
            inputs.subjects_in(by_fold),
            sources={"config/published/table1.csv": snakemake.input.published},
        ),
    )
