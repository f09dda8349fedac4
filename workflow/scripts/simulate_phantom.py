"""Simulate the scans of one phantom subject."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.acquire.phantom import write_subject

    write_subject(
        Path(snakemake.output[0]).parent,
        snakemake.wildcards.cohort,
        snakemake.params.index,
        seed=snakemake.params.seed,
        settings=snakemake.params.settings,
        modalities=snakemake.params.modalities,
    )
