# Skull strip, registration to the atlas, one resampling, bias correction: one job a scan.
rule preprocess:
    input:
        scan=source("scan"),
        brain=source("brain"),
        lesion=source("lesion"),
    output:
        scan=f"{RESULTS}/preprocessed/{{dataset}}/{{subject}}/{{modality}}.nii.gz",
        mask=f"{RESULTS}/preprocessed/{{dataset}}/{{subject}}/{{modality}}_mask.nii.gz",
        lesion=f"{RESULTS}/preprocessed/{{dataset}}/{{subject}}/{{modality}}_lesion.nii.gz",
        transform=f"{RESULTS}/preprocessed/{{dataset}}/{{subject}}/{{modality}}_transform.tfm",
        qc=f"{RESULTS}/preprocessed/{{dataset}}/{{subject}}/{{modality}}_qc.json",
        picture=report(
            f"{RESULTS}/preprocessed/{{dataset}}/{{subject}}/{{modality}}_qc.png",
            category="Quality control",
            subcategory="{dataset}",
            labels={"subject": "{subject}", "modality": "{modality}"},
            caption="../workflow/report/qc.rst",
        ),
    log:
        f"{RESULTS}/logs/preprocess/{{dataset}}/{{subject}}_{{modality}}.log",
    group:
        "preprocess"
    conda:
        IMAGING
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
    params:
        code=code_hash("patch2loc.preprocess", "patch2loc.atlas"),
        atlas=ATLAS,
        grid=config["grid"],
        settings=lambda wildcards: {
            **config["preprocess"],
            "skull_strip": DATASETS[wildcards.dataset]["skull_strip"],
        },
        lesion_labels=lambda wildcards: DATASETS[wildcards.dataset]["source"].get("lesion_labels"),
    script:
        "../workflow/scripts/preprocess.py"
