"""Bring one scan to the grid, or say why that cannot be done."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.errors import InputError, ResourceError
    from patch2loc.preprocess.atlas import common_grid, load_atlas
    from patch2loc.preprocess.released_code import template
    from patch2loc.preprocess.scan import preprocess_scan, write_left_out, write_preprocessed
    from patch2loc.provenance.record import describe, write_sidecar

    paths = {part: Path(path) for part, path in snakemake.input.items()}
    params, folder = snakemake.params, snakemake.output[0]
    modality, settings = params.dataset["modality"], params.dataset["settings"]
    atlas = load_atlas(params.atlas, template(modality, settings["template"]))
    grid = common_grid(atlas, params.grid["shape"], params.grid["spacing"])
    try:
        result = preprocess_scan(
            paths["scan"],
            modality,
            atlas,
            grid,
            brain_path=paths.get("brain"),
            lesion_path=paths.get("lesion"),
            lesion_labels=params.dataset["lesion_labels"],
            interpolated_masks=params.dataset["interpolated_masks"],
            acquired_path=paths.get("acquired"),
            settings=settings,
            device=params.device,
        )
        write_preprocessed(folder, result)
    except ResourceError:
        raise  # nothing is wrong with the scan: the job fails, and is tried again with more memory
    except InputError as error:
        # One bad scan must not stop the others: it is left out, and the run says so at its end.
        write_left_out(folder, modality, str(error))
        print(f"left out: {error}")
    configuration = {"atlas": params.atlas, "grid": params.grid, **params.dataset}
    description = describe(params.code, paths.values(), configuration, [snakemake.wildcards.subject])
    write_sidecar(Path(folder, "qc.json"), description)
