# Numbers: rows per subject, one row per patch.


# Heatmaps of the healthy validation scans: what scores are usual, without a test scan or a lesion. And those of the
# validation scans of lesion datasets whose lists have any: what threshold finds lesions best, without a test scan.
use rule score as score_validation with:
    input:
        model=model_of,
        cohort=lambda wildcards: cohort(wildcards.dataset, wildcards.fold, "validation"),
    output:
        directory(f"{RESULTS}/heatmaps_validation/{{method}}/{{dataset}}/fold{{fold}}"),
    log:
        f"{RESULTS}/logs/score_validation/{{method}}_{{dataset}}_fold{{fold}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/score_validation/{{method}}_{{dataset}}_fold{{fold}}.tsv"


use rule combine as combine_validation with:
    input:
        heatmaps=combined_heatmaps("heatmaps_validation"),
        # Healthy validation scans are what calibrations are made of: they are held out in turn.
        calibrations=branch(makes_calibrations, then=[], otherwise=combined_calibrations),
    output:
        directory(f"{RESULTS}/heatmaps_validation/{{method}}/{{dataset}}/fold{{fold}}"),
    log:
        f"{RESULTS}/logs/combine_validation/{{method}}_{{dataset}}_fold{{fold}}.log",


rule calibrate:
    """Where healthy brains score high: location and scale of a score at every place."""
    input:
        lambda wildcards: (
            f"{RESULTS}/heatmaps_validation/{{method}}/{config['training_data'][wildcards.modality]}/fold{{fold}}"
        ),
    output:
        directory(f"{RESULTS}/calibration/{{method}}/{{modality}}/fold{{fold}}"),
    log:
        f"{RESULTS}/logs/calibrate/{{method}}_{{modality}}_fold{{fold}}.log",
    wildcard_constraints:
        method="|".join(method_names.CALIBRATED),
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code_hash("patch2loc.score.calibration"),
        spacing=config["grid"]["spacing"],
    script:
        "../workflow/scripts/calibrate.py"


rule evaluate:
    input:
        heatmaps=heatmaps_for("heatmaps"),
        healthy=branch(
            lambda wildcards: wildcards.dataset in LESION, then=heatmaps_for("heatmaps", healthy_dataset)
        ),
        validation=heatmaps_for("heatmaps_validation", healthy_dataset),
        calibration=branch(
            lambda wildcards: method_names.is_calibrated(wildcards.method),
            then=lambda wildcards: calibration_of(wildcards.method, wildcards.dataset, wildcards.fold),
        ),
        lesion_validation=branch(validates_lesions, then=heatmaps_for("heatmaps_validation")),
        lesion_cohort=branch(
            validates_lesions,
            then=lambda wildcards: cohort(wildcards.dataset, wildcards.fold, "validation"),
        ),
        cohort=scored_cohort,
        patches=lambda wildcards: (
            f"{RESULTS}/patches/{{method}}/{{dataset}}/fold{{fold}}.parquet"
            if wildcards.method in LOCATING
            else []
        ),
    output:
        metrics=f"{RESULTS}/metrics/{{method}}/{{dataset}}/fold{{fold}}.csv",
        at_thresholds=f"{RESULTS}/metrics/{{method}}/{{dataset}}/fold{{fold}}_thresholds.csv",
        variants=f"{RESULTS}/metrics/{{method}}/{{dataset}}/fold{{fold}}_variants.csv",
        curves=f"{RESULTS}/metrics/{{method}}/{{dataset}}/fold{{fold}}_curves.csv",
        provenance=expand(
            f"{RESULTS}/metrics/{{{{method}}}}/{{{{dataset}}}}/fold{{{{fold}}}}{{kind}}.csv.provenance.json",
            kind=["", "_thresholds", "_variants", "_curves"],
        ),
    log:
        f"{RESULTS}/logs/evaluate/{{method}}_{{dataset}}_fold{{fold}}.log",
    wildcard_constraints:
        method="|".join(EVALUATED),
        dataset="|".join(LESION + HEALTHY),  # metrics need a lesion mask, or that there is no lesion
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        code=code_hash("patch2loc.evaluate.subjects"),
        patch=config["patch"],
        spacing=config["grid"]["spacing"],
        models=scoring_models,
        score=config["score"],
    script:
        "../workflow/scripts/evaluate.py"


rule analyze_patches:
    input:
        model=model_of,
        cohort=scored_cohort,
    output:
        f"{RESULTS}/patches/{{method}}/{{dataset}}/fold{{fold}}.parquet",
    log:
        f"{RESULTS}/logs/analyze_patches/{{method}}_{{dataset}}_fold{{fold}}.log",
    wildcard_constraints:
        method="|".join(LOCATING),
        dataset="|".join(LESION + HEALTHY + UNLABELED),
    conda:
        NETWORK
    resources:
        gpu=GPU,
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        code=lambda wildcards: code_hash(
            "patch2loc.evaluate.patch_analysis", module_name(wildcards.method), "patch2loc.standardize"
        ),
        device=config["device"],
        precision=config["precision"],
    script:
        "../workflow/scripts/analyze_patches.py"
