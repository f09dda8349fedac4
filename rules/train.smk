# One model per method, modality and fold.
from patch2loc.data.seeds import fold_of, seed_of
from patch2loc.plan import train


rule train:
    input:
        landmarks=RESULTS.landmarks(),
        training=planned(train.training_cohort, "modality", "fold", role="train"),
        validation=planned(train.training_cohort, "modality", "fold", role="validation"),
        pretrained=by_wildcards(PLAN.data.weights, "method"),
        models=planned(train.needed_models, "method", "modality", "fold"),
    output:
        model=RESULTS.model(),
        history=RESULTS.history(),
    log:
        RESULTS.log("train/{method}_{modality}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("train/{method}_{modality}_fold{fold}")
    priority: 10
    conda:
        NETWORK
    threads: lambda wildcards: config["training"]["threads"] if runs_network(wildcards.method) else 1
    resources:
        **growing(runtime=720),
        mem_mb=lambda wildcards, attempt: attempt * train.memory_mb(PLAN, wildcards.method),
        gpu=lambda wildcards: GPU * runs_network(wildcards.method),
    params:
        code=lambda wildcards: code_hash(module_name(wildcards.method), "patch2loc.train"),
        fold=by_wildcards(fold_of, "fold"),
        seed=by_wildcards(seed_of, "fold", seed=config["seed"]),
        patch=planned(train.patch, "method"),
        settings=planned(train.settings, "method"),
        orientation=planned(train.orientation, "method"),
        subset=planned(train.subset, "method"),
        sites=planned(train.balanced_sites, "method", "modality"),
        published=by_wildcards(PLAN.data.published_weights, "method"),
        needed=planned(train.needed_methods, "method"),
        device=config["device"],
        precision=config["precision"],
        spacing=config["grid"]["spacing"],
        preprocessing=planned(train.preprocessing, "modality"),
    script:
        "../workflow/scripts/train.py"
