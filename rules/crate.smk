# The results as an RO-Crate: what each of them is, what made it, and from what.
rule crate:
    """RO-Crate: what every result is, what made it and from what, for machines."""
    input:
        report=rules.report_page.output,
        tables=expand(f"{RESULTS}/tables/{{table}}.csv", table=TABLES + (["cases"] if LESION else [])),
        lists=rules.subject_lists.output,
        heatmaps=evaluated("heatmaps/{method}/{dataset}/fold{fold}", UNLABELED),
        sources=[
            workflow.source_path("../Snakefile"),
            *map(str, sorted(Path(workflow.current_basedir).glob("*.smk"))),
        ],
        citation=workflow.source_path("../CITATION.cff"),
    output:
        metadata=f"{RESULTS}/ro-crate-metadata.json",
        workflow=directory(f"{RESULTS}/workflow"),
    log:
        f"{RESULTS}/logs/crate.log",
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code_hash("patch2loc.provenance.crate"),
        jobs=lambda wildcards: list(every_job()),
        datasets=ABOUT,
        configuration=config,
    script:
        "../workflow/scripts/crate.py"
