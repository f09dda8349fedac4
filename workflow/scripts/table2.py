"""Table 2: correlation of a patch's lesion share with its scores."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    import pandas as pd

    from patch2loc import tables
    from patch2loc.files import write_text
    from patch2loc.provenance import describe, write_sidecar
    from patch2loc.table_formats import to_html

    given, params, output = snakemake.input, snakemake.params, snakemake.output
    folds = len(params.folds)
    patches = {
        name: [pd.read_parquet(path) for path in given.patches[place * folds : (place + 1) * folds]]
        for place, name in enumerate(params.datasets)
    }
    table = tables.table2(patches, params.datasets, tables.read_published(given.published), params.seed)
    layout = tables.table2_layout(table, params.datasets)
    tables.write_table(table, layout, output.csv, output.markdown, output.latex)
    write_text(output.html, to_html(layout))
    subjects = {subject for parts in patches.values() for part in parts for subject in part["subject"]}
    write_sidecar(output.csv, describe(params.code, given, {"seed": params.seed}, sorted(subjects)))
