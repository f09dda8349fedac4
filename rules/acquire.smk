# Simulated scans, converted scans, and who trains and is tested.  All other scans are read where they are.
rule simulate_phantom:
    output:
        expand(
            f"{RESULTS}/raw/phantom_{{{{cohort}}}}/{{{{subject}}}}/{{file}}.nii.gz",
            file=["T1", "T1_brain", "T1_lesion", "T2", "T2_brain", "T2_lesion"],
        ),
    log:
        f"{RESULTS}/logs/simulate_phantom/{{cohort}}_{{subject}}.log",
    wildcard_constraints:
        cohort="healthy|tumor|ms|stroke|wmh",
    conda:
        IMAGING
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        code=code_hash("patch2loc.acquire.phantom"),
        seed=config["seed"],
        index=lambda wildcards: int(wildcards.subject.rsplit("_", 1)[1]),
        settings=config["phantom"],
    script:
        "../workflow/scripts/simulate_phantom.py"


rule paint_stroke:
    input:
        lambda wildcards: [
            str(sources.pairs(described(wildcards.dataset))[wildcards.subject][part])
            for part in ("scan", "brain", "mask")
        ],
    output:
        scan=f"{RESULTS}/raw/{{dataset}}/{{subject}}/{{modality}}.nii.gz",
        brain=f"{RESULTS}/raw/{{dataset}}/{{subject}}/{{modality}}_brain.nii.gz",
        lesion=f"{RESULTS}/raw/{{dataset}}/{{subject}}/{{modality}}_lesion.nii.gz",
    log:
        f"{RESULTS}/logs/paint_stroke/{{dataset}}/{{subject}}_{{modality}}.log",
    wildcard_constraints:
        dataset=of_kind("painted"),
    conda:
        IMAGING
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        code=code_hash("patch2loc.acquire.painted", "patch2loc.preprocess.register"),
        pair=lambda wildcards: {
            key: sources.pairs(described(wildcards.dataset))[wildcards.subject][key]
            for key in ("seed", "mirrored")
        },
    script:
        "../workflow/scripts/paint_stroke.py"


rule convert_dicom:
    input:
        series=lambda wildcards: str(given_scans(wildcards.dataset)[wildcards.subject]["scan"]),
    output:
        f"{RESULTS}/raw/{{dataset}}/{{subject}}/{{modality}}.nii.gz",
    log:
        f"{RESULTS}/logs/convert_dicom/{{dataset}}/{{subject}}_{{modality}}.log",
    wildcard_constraints:
        dataset=of_kind("table", "folder"),
    conda:
        IMAGING
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        code=code_hash("patch2loc.acquire.dicom"),
    script:
        "../workflow/scripts/convert_dicom.py"


rule subject_lists:
    """How many subjects train, validate and are tested in each fold, and how many do so at once."""
    output:
        report(
            f"{RESULTS}/tables/subject_lists.csv",
            category="Tables",
            labels={"table": "subject lists", "format": "CSV"},
            caption="../workflow/report/subject_lists.rst",
        ),
    log:
        f"{RESULTS}/logs/subject_lists.log",
    conda:
        STATISTICS
    params:
        code=code_hash("patch2loc.data.splits"),
        split=config["split"],
        lists={name: {fold: roles(name, fold) for fold in FOLDS} for name in HEALTHY if divided(name)},
    script:
        "../workflow/scripts/subject_lists.py"
