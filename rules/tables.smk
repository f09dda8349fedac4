# Table 1 and Table 2 beside the numbers that the paper printed, and further tables over subjects.
from patch2loc.configuration.method_names import competing
from patch2loc.metrics.released_code import OURS

PROTOCOL_OF_OURS = RUN.protocol_by(OURS)  # of tables that do not follow the key `metrics`
LESION_MODALITIES = sorted({DATASETS[name].modality for name in LESION})
CONTROLLED = RUN.datasets_of_kind("controlled")
ABLATED_METHODS = [name for name in ABLATED_ROWS if name in TRAINED_METHODS]  # without combinations


rule table1:
    """Table 1: methods by datasets, best Dice and AUPRC, beside the published numbers."""
    input:
        metrics=every(RESULTS.metrics(), LESION_OR_JOINT, EVALUATED_METHODS),
        published=workflow.source_path("../config/published/table1.csv"),
    output:
        **table("table1", "1"),
    log:
        RESULTS.log("table1"),
    benchmark:
        RESULTS.benchmark("table1")
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=1500, runtime=30),
    params:
        code=lambda wildcards: code_hash("patch2loc.tables.table1", *READING_AND_WRITING),
        methods=EVALUATED_METHODS,
        datasets=RUN.labels_and_counts(LESION_OR_JOINT),
        folds=FOLDS,
        seed=config["seed"],
        protocol=PROTOCOL,
    script:
        "../workflow/scripts/table1.py"


rule table2:
    """Table 2: correlation of the lesion share of patches with their scores."""
    input:
        patches=every(RESULTS.patches(), LESION, ["patch2loc"]),
        published=workflow.source_path("../config/published/table2.csv"),
    output:
        **table("table2", "2"),
    log:
        RESULTS.log("table2"),
    benchmark:
        RESULTS.benchmark("table2")
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=4000, runtime=60),
    params:
        code=lambda wildcards: code_hash("patch2loc.tables.table2", *READING_AND_WRITING),
        datasets=RUN.labels(LESION),
        folds=FOLDS,
        seed=config["seed"],
        correlation=config["tables"]["correlation"],
    script:
        "../workflow/scripts/table2.py"


rule cases:
    """Every lesion scan by itself: metrics, location error in healthy tissue, lesion volume lost."""
    input:
        every(RESULTS.metrics(), LESION_OR_JOINT, EVALUATED_METHODS),
    output:
        **table("cases", formats=["markdown"]),
    log:
        RESULTS.log("cases"),
    benchmark:
        RESULTS.benchmark("cases")
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=1500, runtime=30),
    params:
        code=lambda wildcards: code_hash("patch2loc.tables.cases", "patch2loc.tables.inputs"),
        methods=EVALUATED_METHODS,
        datasets=RUN.labels(LESION_OR_JOINT),
        folds=FOLDS,
    script:
        "../workflow/scripts/cases.py"


rule thresholds:
    """Detection at thresholds from validation scans: voxels, lesions, false positives."""
    input:
        every(RESULTS.metrics(kind="at_thresholds"), [*RUN.labeled_datasets, *JOINT], EVALUATED_METHODS),
    output:
        **table("thresholds"),
    log:
        RESULTS.log("thresholds"),
    benchmark:
        RESULTS.benchmark("thresholds")
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=1500, runtime=30),
    params:
        **table_params(
            "thresholds",
            "patch2loc.tables.thresholds",
            RUN.labels([*RUN.labeled_datasets, *JOINT]),
            protocol=PROTOCOL_OF_OURS,
        ),
    script:
        "../workflow/scripts/table_over_subjects.py"


