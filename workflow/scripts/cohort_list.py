"""List the scans of a cohort that can be used."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.data.scans import Scan, check_lesions, write_cohort

    params = snakemake.params
    scans = [Scan(folder.name, folder, params.modality) for folder in map(Path, snakemake.input)]
    if params.expected_labels is not None:
        check_lesions(snakemake.wildcards.dataset, scans, params.expected_labels)
    write_cohort(snakemake.output[0], scans)
