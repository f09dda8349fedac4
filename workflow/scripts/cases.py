"""Every lesion scan by itself."""

from itertools import product

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc import tables
    from patch2loc.files import write_csv, write_text
    from patch2loc.provenance import describe, write_sidecar

    given, params, output = snakemake.input, snakemake.params, snakemake.output
    metrics = tables.read_folds(given, product(params.methods, params.datasets), len(params.folds))
    table = tables.cases(metrics, params.datasets)
    write_csv(output.csv, table)
    write_text(output.markdown, table.to_markdown(index=False, floatfmt=".3f") + "\n")
    write_sidecar(output.csv, describe(params.code, given, {"folds": params.folds}, list(table["subject"])))
