"""Carry the heatmaps of a dataset back to the voxels of its scans."""

import os
import shutil
from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.atlas import common_grid, load_atlas
    from patch2loc.preprocess import read_transform, to_scan_space
    from patch2loc.volumes import read, write

    given, params = snakemake.input, snakemake.params
    grid = common_grid(
        load_atlas(params.atlas, params.modality), params.grid["shape"], params.grid["spacing"]
    )
    folder = Path(snakemake.output[0])
    partial = folder.with_name(f"{folder.name}.partial")
    for subject, transform, scan in zip(params.subjects, given.transforms, given.scans, strict=True):
        heatmap, _ = read(Path(given.heatmaps, f"{subject}.nii.gz"))
        carried = to_scan_space(heatmap, grid, read_transform(transform), Path(scan))
        write(partial / f"{subject}.nii.gz", carried, read(scan)[1])
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
