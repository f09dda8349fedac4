"""List the scans of a cohort that can be used."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.data.scans import Scan, write_cohort

    folders = map(Path, snakemake.input)
    write_cohort(
        snakemake.output[0], [Scan(folder.name, folder, snakemake.params.modality) for folder in folders]
    )
