"""Carry the heatmaps of a dataset back to the voxels of its scans."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.data.scans import read_cohort
    from patch2loc.data.volumes import read, write
    from patch2loc.files import replacing_folder
    from patch2loc.preprocess.atlas import common_grid, load_atlas
    from patch2loc.preprocess.scan import read_transform, to_native_space

    inputs, params = snakemake.input, snakemake.params
    atlas = load_atlas(params.atlas, params.modality)
    grid = common_grid(atlas, params.grid["shape"], params.grid["spacing"])
    original_paths = dict(zip(params.subjects, map(Path, inputs.originals), strict=True))
    with replacing_folder(snakemake.output[0]) as folder:
        for scan in read_cohort(inputs.cohort):
            scan_path = original_paths[scan.subject]
            heatmap, _ = read(Path(inputs.heatmaps, f"{scan.subject}.nii.gz"))
            carried = to_native_space(heatmap, grid, read_transform(scan.transform_path), scan_path)
            write(folder / f"{scan.subject}.nii.gz", carried, read(scan_path)[1])
