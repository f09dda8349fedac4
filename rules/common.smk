# The configuration, checked once, what follows from it, and the input functions of the rules: one or two lines each,
# on what patch2loc.configuration.datasets knows of scans and roles, and patch2loc.data.results of files.
import sys
from contextlib import contextmanager
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import validate

# First, so that no other version of the package is taken, installed or named in PYTHONPATH.
sys.path.insert(0, str(Path(workflow.current_basedir, "../workflow/scripts")))

from patch2loc.configuration.combinations import left_out_note
from patch2loc.errors import InputError
from patch2loc.configuration.method_names import base_method, configured, is_calibrated
from patch2loc.configuration.method_registry import runs_network
from patch2loc.method_interface import module_name
from patch2loc.configuration.datasets import names_of
from patch2loc.configuration.jobs import RuleOutline
from patch2loc.configuration.run import plan_run
from patch2loc.configuration.schema import check_schema
from patch2loc.provenance.code import PREPROCESSING, code_hash
from patch2loc.data.results import PROVENANCE, READABLE, former_results_note

SCHEMA = Path(workflow.current_basedir, "../workflow/schemas/config.schema.yaml")


@contextmanager
def input_errors():
    """Let Snakemake say an error of the library as its own: the message, and no traceback."""
    try:
        yield
    except InputError as error:
        raise WorkflowError(str(error)) from error


with input_errors():
    check_schema(config, yaml.safe_load(SCHEMA.read_text(encoding="utf-8")))
    validate(config, str(SCHEMA))  # for the defaults that it fills in
    config["methods"] = configured(config["methods"])
    RUN = plan_run(config, workflow.source_path("../config/registry.csv"))
    PROTOCOL = RUN.protocol

RESULTS, DATASETS, METHODS, FOLDS, MADE = RUN.results, RUN.datasets, RUN.methods, RUN.folds, RUN.deliverables
SCORED, EVALUATED, LOCATING, COMBINATIONS = RUN.scored, RUN.evaluated, RUN.locating, RUN.combinations
LESION, HEALTHY, UNLABELED = (names_of(DATASETS, role) for role in ("lesion", "healthy", "unlabeled"))
LABELS = RUN.labels(DATASETS)
FOLD = FOLDS[0]  # figures show the first fold
GPU = int(config["device"] != "cpu")  # GPUs that a job of the network asks for
RULE_FILES = sorted(Path(workflow.current_basedir).glob("*.smk"))
IMAGING, NETWORK, STATISTICS = (f"../envs/{kind}.yaml" for kind in ("imaging", "network", "statistics"))


wildcard_constraints:
    dataset="|".join(DATASETS),
    modality="T1|T2",
    method="|".join(METHODS),
    fold=r"\d+",
    subject=r"[^/]+",


if workflow.is_main_process:
    overlaps = RUN.overlap_notes and f"Published subject lists, used as they are. {RUN.overlap_notes}"
    former = former_results_note(RESULTS.root)
    for note in filter(None, (left_out_note(config["combinations"], METHODS), overlaps, former)):
        logger.warning(note)


def growing(**amounts):
    """Resources that grow with every attempt: a job that ran out of memory or time is tried again with more."""
    return {
        name: lambda wildcards, attempt, amount=amount: amount * attempt for name, amount in amounts.items()
    }


def every(pattern, datasets, methods=SCORED):
    """Results of every method, dataset and fold."""
    return expand(pattern, method=methods, dataset=datasets, fold=FOLDS)


def any_of(names):
    """Regular expression for one of some names; nothing matches it when there are none."""
    return "|".join(names) or "(?!)"


def trainings(pattern, modalities=tuple(RUN.training_data)):
    """Results of every training: of each method, modality and fold."""
    return expand(pattern, method=METHODS, modality=modalities, fold=FOLDS)


def of_first_fold(pattern, datasets, methods=("patch2loc",)):
    """Results of methods and datasets in the fold that figures show."""
    return expand(pattern, method=methods, dataset=datasets, fold=FOLD)


def by_wildcards(function, *names, **fixed):
    """Input or params function: what a function of the library gives for some of a job's wildcards."""
    # Snakemake hands on what such functions raise as WorkflowError, and shows a traceback of all else.
    guarded = input_errors()(function)
    return lambda wildcards: guarded(*(getattr(wildcards, name) for name in names), **fixed)


@input_errors()
def obtainable_data(wildcards):
    """Input function: what can be unpacked now; what needs a person is said, and stops nothing."""
    summaries, message = RUN.data.obtainable()
    if message:
        logger.warning(message)
    return summaries


def in_report(path, category, caption, **labels):
    """A file that Snakemake's report shows.  caption: name of its text in workflow/report."""
    return report(path, category=category, labels=labels, caption=f"../workflow/report/{caption}.rst")


def figure(name, caption=None):
    """Outputs of a figure: PNG, shown in the report, and PDF."""
    png = in_report(RESULTS.figure(name), "Figures", caption or name, figure=name)
    return {"png": png, "pdf": RESULTS.figure(name, ".pdf")}


def table(name, label=None, formats=("markdown", "latex", "html")):
    """Outputs of a table: CSV with its provenance, and the table to be read in some formats."""
    label = label or name.replace("_", " ")
    csv = in_report(RESULTS.table(name), "Tables", name, table=label, format="CSV")
    paths = {"csv": csv, "provenance": f"{RESULTS.table(name)}{PROVENANCE}"}
    return paths | {key: RESULTS.table(name, READABLE[key]) for key in formats}


def about_table(name, module, datasets, methods=EVALUATED):
    """Params of a table over subjects.  module: the one that makes it.  datasets: labels of each."""
    about = {"code": code_hash(module), "table": name, "methods": methods, "datasets": datasets}
    return about | {"folds": FOLDS, "seed": config["seed"], "protocol": PROTOCOL}


def rule_outline(name):
    """A rule as the crate takes it, by what Snakemake shows of every rule."""
    shown = getattr(rules, name)
    return RuleOutline(name, shown.params.code, list(shown.input), list(shown.output))
