"""Carry the heatmaps of a dataset back to the voxels of its scans."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.data.scans import read_cohort
    from patch2loc.data.volumes import Grid, read, write
    from patch2loc.files import replacing_folder
    from patch2loc.preprocess.scan import read_transform, to_native_space

    inputs, params = snakemake.input, snakemake.params
    original_paths = dict(zip(params.subjects, map(Path, inputs.originals), strict=True))
    with replacing_folder(snakemake.output[0]) as folder:
        for scan in read_cohort(inputs.cohort):
            scan_path = original_paths[scan.subject]
            heatmap, affine = read(Path(inputs.heatmaps, f"{scan.subject}.nii.gz"))
            grid = Grid.of(
                heatmap.shape, affine
            )  # with preprocess.crop: brain it lies elsewhere for every scan
            carried = to_native_space(heatmap, grid, read_transform(scan.transform_path), scan_path)
            write(folder / f"{scan.subject}.nii.gz", carried, read(scan_path)[1])
