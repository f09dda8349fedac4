# Table 1 and Table 2, beside what the paper printed, and what else the numbers of the subjects tell.
rule table1:
    """Table 1: methods by datasets, best Dice and AUPRC, beside the published numbers."""
    input:
        metrics=evaluated("metrics/{method}/{dataset}/fold{fold}.csv", LESION, EVALUATED),
        published=workflow.source_path("../config/published/table1.csv"),
    output:
        **table("table1", "1"),
    log:
        f"{RESULTS}/logs/table1.log",
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code_hash("patch2loc.tables.table1", "patch2loc.metrics.summary"),
        methods=EVALUATED,
        datasets={name: ABOUT[name] for name in LESION},
        folds=FOLDS,
        seed=config["seed"],
        protocol=PROTOCOL,
    script:
        "../workflow/scripts/table1.py"


rule table2:
    """Table 2: correlation of the lesion share of patches with their scores."""
    input:
        patches=evaluated("patches/{method}/{dataset}/fold{fold}.parquet", LESION, ["patch2loc"]),
        published=workflow.source_path("../config/published/table2.csv"),
    output:
        **table("table2", "2"),
    log:
        f"{RESULTS}/logs/table2.log",
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code_hash("patch2loc.tables.table2"),
        datasets={name: ABOUT[name] for name in LESION},
        folds=FOLDS,
        seed=config["seed"],
    script:
        "../workflow/scripts/table2.py"


rule cases:
    """Every lesion scan by itself: metrics, location error in healthy tissue, lesion volume lost."""
    input:
        evaluated("metrics/{method}/{dataset}/fold{fold}.csv", LESION, EVALUATED),
    output:
        csv=report(
            f"{RESULTS}/tables/cases.csv",
            category="Tables",
            labels={"table": "cases", "format": "CSV"},
            caption="../workflow/report/cases.rst",
        ),
        provenance=f"{RESULTS}/tables/cases.csv.provenance.json",
        markdown=f"{RESULTS}/tables/cases.md",
    log:
        f"{RESULTS}/logs/cases.log",
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code_hash("patch2loc.tables.table1"),
        methods=EVALUATED,
        datasets={name: ABOUT[name] for name in LESION},
        folds=FOLDS,
    script:
        "../workflow/scripts/cases.py"


rule thresholds:
    """What is found at thresholds from validation scans: voxels, lesions, false positives."""
    input:
        evaluated("metrics/{method}/{dataset}/fold{fold}_thresholds.csv", LESION + HEALTHY, EVALUATED),
    output:
        **table("thresholds"),
    log:
        f"{RESULTS}/logs/thresholds.log",
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code_hash("patch2loc.tables.thresholds"),
        table="thresholds",
        methods=EVALUATED,
        datasets={name: ABOUT[name] for name in LESION + HEALTHY},
        folds=FOLDS,
        seed=config["seed"],
        protocol=PROTOCOL,
    script:
        "../workflow/scripts/table_over_subjects.py"


rule comparison:
    """Every pair of methods on the same scans: differences, intervals, tests."""
    input:
        evaluated("metrics/{method}/{dataset}/fold{fold}.csv", LESION, method_names.competing(EVALUATED)),
    output:
        **table("comparison"),
    log:
        f"{RESULTS}/logs/comparison.log",
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code_hash("patch2loc.tables.comparison"),
        table="comparison",
        methods=method_names.competing(EVALUATED),
        datasets={name: ABOUT[name] for name in LESION},
        folds=FOLDS,
        seed=config["seed"],
        protocol=PROTOCOL,
    script:
        "../workflow/scripts/table_over_subjects.py"


rule by_volume:
    """Results by the volume of a scan's lesions."""
    input:
        evaluated("metrics/{method}/{dataset}/fold{fold}.csv", LESION, EVALUATED),
    output:
        **table("by_volume"),
    log:
        f"{RESULTS}/logs/by_volume.log",
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code_hash("patch2loc.tables.by_volume"),
        table="by_volume",
        methods=EVALUATED,
        datasets={name: ABOUT[name] for name in LESION},
        folds=FOLDS,
        seed=config["seed"],
        protocol=PROTOCOL,
    script:
        "../workflow/scripts/table_over_subjects.py"


rule by_site:
    """Results by the site of a scan, of the datasets whose lists name it."""
    input:
        evaluated("metrics/{method}/{dataset}/fold{fold}.csv", list(SITES), EVALUATED),
    output:
        **table("by_site"),
    log:
        f"{RESULTS}/logs/by_site.log",
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code_hash("patch2loc.tables.by_site"),
        table="by_site",
        methods=EVALUATED,
        datasets={name: ABOUT[name] | {"sites": of_scans} for name, of_scans in SITES.items()},
        folds=FOLDS,
        seed=config["seed"],
        protocol=PROTOCOL,
    script:
        "../workflow/scripts/table_over_subjects.py"


rule variants:
    """What the released code's choices change: bisected best Dice, background at 0."""
    input:
        evaluated("metrics/{method}/{dataset}/fold{fold}_variants.csv", LESION),
    output:
        **table("variants"),
    log:
        f"{RESULTS}/logs/variants.log",
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code_hash("patch2loc.tables.comparison"),
        table="variants",
        methods=SCORED,
        datasets={name: ABOUT[name] for name in LESION},
        folds=FOLDS,
        seed=config["seed"],
        protocol=PROTOCOL,
    script:
        "../workflow/scripts/table_over_subjects.py"
