"""A table, a figure, or both."""

from importlib import import_module

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.figures.style import save_figure
    from patch2loc.provenance.record import describe, write_sidecar
    from patch2loc.tables.formats import write_table

    params, output = snakemake.params, snakemake.output
    made = import_module(params.module).make(snakemake.input, params)
    if made.figure is not None:
        save_figure(made.figure, [output.png, output.pdf])
    if made.table is not None:
        paths = {name: output.get(name) for name in ("csv", "markdown", "latex", "html")}
        write_table(made.table, made.layout, **paths)
        description = describe(params.code, made.files, made.settings, made.subjects, sources=made.sources)
        write_sidecar(output.csv, description)
