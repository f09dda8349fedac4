# Nyul landmarks, per modality and fold, from training subjects only.
rule landmarks:
    input:
        training_cohort("train"),
    output:
        f"{RESULTS}/landmarks/{{modality}}/fold{{fold}}.json",
    log:
        f"{RESULTS}/logs/landmarks/{{modality}}_fold{{fold}}.log",
    conda:
        IMAGING
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code_hash("patch2loc.standardize"),
    script:
        "../workflow/scripts/landmarks.py"
