"""Fit Nyul landmarks on training scans."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.data.scans import read_cohort
    from patch2loc.files import write_json
    from patch2loc.standardize import fit_landmarks

    params = snakemake.params
    landmarks = fit_landmarks(
        read_cohort(snakemake.input[0]),
        background=params.intensities["landmarks"] == "box",
        scale=params.intensities["scale"],
    )
    write_json(snakemake.output[0], landmarks)
