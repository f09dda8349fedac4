# The viewer, the self-contained report, and the results as an RO-Crate.
from patch2loc.configuration.method_names import is_as_published
from patch2loc.plan import preprocess, score
from patch2loc.plan.jobs import crate_jobs
from patch2loc.plan.output import metrics_of, of_first_fold
from patch2loc.report.viewer import PAGE

# Pages and templates, which the hash of the code does not cover.
VIEWER_PAGES = [workflow.source_path(f"../workflow/scripts/patch2loc/report/viewer/{name}") for name in PAGE]
REPORT_PAGES = [
    workflow.source_path(f"../workflow/scripts/patch2loc/report/templates/{name}.j2")
    for name in ("template.html", "parts.html", "style.css")
]


PAPERS_FIGURES = [output for output in OUTPUTS.made if output.number]
FURTHER_FIGURES = [output for output in OUTPUTS.made if output.has_figure and not output.number]


rule viewer:
    """The interactive viewer: its page, and the files of some scans of every dataset."""
    input:
        heatmaps=of_first_fold(PLAN, RESULTS.heatmaps(), DATASETS, SCORED_METHODS),
        calibrations=[
            score.calibration(PLAN, method, name, FIRST_FOLD)
            for method in filter(is_calibrated, EVALUATED_METHODS)
            for name in DATASETS
        ],
        metrics=of_first_fold(PLAN, RESULTS.metrics(), LABELED),
        cohorts=[preprocess.cohort(PLAN, name, FIRST_FOLD, role="test") for name in DATASETS],
        pages=VIEWER_PAGES,
    output:
        directory(RESULTS.viewer()),
    log:
        RESULTS.log("viewer"),
    benchmark:
        RESULTS.benchmark("viewer")
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=2000, runtime=120),
    params:
        code=lambda wildcards: code_hash("patch2loc.report.viewer.folder"),
        datasets=LABELS,
        methods=sorted(
            [method for method in EVALUATED_METHODS if not is_as_published(method)],
            key=lambda method: base_method(method) != "patch2loc",
        ),
        scans_shown=config["report"]["viewer_scans"],
        fold=FIRST_FOLD,
        color_map=config["figures"]["color_map"],
        truth=config["truth"],
    script:
        "../workflow/scripts/viewer.py"


rule report_page:
    """The report: one HTML page with all tables, figures, subjects and quality control, opens offline."""
    input:
        tables=[RESULTS.table(name, ".html") for name in OUTPUTS.tables_in_report],
        provenance=[f"{RESULTS.table(name)}{PROVENANCE}" for name in OUTPUTS.tables_in_report],
        metrics=metrics_of(PLAN, LABELED, EVALUATED_METHODS),
        figures=[RESULTS.figure(output.name) for output in PAPERS_FIGURES],
        captions=[caption_of(output) for output in PAPERS_FIGURES],
        more_figures=[RESULTS.figure(output.name) for output in FURTHER_FIGURES],
        more_captions=[caption_of(output) for output in FURTHER_FIGURES],
        domain_shift=rules.domain_shift.output.csv,
        curves=results_of(RESULTS.learning_curve(), "learning_curve"),
        quality=rules.quality.output,
        viewer=rules.viewer.output,
        pages=REPORT_PAGES,
    output:
        RESULTS.report(),
    log:
        RESULTS.log("report_page"),
    benchmark:
        RESULTS.benchmark("report_page")
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=2000),
    params:
        code=lambda wildcards: code_hash("patch2loc.report.page", "patch2loc.tables.domain_shift"),
        preprocessed=RESULTS.preprocessed_folder(),
        datasets=LABELS,
        methods=EVALUATED_METHODS,
        evaluated=LABELED,
        folds=FOLDS,
        configuration={key: value for key, value in config.items() if key != "datasets"},
        protocol=PROTOCOL,
        main_figures=["fig4"] if LESION else ["fig5"],
    script:
        "../workflow/scripts/report_page.py"


rule crate:
    """RO-Crate: what every result is, what made it and from what, for machines."""
    input:
        report=rules.report_page.output,
        tables=[RESULTS.table(name) for name in OUTPUTS.tables],
        lists=rules.subject_lists.output,
        heatmaps=every_heatmaps(PLAN, UNLABELED),
        sources=[workflow.source_path("../Snakefile"), *map(str, RULE_FILES)],
        citation=workflow.source_path("../CITATION.cff"),
    output:
        metadata=RESULTS.crate(),
        workflow=directory(RESULTS.crate_workflow()),
    log:
        RESULTS.log("crate"),
    benchmark:
        RESULTS.benchmark("crate")
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=1000, runtime=60),
    params:
        code=lambda wildcards: code_hash("patch2loc.provenance.crate"),
        jobs=lambda wildcards: list(crate_jobs(PLAN, rule_outline)),
        datasets=LABELS,
        configuration=config,
    script:
        "../workflow/scripts/crate.py"


# A run fails while quality control leaves out a scan that the configuration does not: after everything else, so that the
# names of these scans are the last that is said, and that all other results are complete is true.
rule every_scan_used:
    """Fail where a scan was left out, and name it."""
    input:
        quality=rules.quality.output,
        after=[rules.report_page.output, rules.crate.output.metadata],
    output:
        touch(f"{RESULTS.root}/logs/every_scan_used"),
    log:
        RESULTS.log("every_scan_used"),
    benchmark:
        RESULTS.benchmark("every_scan_used")
    conda:
        STATISTICS
    params:
        code=lambda wildcards: code_hash("patch2loc.tables.quality"),
    script:
        "../workflow/scripts/every_scan_used.py"
