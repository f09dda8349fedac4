"""The results of the run as an RO-Crate."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    import yaml

    from patch2loc.provenance.crate import write_crate

    params = snakemake.params
    write_crate(
        Path(snakemake.output.metadata).parent,
        params.jobs,
        datasets=params.datasets,
        configuration=params.configuration,
        sources=[Path(path) for path in snakemake.input.sources],
        citation=yaml.safe_load(Path(snakemake.input.citation).read_text(encoding="utf-8")),
    )
