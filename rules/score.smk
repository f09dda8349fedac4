# Heatmaps: one job scores one dataset with one model.
rule score:
    input:
        model=model_of,
        cohort=scored_cohort,
    output:
        directory(f"{RESULTS}/heatmaps/{{method}}/{{dataset}}/fold{{fold}}"),
    log:
        f"{RESULTS}/logs/score/{{method}}_{{dataset}}_fold{{fold}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/score/{{method}}_{{dataset}}_fold{{fold}}.tsv"
    conda:
        NETWORK
    threads: lambda wildcards: config["score"]["threads"] if runs_network(wildcards.method) else 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        gpu=lambda wildcards: GPU * runs_network(wildcards.method),
        runtime=lambda wildcards, attempt: 720 * attempt,
    params:
        code=lambda wildcards: code_hash(module_name(wildcards.method), "patch2loc.score.scoring"),
        stride=config["score"]["stride"],
        median_filter=config["score"]["median_filter"],
        device=config["device"],
        precision=config["precision"],
    script:
        "../workflow/scripts/score.py"


# A combination is made of finished heatmaps: it has no model.
rule combine:
    input:
        heatmaps=combined_heatmaps("heatmaps"),
        calibrations=combined_calibrations,
    output:
        directory(f"{RESULTS}/heatmaps/{{method}}/{{dataset}}/fold{{fold}}"),
    log:
        f"{RESULTS}/logs/combine/{{method}}_{{dataset}}_fold{{fold}}.log",
    wildcard_constraints:
        method="|".join(COMBINATIONS) or "(?!)",
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code_hash("patch2loc.score.combination"),
        of=lambda wildcards: COMBINATIONS[wildcards.method]["of"],
        by=lambda wildcards: COMBINATIONS[wildcards.method]["by"],
        spacing=config["grid"]["spacing"],
    script:
        "../workflow/scripts/combine.py"


# Heatmaps on the voxels of the scans as they came, for overlay on the originals.
rule carry_back:
    input:
        heatmaps=f"{RESULTS}/heatmaps/{{method}}/{{dataset}}/fold{{fold}}",
        cohort=scored_cohort,
        originals=lambda wildcards: [
            str(scans(wildcards.dataset)[subject]["scan"])
            for subject in subjects(wildcards.dataset, int(wildcards.fold))
        ],
    output:
        directory(f"{RESULTS}/heatmaps_native_space/{{method}}/{{dataset}}/fold{{fold}}"),
    log:
        f"{RESULTS}/logs/carry_back/{{method}}_{{dataset}}_fold{{fold}}.log",
    wildcard_constraints:
        method="|".join(SCORED),
    conda:
        IMAGING
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        code=code_hash("patch2loc.preprocess.scan"),
        subjects=lambda wildcards: subjects(wildcards.dataset, int(wildcards.fold)),
        grid=config["grid"],
        atlas=ATLAS,
        modality=modality_of,
    script:
        "../workflow/scripts/carry_back.py"
