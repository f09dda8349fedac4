"""Figures 4, 8 and on: subjects of each dataset at evenly spaced ranks of AUPRC, in the slice with the most lesion."""

from pathlib import Path
from typing import Any

import numpy as np

from patch2loc.data.labels import label_of
from patch2loc.data.scans import Scan
from patch2loc.data.volumes import read, read_mask
from patch2loc.figures.slices import SliceCase, evenly_ranked_subjects, lesion_slice, slice_figure
from patch2loc.files import read_csv
from patch2loc.tables.made import Made


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    cases = []
    for (name, info), metrics, heatmaps in zip(
        params.datasets.items(), inputs.metrics, inputs.heatmaps, strict=True
    ):
        auprc = read_csv(metrics).set_index("subject")["auprc"]
        for subject in evenly_ranked_subjects(auprc.reset_index(), "auprc", params.rows):
            scan = Scan(subject, Path(params.preprocessed, name, subject), info["modality"])
            lesion = read_mask(scan.truth_path(params.truth))
            heatmap, _ = read(Path(heatmaps, f"{subject}.nii.gz"))
            volume, _ = read(scan.volume_path)
            z = lesion_slice(lesion, np.isfinite(heatmap))
            title = label_of(info)
            cases.append(SliceCase(title, subject, volume, heatmap, z=z, lesion=lesion, auprc=auprc[subject]))
    return Made(figure=slice_figure(cases, color_map=params.color_map))
