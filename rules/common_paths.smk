# Which files: what rules take from earlier stages, and what the last stages say and show.
def preprocessed(name, chosen):
    """Folders of preprocessed subjects."""
    return [f"{RESULTS}/preprocessed/{name}/{subject}" for subject in chosen]


def preprocess_settings(dataset):
    """Settings of preprocessing, with what a dataset has of its own."""
    own = {"skull_strip": dataset["skull_strip"]}
    if dataset["registration"]:
        own["registration"] = dataset["registration"]
    return config["preprocess"] | own


# What preprocessing is told of each dataset: put together once, not for every scan.
PREPROCESSING = {
    name: {
        "modality": dataset["modality"],
        "settings": preprocess_settings(dataset),
        "lesion_labels": dataset["source"].get("lesion_labels"),
    }
    for name, dataset in DATASETS.items()
}
STRIPPED_ON_GPU = [name for name, dataset in DATASETS.items() if GPU and dataset["skull_strip"] in TOOLS]


def cohort(name, fold, role):
    """List of a dataset's scans: those of a role in a fold, or all where nobody trains."""
    return f"{RESULTS}/cohorts/{name}/" + (f"{role}_fold{fold}.json" if divided(name) else "all.json")


def members(wildcards):
    """Input function: preprocessed subjects of a cohort."""
    stop_for_missing_data()
    role, _, fold = wildcards.cohort.partition("_fold")
    chosen = subjects(wildcards.dataset, int(fold), role) if fold else known_subjects(wildcards.dataset)
    return preprocessed(wildcards.dataset, chosen)


def training_cohort(role):
    """Input function: scans of a role that the models of a modality and fold learn from."""
    return lambda wildcards: cohort(config["training_data"][wildcards.modality], wildcards.fold, role)


def scored_cohort(wildcards):
    """Input function: scans of a dataset that a fold's model is tested on."""
    return cohort(wildcards.dataset, wildcards.fold, "test")


def modality_of(wildcards):
    """Params function: the modality of a dataset."""
    return DATASETS[wildcards.dataset]["modality"]


def model_of(wildcards):
    """Input function: the model that scores a dataset."""
    modality = DATASETS[wildcards.dataset]["modality"]
    return f"{RESULTS}/models/{wildcards.method}/{modality}/fold{wildcards.fold}/model.safetensors"


def method_settings(wildcards):
    """Params function: what the configuration says of a method's training."""
    return training_settings(wildcards.method, config)


def healthy_dataset(name):
    """The healthy dataset with the modality of another one."""
    return config["training_data"][DATASETS[name]["modality"]]


def evaluated(pattern, datasets, methods=SCORED):
    """Results of every method, dataset and fold: `pattern` under the results, e.g. "metrics/.../fold{fold}.csv"."""
    return expand(f"{RESULTS}/{pattern}", method=methods, dataset=datasets, fold=FOLDS)


# What tables, figures and the report say of each dataset and of how numbers were computed.
ABOUT = {
    name: {key: dataset[key] for key in ("title", "modality", "role", "simulated", "published_name")}
    for name, dataset in DATASETS.items()
}
OVERLAPS = "".join(
    f" {note}"
    for name in HEALTHY
    if config["split"] == "published" and subject_list(name)
    if (
        note := splits.overlap_note(name, splits.overlaps({fold: listed_roles(name, fold) for fold in FOLDS}))
    )
)
if OVERLAPS and workflow.is_main_process:
    logger.warning(f"Published subject lists, used as they are.{OVERLAPS}")
PROTOCOL = " ".join(
    part.strip()
    for part in (
        "Per subject inside the brain mask, lesion voxels outside it or off the grid counted as missed; "
        f"{config['grid']['spacing']:g} mm, median filter of {config['score']['median_filter']} voxels in each "
        f"direction, stride {config['score']['stride']}; exact best Dice over all thresholds; {len(FOLDS)} fold(s); "
        f"network {config['training']['network']}, {config['training']['patches']:,} training patches.",
        OVERLAPS,
        FALLBACKS,
        combinations.described(COMBINATIONS),
    )
    if part
)


def of_kind(*kinds):
    """Regular expression for the datasets whose source is of one of the kinds."""
    names = [name for name, dataset in DATASETS.items() if dataset["source"]["kind"] in kinds]
    return "|".join(names) or "(?!)"


