# Table 1 and Table 2, beside what the paper printed.
rule table1:
    """Table 1: methods by datasets, best Dice and AUPRC, beside the published numbers."""
    input:
        metrics=evaluated("metrics/{method}/{dataset}/fold{fold}.csv", LESION),
        published=workflow.source_path("../config/published/table1.csv"),
    output:
        csv=report(
            f"{RESULTS}/tables/table1.csv",
            category="Tables",
            labels={"table": "1", "format": "CSV"},
            caption="../workflow/report/table1.rst",
        ),
        provenance=f"{RESULTS}/tables/table1.csv.provenance.json",
        markdown=f"{RESULTS}/tables/table1.md",
        latex=f"{RESULTS}/tables/table1.tex",
        html=f"{RESULTS}/tables/table1.html",
    log:
        f"{RESULTS}/logs/table1.log",
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=30,
    params:
        code=code_hash("patch2loc.tables", "patch2loc.evaluate"),
        methods=METHODS,
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
        csv=report(
            f"{RESULTS}/tables/table2.csv",
            category="Tables",
            labels={"table": "2", "format": "CSV"},
            caption="../workflow/report/table2.rst",
        ),
        provenance=f"{RESULTS}/tables/table2.csv.provenance.json",
        markdown=f"{RESULTS}/tables/table2.md",
        latex=f"{RESULTS}/tables/table2.tex",
        html=f"{RESULTS}/tables/table2.html",
    log:
        f"{RESULTS}/logs/table2.log",
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        code=code_hash("patch2loc.tables", "patch2loc.correlation"),
        datasets={name: ABOUT[name] for name in LESION},
        folds=FOLDS,
        seed=config["seed"],
    script:
        "../workflow/scripts/table2.py"


rule cases:
    """Every lesion scan by itself: metrics, location error in healthy tissue, lesion volume lost."""
    input:
        evaluated("metrics/{method}/{dataset}/fold{fold}.csv", LESION),
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
        mem_mb=1500,
        runtime=30,
    params:
        code=code_hash("patch2loc.tables"),
        methods=METHODS,
        datasets={name: ABOUT[name] for name in LESION},
        folds=FOLDS,
    script:
        "../workflow/scripts/cases.py"
