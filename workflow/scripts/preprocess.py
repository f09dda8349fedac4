"""Bring one scan to the grid."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.atlas import common_grid, load_atlas
    from patch2loc.preprocess import preprocess_scan, write_preprocessed

    given, params = snakemake.input, snakemake.params
    modality = snakemake.wildcards.modality
    atlas = load_atlas(params.atlas, modality)
    result = preprocess_scan(
        Path(given.scan),
        modality,
        atlas,
        common_grid(atlas, params.grid["shape"], params.grid["spacing"]),
        Path(given.brain) if given.brain else None,
        Path(given.lesion) if given.lesion else None,
        params.settings,
        params.lesion_labels,
    )
    write_preprocessed(Path(snakemake.output.scan).parent, result)