use rule thresholds as comparison with:
    """Every pair of methods on the same scans: differences, intervals, tests."""
    input:
        every(RESULTS.metrics(), LESION_OR_JOINT, competing(EVALUATED_METHODS)),
    output:
        **table("comparison"),
    log:
        RESULTS.log("comparison"),
    benchmark:
        RESULTS.benchmark("comparison")
    params:
        **table_params(
            "comparison",
            "patch2loc.tables.comparison",
            RUN.labels(LESION_OR_JOINT),
            competing(EVALUATED_METHODS),
        ),


use rule thresholds as by_volume with:
    """Results by the volume of a scan's lesions."""
    input:
        every(RESULTS.metrics(), LESION_OR_JOINT, EVALUATED_METHODS),
    output:
        **table("by_volume"),
    log:
        RESULTS.log("by_volume"),
    benchmark:
        RESULTS.benchmark("by_volume")
    params:
        **table_params("by_volume", "patch2loc.tables.by_volume", RUN.labels(LESION_OR_JOINT)),


rule by_site:
    """Results by the site of a scan, of the datasets whose lists name it."""
    input:
        metrics=every(RESULTS.metrics(), RUN.datasets_with_sites, EVALUATED_METHODS),
        at_thresholds=every(RESULTS.metrics(kind="at_thresholds"), RUN.datasets_with_sites, EVALUATED_METHODS),
    output:
        **table("by_site"),
    log:
        RESULTS.log("by_site"),
    benchmark:
        RESULTS.benchmark("by_site")
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=1500, runtime=30),
    params:
        **table_params("by_site", "patch2loc.tables.by_site", RUN.labels_and_sites(RUN.datasets_with_sites)),
    script:
        "../workflow/scripts/by_site.py"


use rule thresholds as released_code with:
    """Effect of the released code's choices: bisected best Dice, background at 0."""
    input:
        every(RESULTS.metrics(kind="released_code"), LESION),
    output:
        **table("released_code"),
    log:
        RESULTS.log("released_code"),
    benchmark:
        RESULTS.benchmark("released_code")
    params:
        **table_params(
            "released_code",
            "patch2loc.tables.released_code",
            RUN.labels(LESION),
            SCORED_METHODS,
            PROTOCOL_OF_OURS,
        ),


use rule thresholds as seeds with:
    """Spread over the seeds of one fold beside that over folds."""
    input:
        expand(RESULTS.metrics(), method=RUN.repeated_methods, dataset=LESION, fold=RUN.trainings),
    output:
        **table("seeds"),
    log:
        RESULTS.log("seeds"),
    benchmark:
        RESULTS.benchmark("seeds")
    params:
        **table_params("seeds", "patch2loc.tables.seeds", RUN.labels(LESION), RUN.repeated_methods)
        | {"folds": RUN.trainings},


# Shows if scans resemble those of the training, before any number about lesions is believed.
rule domain_shift:
    """Location error in healthy tissue by dataset and site: table and figure."""
    input:
        every(RESULTS.patches(), HEALTHY + LESION + UNLABELED, LOCATING_METHODS),
    output:
        **table("domain_shift"),
        **figure("domain_shift"),
    log:
        RESULTS.log("domain_shift"),
    benchmark:
        RESULTS.benchmark("domain_shift")
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=4000, runtime=60),
    params:
        code=lambda wildcards: code_hash(
            "patch2loc.tables.domain_shift", "patch2loc.figures.domain_shift", *READING_AND_WRITING
        ),
        methods=LOCATING_METHODS,
        datasets=RUN.labels_and_sites(HEALTHY + LESION + UNLABELED),
        training=RUN.training_data,
        folds=FOLDS,
        seed=config["seed"],
    script:
        "../workflow/scripts/domain_shift.py"


