"""Figures 5 and 7: healthy test scans, modalities in turn, in slices that divide the brain's height evenly."""

from pathlib import Path
from typing import Any

from patch2loc.data.labels import label_of
from patch2loc.data.scans import Scan
from patch2loc.data.volumes import read, read_mask
from patch2loc.figures.slices import SliceCase, evenly_spaced_slices, slice_figure
from patch2loc.tables.made import Made


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    names = list(params.datasets)
    folders = dict(zip(names, map(Path, inputs.heatmaps), strict=True))
    slices = -(-params.rows // len(names))  # of each dataset
    cases = []
    for row in range(params.rows):
        turn, place = divmod(row, len(names))
        name = names[place]
        info, folder = params.datasets[name], folders[name]
        subjects = [each for each in params.subjects[name] if (folder / f"{each}.nii.gz").exists()]
        subject = subjects[turn % len(subjects)]
        scan = Scan(subject, Path(params.preprocessed, name, subject), info["modality"])
        heatmap, _ = read(folder / f"{subject}.nii.gz")
        volume, _ = read(scan.volume_path)
        z = evenly_spaced_slices(read_mask(scan.mask_path), slices)[turn]
        cases.append(SliceCase(label_of(info), subject, volume, heatmap, z=z))
    return Made(figure=slice_figure(cases, color_map=params.color_map))
