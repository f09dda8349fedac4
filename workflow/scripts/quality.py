"""Quality control of all scans of the run as one table."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from pathlib import Path

    from patch2loc.data.scans import Scan
    from patch2loc.files import write_csv
    from patch2loc.tables.quality import quality_table

    modalities = snakemake.params.modalities
    folders = [Path(folder) for folder in snakemake.input]
    scans = [
        (folder.parent.name, Scan(folder.name, folder, modalities[folder.parent.name])) for folder in folders
    ]
    write_csv(snakemake.output[0], quality_table(scans))
