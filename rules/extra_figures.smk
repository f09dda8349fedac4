# Figures that the paper does not have.
MORE_FIGURES = ["transfer"] + (
    ["methods", "curves", "subjects", "cost"] + ["folds"] * (len(FOLDS) > 1) if LESION else []
)
LESION_MODALITIES = sorted({ABOUT[name]["modality"] for name in LESION})


TRAININGS = expand(
    f"{RESULTS}/models/{{method}}/{{modality}}/fold{{fold}}",
    method=METHODS,
    modality=LESION_MODALITIES,
    fold=FOLDS,
)


rule methods:
    """Heatmaps of every method in one slice of each lesion dataset."""
    input:
        heatmaps=expand(
            f"{RESULTS}/heatmaps/{{method}}/{{dataset}}/fold{FOLD}", method=SCORED, dataset=LESION
        ),
        metrics=metrics_of(LESION),
    output:
        **figure("methods"),
    log:
        f"{RESULTS}/logs/methods.log",
    conda:
        STATISTICS
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
    params:
        code=code_hash("patch2loc.figures.method_maps", "patch2loc.tables.table1"),
        methods=SCORED,
        datasets={name: ABOUT[name] for name in LESION},
        preprocessed=f"{RESULTS}/preprocessed",
        color_map=config["figures"]["color_map"],
    script:
        "../workflow/scripts/figure_methods.py"


rule curves:
    """Precision-recall and Dice-threshold curves of every method and lesion dataset."""
    input:
        curves=expand(
            f"{RESULTS}/metrics/{{method}}/{{dataset}}/fold{FOLD}_curves.csv",
            method=EVALUATED,
            dataset=LESION,
        ),
        metrics=expand(
            f"{RESULTS}/metrics/{{method}}/{{dataset}}/fold{FOLD}.csv", method=EVALUATED[0], dataset=LESION
        ),
    output:
        **figure("curves"),
    log:
        f"{RESULTS}/logs/curves.log",
    conda:
        STATISTICS
    params:
        code=code_hash("patch2loc.figures.curves", "patch2loc.tables.table1"),
        methods=EVALUATED,
        datasets={name: ABOUT[name] for name in LESION},
    script:
        "../workflow/scripts/figure_curves.py"


rule subjects:
    """AUPRC and best Dice of every subject against lesion volume."""
    input:
        evaluated("metrics/{method}/{dataset}/fold{fold}.csv", LESION, EVALUATED),
    output:
        **figure("subjects"),
    log:
        f"{RESULTS}/logs/subjects.log",
    conda:
        STATISTICS
    params:
        code=code_hash("patch2loc.figures.subject_scatter", "patch2loc.tables.table1"),
        figure="subjects",
        methods=EVALUATED,
        datasets={name: ABOUT[name] for name in LESION},
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
        f"{RESULTS}/logs/folds.log",
    conda:
        STATISTICS
    params:
        code=code_hash("patch2loc.figures.fold_spread", "patch2loc.tables.table1"),
        figure="folds",
        methods=EVALUATED,
        datasets={name: ABOUT[name] for name in LESION},
        folds=FOLDS,
    script:
        "../workflow/scripts/figure_metrics.py"


# A combination has no training of its own, whose cost could be shown.
TRAINED = method_names.evaluated(METHODS)


rule cost:
    """AUPRC against the time of training and of scoring a scan."""
    input:
        metrics=evaluated("metrics/{method}/{dataset}/fold{fold}.csv", LESION, TRAINED),
        models=[f"{training}/model.safetensors" for training in TRAININGS],
        histories=[f"{training}/history.csv" for training in TRAININGS],
    output:
        **figure("cost"),
    log:
        f"{RESULTS}/logs/cost.log",
    conda:
        STATISTICS
    params:
        code=code_hash("patch2loc.figures.cost", "patch2loc.tables.table1"),
        methods=TRAINED,
        datasets={name: ABOUT[name] for name in LESION},
        modalities=LESION_MODALITIES,
        folds=FOLDS,
        seed=config["seed"],
    script:
        "../workflow/scripts/figure_cost.py"
