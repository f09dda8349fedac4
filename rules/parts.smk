# What the score is made of: its parts as detectors, by epsilon, median filter and stride. Not part of `all`.
from patch2loc.data.seeds import fold_of
from patch2loc.configuration.parts import own_setting, parts_settings


rule analyze_parts:
    input:
        model=by_wildcards(RUN.model, "method", "dataset", "fold"),
        cohort=by_wildcards(RUN.cohort, "dataset", "fold", role="test"),
    output:
        RESULTS.parts(),
    log:
        RESULTS.log("analyze_parts/{method}_{dataset}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("analyze_parts/{method}_{dataset}_fold{fold}")
    wildcard_constraints:
        method=any_of(LOCATING_METHODS),
        dataset=any_of(RUN.labeled_datasets),
    conda:
        NETWORK
    threads: config["score"]["threads"]
    resources:
        **growing(mem_mb=4000, runtime=1440),
        gpu=GPU,
    params:
        code=lambda wildcards: code_hash("patch2loc.evaluate.parts", module_name(wildcards.method)),
        settings=lambda wildcards: parts_settings(config, RUN.median_filter(wildcards.dataset)),
        truth=config["truth"],
        choices=config["metrics"],
        fold=by_wildcards(fold_of, "fold"),
        same_dataset=lambda wildcards: DATASETS[wildcards.dataset].is_training_data,
        device=config["device"],
        precision=config["precision"],
    script:
        "../workflow/scripts/analyze_parts.py"


rule parts:
    """Log-error, log-variance and score as detectors, by epsilon, filter and stride; scores at the brain's edge."""
    input:
        expand(RESULTS.parts(), method="patch2loc", dataset=RUN.labeled_datasets, fold=RUN.trainings),
    output:
        **table("parts"),
        **figure("parts"),
    log:
        RESULTS.log("parts"),
    benchmark:
        RESULTS.benchmark("parts")
    conda:
        STATISTICS
    resources:
        **growing(mem_mb=4000, runtime=60),
    params:
        code=lambda wildcards: code_hash(
            "patch2loc.tables.parts", "patch2loc.figures.parts", *READING_AND_WRITING
        ),
        own={name: own_setting(config, RUN.median_filter(name)) for name in RUN.labeled_datasets},
        datasets=RUN.labels(RUN.labeled_datasets),
        folds=RUN.trainings,
        seed=config["seed"],
        protocol=PROTOCOL,
    script:
        "../workflow/scripts/parts.py"
