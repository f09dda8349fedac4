# Metrics: a row per subject, and a row per patch.
from patch2loc.data.results import METRICS


rule evaluate:
    input:
        heatmaps=by_wildcards(RUN.heatmaps, "method", "dataset", "fold"),
        healthy=branch(
            lambda wildcards: wildcards.dataset in LESION_OR_JOINT,
            then=by_wildcards(RUN.healthy_heatmaps, "method", "dataset", "fold"),
        ),
        validation=by_wildcards(RUN.healthy_validation_heatmaps, "method", "dataset", "fold"),
        calibration=branch(
            lambda wildcards: is_calibrated(wildcards.method) and wildcards.dataset not in JOINT,
            then=by_wildcards(RUN.calibration, "method", "dataset", "fold"),
        ),
        lesion_validation=branch(
            lambda wildcards: RUN.has_lesion_validation(wildcards.dataset),
            then=by_wildcards(RUN.validation_heatmaps, "method", "dataset", "fold"),
        ),
        lesion_cohort=branch(
            lambda wildcards: RUN.has_lesion_validation(wildcards.dataset),
            then=by_wildcards(RUN.cohort, "dataset", "fold", role="validation"),
        ),
        cohort=by_wildcards(RUN.cohort, "dataset", "fold", role="test"),
        patches=branch(
            lambda wildcards: wildcards.method in LOCATING_METHODS and wildcards.dataset not in JOINT,
            then=RESULTS.patches(),
        ),
    output:
        **{kind: RESULTS.metrics(kind=kind) for kind in METRICS},
        provenance=[f"{RESULTS.metrics(kind=kind)}{PROVENANCE}" for kind in METRICS],
    log:
        RESULTS.log("evaluate/{method}_{dataset}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("evaluate/{method}_{dataset}_fold{fold}")
    wildcard_constraints:
        method=any_of([*EVALUATED_METHODS, *ABLATED_ROWS]),
        # Metrics need a lesion mask, or a scan without lesions.
        dataset=any_of([*RUN.labeled_datasets, *JOINT]),
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=3000, runtime=240),
    params:
        code=lambda wildcards: code_hash("patch2loc.evaluate.subjects"),
        patch=lambda wildcards: RUN.configuration_of(wildcards.method)["patch"],
        spacing=config["grid"]["spacing"],
        models=by_wildcards(RUN.models_behind, "method", "dataset", "fold"),
        joint=lambda wildcards: wildcards.dataset in JOINT,
        subfolder=by_wildcards(RUN.subfolder_of_heatmaps, "method", "dataset"),
        score=config["score"],
        truth=config["truth"],
        choices=config["metrics"],
    script:
        "../workflow/scripts/evaluate.py"


rule analyze_patches:
    input:
        heatmaps=by_wildcards(RUN.heatmaps, "method", "dataset", "fold"),
        cohort=by_wildcards(RUN.cohort, "dataset", "fold", role="test"),
    output:
        RESULTS.patches(),
    log:
        RESULTS.log("analyze_patches/{method}_{dataset}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("analyze_patches/{method}_{dataset}_fold{fold}")
    wildcard_constraints:
        method=any_of(LOCATING_METHODS),
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=3000, runtime=60),
    params:
        code=lambda wildcards: code_hash(
            "patch2loc.evaluate.patch_analysis", "patch2loc.score.heatmap_folder"
        ),
        spacing=config["grid"]["spacing"],
        truth=config["truth"],
    script:
        "../workflow/scripts/analyze_patches.py"
