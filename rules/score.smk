# Heatmaps: one job scores one dataset with one model.
from patch2loc.data.seeds import fold_of
from patch2loc.plan import evaluate, preprocess, score


rule score:
    input:
        model=planned(score.model, "method", "dataset", "fold"),
        cohort=planned(preprocess.cohort, "dataset", "fold", role="test"),
    output:
        directory(RESULTS.heatmaps()),
    log:
        RESULTS.log("score/{method}_{dataset}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("score/{method}_{dataset}_fold{fold}")
    conda:
        NETWORK
    threads: lambda wildcards: config["score"]["threads"] if runs_network(wildcards.method) else 1
    resources:
        **growing(mem_mb=4000, runtime=720),
        gpu=lambda wildcards: GPU * runs_network(wildcards.method),
    params:
        code=lambda wildcards: code_hash(*scoring_modules(wildcards.method)),
        fold=by_wildcards(fold_of, "fold"),
        stride=config["score"]["stride"],
        median_filter=planned(score.median_filter, "dataset"),
        epsilon=planned(score.epsilon, "method"),
        tiles=planned(score.tiles, "method"),
        as_published=planned(score.as_published, "method"),
        same_dataset=lambda wildcards: DATASETS[wildcards.dataset].is_training_data,
        device=config["device"],
        precision=config["precision"],
    script:
        "../workflow/scripts/score.py"


# Heatmaps of validation scans: of healthy ones for the usual scores, and of lesion datasets whose lists have validation
# scans for the threshold that finds lesions best; both without a test scan.
use rule score as score_validation with:
    input:
        model=planned(score.model, "method", "dataset", "fold"),
        cohort=planned(preprocess.cohort, "dataset", "fold", role="validation"),
    output:
        directory(RESULTS.validation_heatmaps()),
    log:
        RESULTS.log("score_validation/{method}_{dataset}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("score_validation/{method}_{dataset}_fold{fold}")
    params:
        median_filter=config["score"]["median_filter"],


# A combination is computed from heatmaps of its parts: it has no model.
rule combine:
    input:
        heatmaps=planned(score.combined_heatmaps, "method", "dataset", "fold"),
        calibrations=planned(score.combined_calibrations, "method", "dataset", "fold"),
    output:
        directory(RESULTS.heatmaps()),
    log:
        RESULTS.log("combine/{method}_{dataset}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("combine/{method}_{dataset}_fold{fold}")
    wildcard_constraints:
        method=any_of(COMBINATIONS),
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=3000, runtime=60),
    params:
        code=lambda wildcards: code_hash("patch2loc.score.combination"),
        of=planned(score.combined_rows, "method", "dataset"),
        by=planned(score.combining_rule, "method", "dataset"),
        spacing=config["grid"]["spacing"],
        joint=planned(evaluate.is_joint, "dataset"),
    script:
        "../workflow/scripts/combine.py"


use rule combine as combine_validation with:
    input:
        heatmaps=planned(score.combined_validation_heatmaps, "method", "dataset", "fold"),
        calibrations=planned(score.combined_validation_calibrations, "method", "dataset", "fold"),
    output:
        directory(RESULTS.validation_heatmaps()),
    log:
        RESULTS.log("combine_validation/{method}_{dataset}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("combine_validation/{method}_{dataset}_fold{fold}")


# The scans of several contrasts of the same people: one row's heatmaps of each contrast, on the brain that all share.
use rule combine as join with:
    log:
        RESULTS.log("join/{method}_{dataset}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("join/{method}_{dataset}_fold{fold}")
    wildcard_constraints:
        method=any_of(EVALUATED_METHODS),
        dataset=any_of(JOINT),


# Of the training data's people alone, whom calibrations are made from.
use rule combine_validation as join_validation with:
    log:
        RESULTS.log("join_validation/{method}_{dataset}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("join_validation/{method}_{dataset}_fold{fold}")
    wildcard_constraints:
        method=any_of(EVALUATED_METHODS),
        dataset=any_of(JOINT),


rule joint_cohort:
    input:
        planned(score.cohorts_to_join, "dataset", "fold"),
    output:
        RESULTS.cohort(cohort="test_fold{fold}"),
    log:
        RESULTS.log("joint_cohorts/{dataset}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("joint_cohorts/{dataset}_fold{fold}")
    wildcard_constraints:
        dataset=any_of(JOINT),
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=500, runtime=30),
    params:
        code=lambda wildcards: code_hash("patch2loc.data.joint_cohorts"),
    script:
        "../workflow/scripts/joint_cohort.py"


rule calibrate:
    """Calibration: location and scale of a score in healthy brains, at every voxel."""
    input:
        planned(score.calibrating_heatmaps, "method", "modality", "fold"),
    output:
        directory(RESULTS.calibration()),
    log:
        RESULTS.log("calibrate/{method}_{modality}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("calibrate/{method}_{modality}_fold{fold}")
    wildcard_constraints:
        method=any_of(score.calibrated_methods(PLAN)),
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=3000, runtime=60),
    params:
        code=lambda wildcards: code_hash("patch2loc.score.calibration"),
        spacing=config["grid"]["spacing"],
    script:
        "../workflow/scripts/calibrate.py"


# Heatmaps on the voxels of the original scans, for overlay.
rule carry_back:
    input:
        heatmaps=planned(score.heatmaps, "method", "dataset", "fold"),
        cohort=planned(preprocess.cohort, "dataset", "fold", role="test"),
        originals=planned(score.test_scan_files, "dataset", "fold"),
    output:
        directory(RESULTS.native_space_heatmaps()),
    log:
        RESULTS.log("carry_back/{method}_{dataset}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("carry_back/{method}_{dataset}_fold{fold}")
    wildcard_constraints:
        method=any_of(SCORED_METHODS),
    conda:
        IMAGING
    resources:
        **growing(mem_mb=2000, runtime=240),
    params:
        code=lambda wildcards: code_hash("patch2loc.preprocess.scan"),
        subjects=planned(score.test_scans, "dataset", "fold"),
    script:
        "../workflow/scripts/carry_back.py"
