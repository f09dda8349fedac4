"""Heatmaps of every method: the subject of median AUPRC of each dataset, in the slice with most lesion."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    import numpy as np

    from patch2loc.data.labels import label_of
    from patch2loc.data.scans import Scan
    from patch2loc.data.volumes import read, read_mask
    from patch2loc.figures.method_maps import ScanMaps, method_maps_figure
    from patch2loc.figures.slices import lesion_slice, median_subject
    from patch2loc.figures.style import save_figure
    from patch2loc.files import read_csv

    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    folders = iter(inputs.heatmaps)
    heatmaps = {(method, name): Path(next(folders)) for method in params.methods for name in params.datasets}
    scans = []
    for (name, info), metrics in zip(params.datasets.items(), inputs.metrics, strict=True):
        subject = median_subject(read_csv(metrics))
        scan = Scan(subject, Path(params.preprocessed, name, subject), info["modality"])
        lesion = read_mask(scan.truth_path(params.truth))
        maps = {method: read(heatmaps[method, name] / f"{subject}.nii.gz")[0] for method in params.methods}
        z = lesion_slice(lesion, np.isfinite(maps[params.methods[0]]))
        volume, _ = read(scan.volume_path)
        scans.append(ScanMaps(label_of(info), subject, z, volume=volume, lesion=lesion, heatmaps=maps))
    figure = method_maps_figure(scans, params.methods, params.color_map)
    save_figure(figure, [output.png, output.pdf])