ALL_SCANS = [folder for name in DATASETS for folder in preprocessed(name, known_subjects(name))]
FOLD = FOLDS[0]  # figures show the first fold
# Without lesions, heatmaps of healthy scans and false positives are all there is to show.
TABLES = [
    *(["table1", "table2", "thresholds"] if LESION else ["thresholds"]),
    "transfer",
    *(["comparison", "by_volume", "variants"] if LESION else []),
    *["by_site"] * bool(SITES),
]
# Figures 8 and on: one for each lesion dataset, those of the paper first and in its order.
PAPERS_ORDER = ["BraTS21", "MSLUB", "ATLAS", "WMH", None]
LESION_FIGURES = dict(
    enumerate(sorted(LESION, key=lambda name: PAPERS_ORDER.index(ABOUT[name]["published_name"])), start=8)
)
FIGURES = [*range(1, 8), *LESION_FIGURES] if LESION else [5, 7]
CAPTIONS = {number: "lesion_scans" if number in LESION_FIGURES else f"fig{number}" for number in FIGURES}
MOST_ABNORMAL = next(
    (name for name in LESION if ABOUT[name]["published_name"] == "BraTS21"), (LESION or [None])[0]
)


def figure(name, caption=None):
    """Outputs of a figure: PNG, shown in the report, and PDF."""
    return {
        "png": report(
            f"{RESULTS}/figures/{name}.png",
            category="Figures",
            labels={"figure": name},
            caption=f"../workflow/report/{caption or name}.rst",
        ),
        "pdf": f"{RESULTS}/figures/{name}.pdf",
    }


def patches_of(names):
    """Patch tables of the first fold."""
    return [f"{RESULTS}/patches/patch2loc/{name}/fold{FOLD}.parquet" for name in names]


def heatmaps_of(names):
    """Heatmap folders of the first fold."""
    return [f"{RESULTS}/heatmaps/patch2loc/{name}/fold{FOLD}" for name in names]


def metrics_of(names):
    """Metrics of the first fold."""
    return [f"{RESULTS}/metrics/patch2loc/{name}/fold{FOLD}.csv" for name in names]


LEARNING_CURVES = expand(
    f"{RESULTS}/figures/learning_curve_{{modality}}_fold{{fold}}.png",
    modality=list(config["training_data"]),
    fold=FOLDS,
)


# Methods as they are evaluated: the score of Patch2Loc also calibrated by the healthy validation scans.
EVALUATED = method_names.evaluated(SCORED)


def scoring_models(wildcards):
    """Params function: the model that made the heatmaps that are evaluated; of a combination, those of its parts."""
    method = method_names.scored_by(wildcards.method)
    parts = COMBINATIONS[method]["of"] if method in COMBINATIONS else [method]
    return [
        f"{RESULTS}/models/{part}/{modality_of(wildcards)}/fold{wildcards.fold}/model.safetensors"
        for part in map(method_names.scored_by, parts)
    ]


def combined_heatmaps(kind):
    """Input function: heatmaps of the parts of a combination."""
    return lambda wildcards: [
        f"{RESULTS}/{kind}/{part}/{wildcards.dataset}/fold{wildcards.fold}"
        for part in map(method_names.scored_by, COMBINATIONS[wildcards.method]["of"])
    ]


def combined_calibrations(wildcards):
    """Input function: what the calibrated parts of a combination are seen through, in turn."""
    return [
        calibration_of(part, wildcards.dataset, wildcards.fold)
        for part in COMBINATIONS[wildcards.method]["of"]
        if method_names.is_calibrated(part)
    ]


def calibration_of(method, dataset, fold):
    """The calibration that an evaluated method's heatmaps of a dataset are seen through."""
    modality = DATASETS[dataset]["modality"]
    return f"{RESULTS}/calibration/{method_names.scored_by(method)}/{modality}/fold{fold}"


def heatmaps_for(kind, dataset_of=lambda dataset: dataset):
    """Input function: heatmaps of a dataset's scans, or of the healthy ones that go with it."""

    def folder(wildcards):
        method = method_names.scored_by(wildcards.method)
        return f"{RESULTS}/{kind}/{method}/{dataset_of(wildcards.dataset)}/fold{wildcards.fold}"

    return folder


def table(name, label=None):
    """Outputs of a table: CSV, shown in the report, with its provenance, and the table to be read in three formats."""
    return {
        "csv": report(
            f"{RESULTS}/tables/{name}.csv",
            category="Tables",
            labels={"table": label or name.replace("_", " "), "format": "CSV"},
            caption=f"../workflow/report/{name}.rst",
        ),
        "provenance": f"{RESULTS}/tables/{name}.csv.provenance.json",
        "markdown": f"{RESULTS}/tables/{name}.md",
        "latex": f"{RESULTS}/tables/{name}.tex",
        "html": f"{RESULTS}/tables/{name}.html",
    }
