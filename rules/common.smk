# Configuration, checked once, and the functions that rules ask for paths.
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
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
ATLAS = config["atlas"] if config["atlas"] == "icbm152" else str(Path(config["data"], config["atlas"]))
IMAGING, NETWORK, STATISTICS = (f"../envs/{kind}.yaml" for kind in ("imaging", "network", "statistics"))


wildcard_constraints:
    dataset="|".join(DATASETS),
    modality="T1|T2",
    method="|".join(METHODS),
    fold=r"\d+",
    subject=r"[^/]+",


def described(name):
    """A dataset as patch2loc.acquire takes it: its source, modality, subject list and place of simulated scans."""
    dataset = DATASETS[name]
    source = dataset["source"]
    described = {"name": name, "modality": dataset["modality"], "subjects": dataset["split"], **source}
    if source["kind"] == "phantom":
        described["root"] = f"{RESULTS}/raw"
    elif source["kind"] == "painted":
        described |= {"root": f"{RESULTS}/raw/{name}", "data": config["data"]}
    else:
        described["root"] = str(Path(config["data"], source.get("root", ".")))
    return described


@cache
def scans(name):
    """Paths of every subject's scan, brain mask and lesion mask."""
    return sources.sources(described(name))


@cache
def subjects(name, fold=None, role="test"):
    """Subjects of a dataset: all of a lesion dataset, those of a role in a fold of a healthy one."""
    dataset = DATASETS[name]
    if dataset["role"] == "lesion":
        return list(scans(name))
    if dataset["split"] is None:
        source = dataset["source"]
        if source["kind"] != "phantom":
            raise WorkflowError(
                f"datasets.{name}: healthy scans need `split`, a CSV of who trains and who is tested"
            )
        table = splits.divide(list(scans(name)), source["validation"], source["test"])
        return list(table.loc[table[f"fold{fold}"] == role, "subject"])
    known = scans(name)
    roles = splits.roles(dataset["split"], int(fold), dataset["modality"])
    return [subject for subject in roles[role] if subject in known]


def known_subjects(name):
    """Subjects of a dataset in any role."""
    return list(scans(name))


def source(part):
    """Input function: a subject's scan, brain or lesion; stops with one message if data are missing."""

    def path(wildcards):
        try:
            found = scans(wildcards.dataset)[wildcards.subject][part]
        except InputError as error:
            raise WorkflowError(str(error)) from error
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
        needed, registry.read(workflow.source_path("../config/registry.csv"))
    )


def preprocessed(name, kind, chosen):
    """Preprocessed files of subjects; kind is "", "_mask", "_lesion" or "_qc"."""
    modality = DATASETS[name]["modality"]
    suffix = {"_qc": "json"}.get(kind, "nii.gz")
    return [f"{RESULTS}/preprocessed/{name}/{subject}/{modality}{kind}.{suffix}" for subject in chosen]


def training_scans(kind, role="train"):
    """Input function: preprocessed files of the subjects that the models of a modality and fold learn from."""

    def paths(wildcards):
        stop_for_missing_data()
        name = config["training_data"][wildcards.modality]
        return preprocessed(name, kind, subjects(name, int(wildcards.fold), role))

    return paths


def scored_scans(kind):
    """Input function: preprocessed files of the subjects of a dataset that a fold's model is tested on."""

    def paths(wildcards):
        stop_for_missing_data()
        return preprocessed(wildcards.dataset, kind, subjects(wildcards.dataset, int(wildcards.fold)))

    return paths


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
PROTOCOL = (
    f"Per subject inside the brain mask, lesion voxels outside it or off the grid counted as missed; "
    f"{config['grid']['spacing']:g} mm, median filter {config['score']['median_filter']}^3 voxels, stride "
    f"{config['score']['stride']}; exact best Dice over all thresholds; {len(FOLDS)} fold(s); "
    f"network {config['training']['network']}, {config['training']['patches']:,} training patches."
)


def of_kind(kind):
    """Regular expression for the datasets whose source is of a kind."""
    names = [name for name, dataset in DATASETS.items() if dataset["source"]["kind"] == kind]
    return "|".join(names) or "(?!)"


FOLD = FOLDS[0]  # figures show the first fold
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
