"""Change the tissue of a real healthy scan in one place: a controlled lesion."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.acquire.controlled import paint_lesion

    scan_path, brain_path = snakemake.input
    outputs = {part: snakemake.output[part] for part in ("scan", "brain", "lesion")}
    print(
        paint_lesion(
            scan_path,
            brain_path,
            modality=snakemake.wildcards.modality,
            outputs=outputs,
            **snakemake.params.lesion,
        )
    )
