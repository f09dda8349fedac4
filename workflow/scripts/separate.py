"""AUROC of the lesion voxels of a dataset against all brain voxels of the healthy test scans."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    import pandas as pd

    from patch2loc.files import write_csv
    from patch2loc.metrics import cohort_auroc
    from patch2loc.volumes import read, read_mask

    given, params = snakemake.input, snakemake.params
    healthy = (read(Path(given.healthy, f"{subject}.nii.gz"))[0] for subject in params.healthy_subjects)
    lesion = (
        read(Path(given.heatmaps, f"{subject}.nii.gz"))[0][read_mask(mask)]
        for subject, mask in zip(params.subjects, given.lesions, strict=True)
    )
    row = {
        "auroc_healthy": cohort_auroc(healthy, lesion),
        "n_subjects": len(params.subjects),
        "n_healthy": len(params.healthy_subjects),
    }
    write_csv(snakemake.output[0], pd.DataFrame([row]))
