# What the score is made of: for the table and figure `parts`, which is not part of `all`.
from patch2loc.data.seeds import fold_of
from patch2loc.configuration.parts import parts_settings
from patch2loc.plan import preprocess, score


rule analyze_parts:
    input:
        model=planned(score.model, "method", "dataset", "fold"),
        cohort=planned(preprocess.cohort, "dataset", "fold", role="test"),
    output:
        RESULTS.parts(),
    log:
        RESULTS.log("analyze_parts/{method}_{dataset}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("analyze_parts/{method}_{dataset}_fold{fold}")
    wildcard_constraints:
        method=any_of(LOCATING_METHODS),
        dataset=any_of(LABELED),
    conda:
        NETWORK
    threads: config["score"]["threads"]
    resources:
        **growing(mem_mb=4000, runtime=1440),
        gpu=GPU,
    params:
        code=lambda wildcards: code_hash("patch2loc.evaluate.parts", module_name(wildcards.method)),
        settings=lambda wildcards: parts_settings(config, score.median_filter(PLAN, wildcards.dataset)),
        truth=config["truth"],
        choices=config["metrics"],
        fold=by_wildcards(fold_of, "fold"),
        same_dataset=lambda wildcards: DATASETS[wildcards.dataset].is_training_data,
        device=config["device"],
        precision=config["precision"],
    script:
        "../workflow/scripts/analyze_parts.py"
