"""Answers about all scans without truth as one table."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.provenance.record import describe, write_sidecar
    from patch2loc.tables.formats import write_table
    from patch2loc.tables.patients import SUMMARY, patient_layout, patient_table

    params, output = snakemake.params, snakemake.output
    folders = [Path(folder) for folder in snakemake.input]
    table = patient_table(
        [(folder.parent.name, folder) for folder in folders], params.datasets, Path(output.csv).parent
    )
    layout = patient_layout(table, params.datasets, params.controls)
    write_table(table, layout, csv=output.csv, markdown=output.markdown, latex=output.latex, html=output.html)
    files = [folder / SUMMARY for folder in folders]
    configuration = {"controls": params.controls}
    write_sidecar(output.csv, describe(params.code, files, configuration, list(table["subject"])))
