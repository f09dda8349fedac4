# Configuration, checked once, and the functions that rules ask for paths.
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import validate

# First, so that no other version of the package is taken, installed or named in PYTHONPATH.
sys.path.insert(0, str(Path(workflow.current_basedir, "../workflow/scripts")))

from patch2loc import splits
from patch2loc.acquire import registry, sources
from patch2loc.errors import InputError
from patch2loc.methods import NETWORKS
from patch2loc.provenance import code_hash

validate(config, "../workflow/schemas/config.schema.yaml")

RESULTS = config["results"]
DATASETS = config["datasets"]
FOLDS = config["folds"]
GPU = int(config["device"] != "cpu")  # GPUs that a job of the network asks for
METHODS = config["methods"]
LESION = [name for name, dataset in DATASETS.items() if dataset["role"] == "lesion"]
HEALTHY = [name for name, dataset in DATASETS.items() if dataset["role"] == "healthy"]
UNLABELLED = [name for name, dataset in DATASETS.items() if dataset["role"] == "unlabelled"]
ATLAS = config["atlas"] if config["atlas"] == "icbm152" else str(Path(config["data"], config["atlas"]))
IMAGING, NETWORK, STATISTICS = (f"../envs/{kind}.yaml" for kind in ("imaging", "network", "statistics"))


wildcard_constraints:
    dataset="|".join(DATASETS),
    modality="T1|T2",
    method="|".join(METHODS),
    fold=r"\d+",
    subject=r"[^/]+",


for modality, name in config["training_data"].items():
    found = DATASETS.get(name, {"role": "unknown", "modality": "unknown"})
    if (found["role"], found["modality"]) != ("healthy", modality):
        raise WorkflowError(
            f"training_data.{modality}: dataset {name} of role {found['role']} and modality {found['modality']} found, "
            f"a healthy {modality} dataset expected; correct the configuration"
        )
for name, dataset in DATASETS.items():
    if dataset["modality"] not in config["training_data"]:
        raise WorkflowError(
            f"datasets.{name}: no model for {dataset['modality']}; name a healthy dataset in "
            f"training_data.{dataset['modality']}"
        )


def subject_list(name):
    """CSV of a dataset's subjects, or None: of two lists, the one that `split` chooses."""
    given = DATASETS[name]["split"]
    return given[config["split"]] if isinstance(given, dict) else given


def described(name):
    """A dataset as patch2loc.acquire takes it: its source, modality, subject list and place of simulated scans."""
    dataset = DATASETS[name]
    source = dataset["source"]
    described = {"name": name, "modality": dataset["modality"], "subjects": subject_list(name), **source}
    if source["kind"] == "phantom":
        described["root"] = f"{RESULTS}/raw"
    elif source["kind"] == "painted":
        described |= {"root": f"{RESULTS}/raw/{name}", "data": config["data"]}
    else:
        described["root"] = str(Path(config["data"], source.get("root", ".")))
    return described


@cache
def given_scans(name):
    """Paths of every subject's scan, brain mask and lesion mask, as they are given."""
    try:
        return sources.sources(described(name))
    except InputError as error:
        raise WorkflowError(str(error)) from error


@cache
def scans(name):
    """Paths of every subject's scan, brain mask and lesion mask: of a DICOM series, what it is converted to."""
    modality = DATASETS[name]["modality"]
    return {
        subject: (
            {**paths, "scan": Path(f"{RESULTS}/raw/{name}/{subject}/{modality}.nii.gz")}
            if sources.is_series(paths["scan"])
            else paths
        )
        for subject, paths in given_scans(name).items()
        if subject not in DATASETS[name]["leave_out"]
    }


def divided(name):
    """Whether a dataset has subjects that are not tested: training data, and healthy ones with a list."""
    dataset = DATASETS[name]
    if dataset["role"] != "healthy":
        return False
    return name in config["training_data"].values() or bool(dataset["split"]) or "test" in dataset["source"]


def listed_roles(name, fold):
    """Subjects of a dataset's list by their role in a fold."""
    modality = DATASETS[name]["modality"]
    try:
        return splits.roles(subject_list(name), fold, modality, config["split"] == "published")
    except InputError as error:
        raise WorkflowError(str(error)) from error


