# One model per method, modality and fold.
from patch2loc.configuration.check import training_settings
from patch2loc.data.seeds import fold_of, seed_of
from patch2loc.method_interface import method_of
from patch2loc.preprocess.version import PREPROCESSING_VERSION


rule train:
    input:
        landmarks=RESULTS.landmarks(),
        training=by_wildcards(RUN.training_cohort, "modality", "fold", role="train"),
        validation=by_wildcards(RUN.training_cohort, "modality", "fold", role="validation"),
        pretrained=by_wildcards(RUN.data.weights, "method"),
        models=by_wildcards(RUN.needed_models, "method", "modality", "fold"),
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
        mem_mb=lambda wildcards, attempt: attempt * RUN.training_memory_mb(wildcards.method),
        gpu=lambda wildcards: GPU * runs_network(wildcards.method),
    params:
        code=lambda wildcards: code_hash(module_name(wildcards.method), "patch2loc.train"),
        fold=by_wildcards(fold_of, "fold"),
        seed=by_wildcards(seed_of, "fold", seed=config["seed"]),
        patch=lambda wildcards: RUN.configuration_of(wildcards.method)["patch"],
        settings=lambda wildcards: training_settings(
            method_of(wildcards.method), RUN.configuration_of(wildcards.method)
        ),
        orientation=lambda wildcards: RUN.orientation(wildcards.method),
        subset=lambda wildcards: {"count": RUN.training_subjects(wildcards.method), "seed": config["seed"]},
        sites=by_wildcards(RUN.balanced_sites, "method", "modality"),
        published=by_wildcards(RUN.data.published_weights, "method"),
        needed=by_wildcards(RUN.needed_methods, "method"),
        device=config["device"],
        precision=config["precision"],
        spacing=config["grid"]["spacing"],
        preprocessing=lambda wildcards: {
            "atlas": RUN.atlas,
            "preprocess": DATASETS[RUN.training_data[wildcards.modality]].preprocessing,
            "preprocess_version": PREPROCESSING_VERSION,
            "simulated": bool(LABELS[RUN.training_data[wildcards.modality]]["simulated"]),
        },
    script:
        "../workflow/scripts/train.py"
