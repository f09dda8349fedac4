"""Join two models to a detector, and fit what healthy scans score by it."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from tqdm import tqdm

    from patch2loc.data.scans import read_cohort
    from patch2loc.models import load_model, save_model
    from patch2loc.provenance.record import describe
    from patch2loc.score.detector import build_detector

    inputs, params = snakemake.input, snakemake.params
    healthy = [scan for cohort in inputs.healthy for scan in read_cohort(cohort)]
    files = [path for scan in healthy for path in (scan.volume_path, scan.mask_path)]
    settings = {"about": params.about, "median_filter": params.median_filter}
    detector = build_detector(
        load_model(inputs.model),
        load_model(inputs.zscore, method="zscore"),
        training=read_cohort(inputs.training),
        healthy=healthy,
        sites=params.sites,
        median_filter=params.median_filter,
        provenance=describe(
            params.code, [inputs.model, inputs.zscore, *files], settings, [scan.subject for scan in healthy]
        ),
        progress=lambda scans: tqdm(scans, desc="healthy scans", unit="scan", mininterval=5),
        **params.about,
    )
    save_model(snakemake.output[0], detector)