@cache
def roles(name, fold):
    """Subjects of a divided dataset by their role in a fold."""
    source = DATASETS[name]["source"]
    try:
        if subject_list(name):
            listed = listed_roles(name, fold)
            found = {role: sources.scans_of(source, scans(name), listed[role]) for role in splits.ROLES}
        elif source["kind"] == "phantom":
            table = splits.divide(list(scans(name)), source["validation"], source["test"])
            found = {role: list(table.loc[table[f"fold{fold}"] == role, "subject"]) for role in splits.ROLES}
        else:
            raise InputError(
                f"datasets.{name}: no `split` found, a CSV of who trains and who is tested expected"
            )
    except InputError as error:
        raise WorkflowError(str(error)) from error
    if name in config["training_data"].values() and not (found["train"] and found["validation"]):
        raise WorkflowError(
            f"datasets.{name}: {len(found['train'])} training and {len(found['validation'])} validation scans in "
            f"fold {fold}, some of each expected for training data; add a column fold{fold} to its list"
        )
    return found


@cache
def subjects(name, fold=None, role="test"):
    """Subjects of a dataset: all where nobody trains, else those of a role in a fold."""
    return roles(name, int(fold))[role] if divided(name) else list(scans(name))


def stop_for_trained_scans():
    """Refuse a scan that trains or validates in one dataset and is tested in another one."""
    for trained in config["training_data"].values():
        for fold in FOLDS:
            listed = roles(trained, fold)
            seen = {
                given_scans(trained)[subject]["scan"] for subject in listed["train"] + listed["validation"]
            }
            for name in DATASETS:
                tested = subjects(name, fold) if name != trained else []
                leaked = [subject for subject in tested if made_from(name)[subject]["scan"] in seen]
                if leaked:
                    raise WorkflowError(
                        f"datasets.{name}: {len(leaked)} test scans are training or validation scans of {trained} in "
                        f"fold {fold} ({', '.join(leaked[:5])}), none expected; take them off one of the lists"
                    )


@cache
def made_from(name):
    """Paths of the scans of a dataset, or of those that they are painted into."""
    return (
        sources.pairs(described(name)) if DATASETS[name]["source"]["kind"] == "painted" else given_scans(name)
    )


stop_for_trained_scans()


def known_subjects(name):
    """Subjects of a dataset in any role."""
    return list(scans(name))


def source(part):
    """Input function: a subject's scan, brain or lesion; stops with one message if data are missing."""

    def path(wildcards):
        found = scans(wildcards.dataset)[wildcards.subject][part]
        if found is None:
            return []
        stop_for_missing_data()
        return str(found)

    return path


def stop_for_missing_data():
    """One message about every dataset of the configuration that is not there."""
    if message := missing_data():
        raise WorkflowError(message)


@cache
def missing_data():
    needed = {name: described(name) for name in DATASETS}
    if ATLAS != "icbm152":
        needed["sri24"] = {"kind": "atlas", "root": ATLAS, "registry": "sri24"}
    return registry.missing_data_message(
        needed, registry.read(workflow.source_path("../config/registry.csv")), config["data"]
    )


def preprocessed(name, chosen):
    """Folders of preprocessed subjects."""
    return [f"{RESULTS}/preprocessed/{name}/{subject}" for subject in chosen]


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


def healthy_dataset(name):
    """The healthy dataset with the modality of another one."""
    return config["training_data"][DATASETS[name]["modality"]]


def evaluated(pattern, datasets, methods=METHODS):
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
PROTOCOL = (
    f"Per subject inside the brain mask, lesion voxels outside it or off the grid counted as missed; "
    f"{config['grid']['spacing']:g} mm, median filter {config['score']['median_filter']}^3 voxels, stride "
    f"{config['score']['stride']}; exact best Dice over all thresholds; {len(FOLDS)} fold(s); "
    f"network {config['training']['network']}, {config['training']['patches']:,} training patches.{OVERLAPS}"
)


def of_kind(*kinds):
    """Regular expression for the datasets whose source is of one of the kinds."""
    names = [name for name, dataset in DATASETS.items() if dataset["source"]["kind"] in kinds]
    return "|".join(names) or "(?!)"


ALL_SCANS = [folder for name in DATASETS for folder in preprocessed(name, known_subjects(name))]
FOLD = FOLDS[0]  # figures show the first fold
TABLES = [1, 2] if LESION else []  # without lesions, heatmaps of healthy scans are all there is to show
FIGURES = range(2, 8) if LESION else [5, 7]
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
