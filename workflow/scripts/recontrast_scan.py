"""Render a real healthy T1 scan in another contrast."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.acquire.recontrasted import recontrast_scan

    scan_path, brain_path = snakemake.input
    outputs = {part: snakemake.output[part] for part in ("scan", "brain")}
    print(recontrast_scan(scan_path, brain_path, seed=snakemake.params.seed, outputs=outputs))
