# Configuration, checked once, and what follows from it.
import sys
from functools import cache
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import validate

# First, so that no other version of the package is taken, installed or named in PYTHONPATH.
sys.path.insert(0, str(Path(workflow.current_basedir, "../workflow/scripts")))

from patch2loc.configuration import combinations, method_constants, method_names, method_registry, prerequisites
from patch2loc.data import splits
from patch2loc.acquire import registry, sources
from patch2loc.preprocess.external_tools import TOOLS, find_command
from patch2loc.configuration.check import check_configuration, check_paths, check_schema, training_settings
from patch2loc.errors import InputError
from patch2loc.configuration.method_registry import runs_network
from patch2loc.method_interface import module_name
from patch2loc.provenance.code import PREPROCESSING as PREPROCESSING_CODE
from patch2loc.provenance.code import code_hash
from patch2loc.report.viewer import PAGE

SCHEMA = Path(workflow.current_basedir, "../workflow/schemas/config.schema.yaml")
try:
    check_schema(config, yaml.safe_load(SCHEMA.read_text(encoding="utf-8")))
    validate(config, str(SCHEMA))  # for the defaults that it fills in
    config["methods"] = method_names.configured(config["methods"], method_registry.METHODS)
    check_configuration(config)
    check_paths(config)
    combinations.check_combinations(config["combinations"])
    FALLBACKS = prerequisites.fallbacks(config["methods"], config["pretrained"])
except InputError as error:
    raise WorkflowError(str(error)) from error

RESULTS = config["results"]
DATASETS = config["datasets"]
FOLDS = config["folds"]
GPU = int(config["device"] != "cpu")  # GPUs that a job of the network asks for
METHODS = config["methods"]
LOCATING = [name for name in METHODS if name in method_registry.LOCATING]  # they predict locations
COMBINATIONS = combinations.possible(config["combinations"], METHODS)
SCORED = [*METHODS, *COMBINATIONS]  # what there are heatmaps of
LESION = [name for name, dataset in DATASETS.items() if dataset["role"] == "lesion"]
HEALTHY = [name for name, dataset in DATASETS.items() if dataset["role"] == "healthy"]
UNLABELED = [name for name, dataset in DATASETS.items() if dataset["role"] == "unlabeled"]
ATLAS = config["atlas"] if config["atlas"] == "icbm152" else str(Path(config["data"], config["atlas"]))
IMAGING, NETWORK, STATISTICS = (f"../envs/{kind}.yaml" for kind in ("imaging", "network", "statistics"))


wildcard_constraints:
    dataset="|".join(DATASETS),
    modality="T1|T2",
    method="|".join(METHODS),
    fold=r"\d+",
    subject=r"[^/]+",


if workflow.is_main_process and (
    note := combinations.left_out_note(config["combinations"], METHODS)
):
    logger.warning(note)
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
for tool in {dataset["skull_strip"] for dataset in DATASETS.values()} & set(TOOLS):
    try:
        find_command(tool)
    except InputError as error:
        raise WorkflowError(str(error)) from error
