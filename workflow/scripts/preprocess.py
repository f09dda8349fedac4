"""Bring one scan to the grid, or say why that cannot be done."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.atlas import common_grid, load_atlas
    from patch2loc.errors import InputError
    from patch2loc.preprocess import preprocess_scan, template, write_left_out, write_preprocessed

    given, params, folder = snakemake.input, snakemake.params, snakemake.output[0]
    atlas = load_atlas(params.atlas, template(params.modality, params.settings["protocol"]))
    grid = common_grid(atlas, params.grid["shape"], params.grid["spacing"])
    try:
        result = preprocess_scan(
            Path(given.scan),
            params.modality,
            atlas,
            grid,
            Path(given.brain) if given.brain else None,
            Path(given.lesion) if given.lesion else None,
            params.settings,
            params.lesion_labels,
            params.device,
        )
        write_preprocessed(folder, result)
    except InputError as error:
        # One bad scan must not stop the others: it is left out, and the run says so at its end.
        write_left_out(folder, params.modality, str(error))
        print(f"left out: {error}")
