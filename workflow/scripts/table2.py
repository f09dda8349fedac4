"""Table 2: correlation of a patch's lesion fraction with its scores."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    import pandas as pd

    from patch2loc.provenance.record import describe, write_sidecar
    from patch2loc.tables.formats import write_table
    from patch2loc.tables.inputs import read_folds, read_printed, subjects_in
    from patch2loc.tables.table2 import table2, table2_layout

    params, output = snakemake.params, snakemake.output
    patches = read_folds(snakemake.input.patches, params.datasets, len(params.folds), pd.read_parquet)
    table = table2(
        patches,
        params.datasets,
        read_printed(snakemake.input.published),
        params.seed,
        correlation=params.correlation,
    )
    layout = table2_layout(table, params.datasets)
    write_table(
        table,
        layout,
        csv=output.csv,
        markdown=output.markdown,
        latex=output.latex,
        html=output.html,
    )
    write_sidecar(
        output.csv,
        describe(
            params.code,
            snakemake.input.patches,
            {"seed": params.seed, "correlation": params.correlation},
            subjects_in(patches),
            sources={"config/published/table2.csv": snakemake.input.published},
        ),
    )
