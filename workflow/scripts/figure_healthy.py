"""Figures 5 and 7: healthy test scans, modalities in turn, the slices dividing the brain's height evenly."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.data.labels import label_of
    from patch2loc.data.scans import Scan
    from patch2loc.data.volumes import read, read_mask
    from patch2loc.figures.slices import SliceCase, evenly_spaced_slices, slice_figure
    from patch2loc.figures.style import save_figure

    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    folders = dict(zip(params.datasets, map(Path, inputs.heatmaps), strict=True))
    cases = []
    for row in range(params.rows):
        name = list(params.datasets)[row % len(params.datasets)]
        info = params.datasets[name]
        subjects = [
            subject for subject in params.subjects[name] if (folders[name] / f"{subject}.nii.gz").exists()
        ]
        turn, turns = row // len(params.datasets), -(-params.rows // len(params.datasets))
        subject = subjects[turn % len(subjects)]
        scan = Scan(subject, Path(params.preprocessed, name, subject), info["modality"])
        mask = read_mask(scan.mask_path)
        heatmap, _ = read(folders[name] / f"{subject}.nii.gz")
        z = evenly_spaced_slices(mask, turns)[turn]
        cases.append(SliceCase(label_of(info), subject, read(scan.volume_path)[0], heatmap, z=z))
    save_figure(slice_figure(cases, color_map=params.color_map), [output.png, output.pdf])
