"""List the people of whom scans of several contrasts can be used."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.data.joint_cohorts import write_joint_cohort

    write_joint_cohort(snakemake.output[0], snakemake.input)
