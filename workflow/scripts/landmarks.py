"""Fit Nyul landmarks on training scans."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.files import write_json
    from patch2loc.standardize import fit_landmarks, paired_scans

    scans = paired_scans(snakemake.params.subjects, snakemake.input.scans, snakemake.input.masks)
    write_json(snakemake.output[0], fit_landmarks(scans))
