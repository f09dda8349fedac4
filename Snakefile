# Patch2Loc: configuration, includes and targets.  The stages are in rules/, their code in workflow/scripts/.
from snakemake.utils import min_version

min_version("9.0")

if "datasets" not in config:

    configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/common_subjects.smk"
include: "rules/common_paths.smk"
include: "rules/common_data.smk"
include: "rules/data.smk"
include: "rules/acquire.smk"
include: "rules/preprocess.smk"
include: "rules/standardize.smk"
include: "rules/train.smk"
include: "rules/score.smk"
include: "rules/evaluate.smk"
include: "rules/tables.smk"
include: "rules/transfer.smk"
include: "rules/extra_figures.smk"
include: "rules/figures.smk"
include: "rules/common_jobs.smk"
include: "rules/crate.smk"


# Targets that gather several results.  Each table and figure is one too: `snakemake --list-target-rules`.
localrules:
    all,
    figures,
    models,
    heatmaps,
    metrics,
    native_space,


rule all:
    """Everything: tables, figures, and the report that opens alone."""
    input:
        rules.report_page.output,
        rules.crate.output,
        rules.every_scan_used.output,
        expand(f"{RESULTS}/tables/{{table}}.csv", table=TABLES + (["cases"] if LESION else [])),
        rules.subject_lists.output,
        LEARNING_CURVES,
        expand(f"{RESULTS}/figures/fig{{number}}.{{kind}}", number=FIGURES, kind=["png", "pdf"]),
        expand(f"{RESULTS}/figures/{{name}}.{{kind}}", name=MORE_FIGURES, kind=["png", "pdf"]),
        evaluated("heatmaps/{method}/{dataset}/fold{fold}", UNLABELED),


rule figures:
    """All figures: the paper's, those beyond it, learning curves."""
    input:
        expand(f"{RESULTS}/figures/fig{{number}}.png", number=FIGURES),
        expand(f"{RESULTS}/figures/{{name}}.png", name=MORE_FIGURES),
        LEARNING_CURVES,


rule models:
    """Models of every method, modality and fold."""
    input:
        expand(
            f"{RESULTS}/models/{{method}}/{{modality}}/fold{{fold}}/model.safetensors",
            method=METHODS,
            modality=list(config["training_data"]),
            fold=FOLDS,
        ),


rule heatmaps:
    """Heatmaps of every method, dataset and fold, on the grid."""
    input:
        evaluated("heatmaps/{method}/{dataset}/fold{fold}", LESION + HEALTHY + UNLABELED),


rule metrics:
    """Metrics of every method, dataset, fold and subject."""
    input:
        evaluated("metrics/{method}/{dataset}/fold{fold}.csv", LESION + HEALTHY, EVALUATED),


rule native_space:
    """Patch2Loc's heatmaps of lesion and unlabeled datasets, carried back to the voxels of the scans."""
    input:
        evaluated("heatmaps_native_space/{method}/{dataset}/fold{fold}", LESION + UNLABELED, ["patch2loc"]),
