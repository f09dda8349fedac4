"""List the subjects that train, validate and are tested, count them, and list those whose scans are not there."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    import pandas as pd

    from patch2loc.data import splits
    from patch2loc.files import write_csv

    rows = []
    for name, lists in snakemake.params.lists.items():
        counts = splits.overlaps({int(fold): roles for fold, roles in lists.items()})
        rows.append(counts.assign(dataset=name, split=snakemake.params.split))
    table = pd.concat(rows, ignore_index=True)
    write_csv(snakemake.output.roles, pd.DataFrame(snakemake.params.roles).fillna(""))
    absent = pd.DataFrame(snakemake.params.missing, columns=["dataset", "subject", "files"])
    write_csv(snakemake.output.missing, absent)
    write_csv(snakemake.output.counts, table[["dataset", "split", *table.columns.drop(["dataset", "split"])]])