rule healthy_checks:
    """Predicted variances, confused sides and errors near the brain's edge in healthy test scans: table and figure."""
    input:
        every(RESULTS.patches(), HEALTHY, LOCATING_METHODS),
    output:
        **table("healthy_checks"),
        **figure("healthy_checks"),
    log:
        RESULTS.log("healthy_checks"),
    benchmark:
        RESULTS.benchmark("healthy_checks")
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=4000, runtime=60),
    params:
        code=lambda wildcards: code_hash(
            "patch2loc.tables.healthy_checks",
            "patch2loc.figures.healthy_checks",
            "patch2loc.data.midsagittal",
            "patch2loc.preprocess.atlas",
            *READING_AND_WRITING,
        ),
        methods=LOCATING_METHODS,
        all_methods=EVALUATED_METHODS,
        datasets=RUN.labels(HEALTHY),
        atlas=RUN.atlas,
        grid=config["grid"],
        crop=config["preprocess"]["crop"],
        folds=FOLDS,
        seed=config["seed"],
    script:
        "../workflow/scripts/healthy_checks.py"


rule subject_lists:
    """Who trains, validates and is tested in each fold, and how many, also of subjects with two of these roles."""
    output:
        counts=in_report(
            RESULTS.table("subject_lists"), "Tables", "subject_lists", table="subject lists", format="CSV"
        ),
        roles=RESULTS.table("subject_roles"),
        missing=RESULTS.table("missing_scans"),
    log:
        RESULTS.log("subject_lists"),
    benchmark:
        RESULTS.benchmark("subject_lists")
    conda:
        STATISTICS
    params:
        code=lambda wildcards: code_hash("patch2loc.data.splits"),
        split=config["split"],
        roles=RUN.subject_roles,
        missing=RUN.missing_scans,
        lists={
            name: {fold: DATASETS[name].roles(fold) for fold in FOLDS}
            for name in HEALTHY
            if DATASETS[name].has_roles
        },
    script:
        "../workflow/scripts/subject_lists.py"


# Trainings of folds and of further seeds alike.
rule ablations:
    """Each variant against its method: detection, location error and cost, table and figure."""
    input:
        metrics=by_wildcards(RUN.metrics_of_ablations),
        models=expand(RESULTS.model(), method=ABLATED_METHODS, modality=LESION_MODALITIES, fold=RUN.trainings),
        histories=expand(
            RESULTS.history(), method=ABLATED_METHODS, modality=LESION_MODALITIES, fold=RUN.trainings
        ),
    output:
        **table("ablations"),
        **figure("ablations"),
    log:
        RESULTS.log("ablations"),
    benchmark:
        RESULTS.benchmark("ablations")
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=2000, runtime=30),
    params:
        code=lambda wildcards: code_hash(
            "patch2loc.tables.ablations", "patch2loc.figures.ablations", *READING_AND_WRITING
        ),
        rows=RUN.ablation_rows,
        trained=ABLATED_METHODS,
        combinations={name: RUN.parts(name) for name in ABLATED_ROWS if name in COMBINATIONS},
        datasets=RUN.labels(LESION),
        modalities=LESION_MODALITIES,
        folds=RUN.trainings,
        seed=config["seed"],
        protocol=PROTOCOL,
    script:
        "../workflow/scripts/ablations.py"


rule controlled:
    """Controlled lesions by change, size and amount, and location against intensity: table and figure."""
    input:
        metrics=every(RESULTS.metrics(), CONTROLLED, EVALUATED_METHODS),
        at_thresholds=every(RESULTS.metrics(kind="at_thresholds"), CONTROLLED, EVALUATED_METHODS),
    output:
        **table("controlled"),
        **figure("controlled"),
    log:
        RESULTS.log("controlled"),
    benchmark:
        RESULTS.benchmark("controlled")
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=1500, runtime=30),
    params:
        code=lambda wildcards: code_hash(
            "patch2loc.tables.controlled", "patch2loc.figures.controlled", *READING_AND_WRITING
        ),
        methods=EVALUATED_METHODS,
        datasets=RUN.labels_and_lesions(CONTROLLED),
        folds=FOLDS,
        seed=config["seed"],
        protocol=PROTOCOL,
    script:
        "../workflow/scripts/controlled.py"
