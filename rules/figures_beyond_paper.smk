# Figures that the paper does not have.
from patch2loc.configuration.method_names import table_rows

# Without combinations, which have no training whose cost could be shown.
TRAINED_ROWS = table_rows(METHODS)


rule methods:
    """Heatmaps of every method in one slice of each lesion dataset."""
    input:
        heatmaps=of_first_fold(RESULTS.heatmaps(), LESION, SCORED_METHODS),
        metrics=of_first_fold(RESULTS.metrics(), LESION),
    output:
        **figure("methods"),
    log:
        RESULTS.log("methods"),
    benchmark:
        RESULTS.benchmark("methods")
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=3000),
    params:
        code=lambda wildcards: code_hash(
            "patch2loc.figures.method_maps", "patch2loc.data.labels", "patch2loc.data.scans"
        ),
        methods=SCORED_METHODS,
        datasets=RUN.labels(LESION),
        preprocessed=RESULTS.preprocessed_folder(),
        truth=config["truth"],
        color_map=config["figures"]["color_map"],
    script:
        "../workflow/scripts/figure_methods.py"


rule curves:
    """Precision-recall and Dice-threshold curves of every method and lesion dataset."""
    input:
        curves=of_first_fold(RESULTS.metrics(kind="curves"), LESION, EVALUATED_METHODS),
        metrics=of_first_fold(RESULTS.metrics(), LESION, EVALUATED_METHODS[:1]),
    output:
        **figure("curves"),
    log:
        RESULTS.log("curves"),
    benchmark:
        RESULTS.benchmark("curves")
    conda:
        STATISTICS
    params:
        code=lambda wildcards: code_hash(
            "patch2loc.figures.curves", "patch2loc.tables.inputs", "patch2loc.data.labels"
        ),
        methods=EVALUATED_METHODS,
        datasets=RUN.labels(LESION),
    script:
        "../workflow/scripts/figure_curves.py"


rule subjects:
    """AUPRC and best Dice of every subject against lesion volume."""
    input:
        every(RESULTS.metrics(), LESION, EVALUATED_METHODS),
    output:
        **figure("subjects"),
    log:
        RESULTS.log("subjects"),
    benchmark:
        RESULTS.benchmark("subjects")
    conda:
        STATISTICS
    params:
        code=lambda wildcards: code_hash(
            "patch2loc.figures.subject_scatter", "patch2loc.tables.inputs", "patch2loc.data.labels"
        ),
        figure="subjects",
        methods=EVALUATED_METHODS,
        datasets=RUN.labels(LESION),
        folds=FOLDS,
    script:
        "../workflow/scripts/figure_metrics.py"


rule folds:
    """Best Dice and AUPRC of every fold beside the mean over folds."""
    input:
        rules.subjects.input,
    output:
        **figure("folds"),
    log:
        RESULTS.log("folds"),
    benchmark:
        RESULTS.benchmark("folds")
    conda:
        STATISTICS
    params:
        code=lambda wildcards: code_hash(
            "patch2loc.figures.fold_spread", "patch2loc.tables.inputs", "patch2loc.data.labels"
        ),
        figure="folds",
        methods=EVALUATED_METHODS,
        datasets=RUN.labels(LESION),
        folds=FOLDS,
    script:
        "../workflow/scripts/figure_metrics.py"


rule cost:
    """AUPRC against the time of training and of scoring a scan."""
    input:
        metrics=every(RESULTS.metrics(), LESION, TRAINED_ROWS),
        models=trainings(RESULTS.model(), LESION_MODALITIES),
        histories=trainings(RESULTS.history(), LESION_MODALITIES),
    output:
        **figure("cost"),
    log:
        RESULTS.log("cost"),
    benchmark:
        RESULTS.benchmark("cost")
    conda:
        STATISTICS
    params:
        code=lambda wildcards: code_hash(
            "patch2loc.figures.cost", "patch2loc.tables.inputs", "patch2loc.data.labels"
        ),
        methods=TRAINED_ROWS,
        datasets=RUN.labels(LESION),
        modalities=LESION_MODALITIES,
        folds=FOLDS,
        seed=config["seed"],
    script:
        "../workflow/scripts/figure_cost.py"
