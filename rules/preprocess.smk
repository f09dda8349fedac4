# Skull strip, registration to the atlas, one resampling, bias correction: one job a scan.  Few functions, because
# Snakemake calls each of them for each of thousands of scans.
rule preprocess:
    input:
        unpack(given_parts),
    output:
        report(
            directory(f"{RESULTS}/preprocessed/{{dataset}}/{{subject}}"),
            patterns=["qc.png"],
            category="Quality control",
            subcategory="{dataset}",
            labels={"subject": "{subject}"},
            caption="../workflow/report/qc.rst",
        ),
    log:
        f"{RESULTS}/logs/preprocess/{{dataset}}/{{subject}}.log",
    group:
        "preprocess"
    conda:
        IMAGING
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
        gpu=(lambda wildcards: int(wildcards.dataset in STRIPPED_ON_GPU)) if STRIPPED_ON_GPU else 0,
    params:
        code=code_hash(*PREPROCESSING_CODE),
        device=config["device"],
        atlas=ATLAS,
        grid=config["grid"],
        dataset=lambda wildcards: PREPROCESSING[wildcards.dataset],
    script:
        "../workflow/scripts/preprocess.py"


# What a stage after this one takes: a list of scans, so that it depends on one file instead of thousands.
rule cohort:
    input:
        members,
    output:
        f"{RESULTS}/cohorts/{{dataset}}/{{cohort}}.json",
    log:
        f"{RESULTS}/logs/cohorts/{{dataset}}_{{cohort}}.log",
    wildcard_constraints:
        cohort=r"all|(?:train|validation|test)_fold\d+",
    conda:
        IMAGING
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code_hash("patch2loc.data.scans"),
        modality=modality_of,
    script:
        "../workflow/scripts/cohort.py"


rule quality:
    """Quality control: one table of every scan, with the ones that were left out and why."""
    input:
        ALL_SCANS,
    output:
        report(
            f"{RESULTS}/tables/quality.csv",
            category="Tables",
            labels={"table": "quality control", "format": "CSV"},
            caption="../workflow/report/quality.rst",
        ),
    log:
        f"{RESULTS}/logs/quality.log",
    conda:
        STATISTICS
    params:
        code=code_hash("patch2loc.tables.quality"),
        modalities={name: about["modality"] for name, about in ABOUT.items()},
    script:
        "../workflow/scripts/quality.py"


# The run is not a success while a scan is left out and the configuration does not say so.
rule every_scan_used:
    input:
        rules.quality.output,
    output:
        touch(f"{RESULTS}/logs/every_scan_used"),
    log:
        f"{RESULTS}/logs/every_scan_used.log",
    conda:
        STATISTICS
    params:
        code=code_hash("patch2loc.tables.quality"),
    script:
        "../workflow/scripts/every_scan_used.py"
