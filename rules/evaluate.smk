# Metrics: a row per subject, and a row per patch.
from patch2loc.data.results import METRICS
from patch2loc.plan import evaluate, preprocess, score, train


rule evaluate:
    input:
        heatmaps=planned(score.heatmaps, "method", "dataset", "fold"),
        healthy=planned(evaluate.healthy_heatmaps, "method", "dataset", "fold"),
        validation=planned(evaluate.healthy_validation_heatmaps, "method", "dataset", "fold"),
        calibration=planned(evaluate.needed_calibration, "method", "dataset", "fold"),
        lesion_validation=planned(evaluate.lesion_validation_heatmaps, "method", "dataset", "fold"),
        lesion_cohort=planned(evaluate.lesion_validation_cohort, "dataset", "fold"),
        cohort=planned(preprocess.cohort, "dataset", "fold", role="test"),
        patches=planned(evaluate.patches, "method", "dataset", "fold"),
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
        dataset=any_of([*LABELED, *JOINT]),
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=3000, runtime=240),
    params:
        code=lambda wildcards: code_hash("patch2loc.evaluate.subjects"),
        patch=planned(train.patch, "method"),
        spacing=config["grid"]["spacing"],
        models=planned(evaluate.models_behind, "method", "dataset", "fold"),
        joint=planned(evaluate.is_joint, "dataset"),
        subfolder=planned(evaluate.subfolder, "method", "dataset"),
        score=config["score"],
        truth=config["truth"],
        choices=config["metrics"],
    script:
        "../workflow/scripts/evaluate.py"


rule analyze_patches:
    input:
        heatmaps=planned(score.heatmaps, "method", "dataset", "fold"),
        cohort=planned(preprocess.cohort, "dataset", "fold", role="test"),
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
