"""Figure 4: of each dataset the subject with the median AUPRC, in the slice with most lesion."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    import pandas as pd

    from patch2loc.figures.slices import SliceCase, fullest_slice, median_subject, slice_figure
    from patch2loc.figures.style import save_figure
    from patch2loc.scans import Scan
    from patch2loc.tables import dataset_label
    from patch2loc.volumes import read, read_mask

    given, params, output = snakemake.input, snakemake.params, snakemake.output
    cases = []
    for (name, about), metrics, heatmaps in zip(
        params.datasets.items(), given.metrics, given.heatmaps, strict=True
    ):
        subject = median_subject(pd.read_csv(metrics))
        scan = Scan(subject, Path(params.preprocessed, name, subject), about["modality"])
        lesion = read_mask(scan.lesion)
        heatmap, _ = read(Path(heatmaps, f"{subject}.nii.gz"))
        title = dataset_label(about["title"], about["simulated"], about["modality"])
        cases.append(SliceCase(title, subject, read(scan.volume)[0], heatmap, fullest_slice(lesion), lesion))
    save_figure(slice_figure(cases, colour_map=params.colour_map), [output.png, output.pdf])
