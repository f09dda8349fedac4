# Numbers: one row per subject, one row per patch.
rule evaluate:
    input:
        heatmaps=f"{RESULTS}/heatmaps/{{method}}/{{dataset}}/fold{{fold}}",
        healthy=lambda wildcards: (
            f"{RESULTS}/heatmaps/{{method}}/{healthy_dataset(wildcards.dataset)}/fold{{fold}}"
            if wildcards.dataset in LESION
            else []
        ),
        cohort=scored_cohort,
        patches=lambda wildcards: (
            f"{RESULTS}/patches/{{method}}/{{dataset}}/fold{{fold}}.parquet"
            if wildcards.method == "patch2loc"
            else []
        ),
    output:
        metrics=f"{RESULTS}/metrics/{{method}}/{{dataset}}/fold{{fold}}.csv",
        provenance=f"{RESULTS}/metrics/{{method}}/{{dataset}}/fold{{fold}}.csv.provenance.json",
    log:
        f"{RESULTS}/logs/evaluate/{{method}}_{{dataset}}_fold{{fold}}.log",
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=240,
    params:
        code=code_hash("patch2loc.evaluate"),
        patch=config["patch"],
        voxel_ml=config["grid"]["spacing"] ** 3 / 1000,
        model=model_of,
        score=config["score"],
    script:
        "../workflow/scripts/evaluate.py"


rule analyse_patches:
    input:
        model=model_of,
        cohort=scored_cohort,
    output:
        f"{RESULTS}/patches/{{method}}/{{dataset}}/fold{{fold}}.parquet",
    log:
        f"{RESULTS}/logs/analyse_patches/{{method}}_{{dataset}}_fold{{fold}}.log",
    wildcard_constraints:
        method="patch2loc",
    conda:
        NETWORK
    resources:
        gpu=GPU,
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=240,
    params:
        code=code_hash("patch2loc.patch_statistics", "patch2loc.methods.patch2loc", "patch2loc.standardize"),
        device=config["device"],
    script:
        "../workflow/scripts/analyse_patches.py"
