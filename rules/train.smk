# One model per method, modality and fold.
rule train:
    input:
        landmarks=f"{RESULTS}/landmarks/{{modality}}/fold{{fold}}.json",
        training=training_cohort("train"),
        validation=training_cohort("validation"),
        pretrained=lambda wildcards: [
            config["pretrained"][name] for name in published_weights(wildcards.method)
        ],
        models=models_of_needed,
    output:
        model=f"{RESULTS}/models/{{method}}/{{modality}}/fold{{fold}}/model.safetensors",
        history=f"{RESULTS}/models/{{method}}/{{modality}}/fold{{fold}}/history.csv",
    log:
        f"{RESULTS}/logs/train/{{method}}_{{modality}}_fold{{fold}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{method}}_{{modality}}_fold{{fold}}.tsv"
    priority: 10
    conda:
        NETWORK
    threads: lambda wildcards: config["training"]["threads"] if runs_network(wildcards.method) else 1
    resources:
        mem_mb=lambda wildcards, attempt: config["training"]["memory_mb"] * attempt,
        gpu=lambda wildcards: GPU * runs_network(wildcards.method),
        runtime=lambda wildcards, attempt: 720 * attempt,
    params:
        code=lambda wildcards: code_hash(module_name(wildcards.method), "patch2loc.train"),
        seed=config["seed"],
        patch=config["patch"],
        settings=method_settings,
        published=lambda wildcards: published_weights(wildcards.method),
        needed=lambda wildcards: needed_methods(wildcards.method),
        device=config["device"],
        precision=config["precision"],
        spacing=config["grid"]["spacing"],
        preprocessing=lambda wildcards: {
            "atlas": ATLAS,
            "preprocess": PREPROCESSING[config["training_data"][wildcards.modality]]["settings"],
            "preprocess_code": code_hash(*PREPROCESSING_CODE),
        },
    script:
        "../workflow/scripts/train.py"
