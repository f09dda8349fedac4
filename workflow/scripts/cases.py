"""Metrics of every lesion scan by itself."""

from itertools import product

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.files import write_csv, write_text
    from patch2loc.provenance.record import describe, write_sidecar
    from patch2loc.tables import cases, inputs

    params, output = snakemake.params, snakemake.output
    metrics = inputs.read_folds(snakemake.input, product(params.methods, params.datasets), len(params.folds))
    table = cases.cases(metrics, params.datasets)
    write_csv(output.csv, table)
    write_text(output.markdown, table.to_markdown(index=False, floatfmt=".3f") + "\n")
    write_sidecar(
        output.csv, describe(params.code, snakemake.input, {"folds": params.folds}, list(table["subject"]))
    )
