# The configuration, checked once, the constants that follow from it, and helpers of the rules, of a few lines each.
import sys
from pathlib import Path

from snakemake.logging import logger
from snakemake.utils import validate

# First in the path, here and in the scripts of jobs, so that no other version of the package, such as an editable
# installation of another clone, is imported.
SCRIPTS = str(Path(workflow.current_basedir, "../workflow/scripts").resolve())
sys.path.insert(0, SCRIPTS)

from patch2loc.configuration.configuration_file import read_configuration, with_command_line_values
from patch2loc.configuration.datasets import names_with_role
from patch2loc.configuration.jobs import RuleOutline
from patch2loc.configuration.method_names import base_method, configured, is_calibrated
from patch2loc.configuration.method_registry import runs_network, scoring_modules
from patch2loc.configuration.planning_notes import as_told, notes_before_run, unused_scans_note
from patch2loc.configuration.presets import completed
from patch2loc.configuration.run import plan_run
from patch2loc.data.results import PROVENANCE, READABLE
from patch2loc.errors import InputError
from patch2loc.method_interface import module_name
from patch2loc.process import import_first_from
from patch2loc.provenance.code import PREPROCESSING, code_hash

import_first_from(SCRIPTS)
SCHEMA = Path(workflow.current_basedir, "../workflow/schemas/config.schema.yaml")


def or_stop(function, *arguments, **named):
    """Value of the function. An InputError ends Snakemake with its message alone, as no error that it catches does."""
    try:
        return function(*arguments, **named)
    except InputError as error:
        logger.error(f"Error: {error}")
        sys.exit(1)


def planned_run():
    """The run of the configuration, which is checked and filled with defaults; and its protocol in words."""
    for path in workflow.configfiles if workflow.is_main_process else ():
        read_configuration(path)  # Snakemake, which has read it, keeps the last of equal keys
    config.update(with_command_line_values(config, workflow.config_settings.config_args))
    config.update(completed(config, read_configuration(SCHEMA)))
    validate(config, str(SCHEMA))  # fills in the defaults
    config["methods"] = configured(config["methods"])
    tables = [workflow.source_path(f"../config/{name}.csv") for name in ("registry", "scan_files")]
    run = plan_run(config, *tables)
    return run, run.protocol


RUN, PROTOCOL = or_stop(planned_run)
RESULTS, OUTPUTS = RUN.results, RUN.outputs
DATASETS, METHODS, FOLDS = RUN.datasets, RUN.methods, RUN.folds
SCORED_METHODS, EVALUATED_METHODS = RUN.scored_methods, RUN.evaluated_methods
TRAINED_METHODS, ABLATED_ROWS = RUN.trained_methods, list(RUN.ablation_rows)  # both with variants
LOCATING_METHODS, COMBINATIONS = RUN.locating_methods, RUN.combinations
LESION, HEALTHY, UNLABELED = (names_with_role(DATASETS, role) for role in ("lesion", "healthy", "unlabeled"))
JOINT, LESION_OR_JOINT = list(RUN.joint), [*LESION, *RUN.joint_with_role("lesion")]  # joint ones: in tables
LABELS, FIRST_FOLD = RUN.labels(DATASETS), FOLDS[0]  # figures show the first fold
GPU = int(config["device"] != "cpu")  # number of GPUs that a job of a network requests
RULE_FILES = sorted(Path(workflow.current_basedir).glob("*.smk"))
IMAGING, NETWORK, STATISTICS = (f"../envs/{kind}.yaml" for kind in ("imaging", "network", "statistics"))


wildcard_constraints:
    dataset="|".join(DATASETS),
    modality="T1|T2",
    method="|".join(TRAINED_METHODS),
    fold=r"\d+(?:seed\d+)?",
    subject=r"[^/]+",


if workflow.is_main_process:
    for note in notes_before_run(RUN, sys.argv[1:], nodes=workflow.resource_settings.nodes):
        logger.warning(as_told(note))


def growing(**amounts):
    """Resources multiplied by the attempt: a job that ran out of memory or time is tried again with more."""
    return {
        name: lambda wildcards, attempt, amount=amount: amount * attempt for name, amount in amounts.items()
    }


def every(pattern, datasets, methods=SCORED_METHODS):
    """Results of every method, dataset and fold."""
    return expand(pattern, method=methods, dataset=datasets, fold=FOLDS)


def any_of(names):
    """Regular expression that matches each of the names; without names it matches nothing."""
    return "|".join(names) or "(?!)"


def trainings(pattern, modalities=tuple(RUN.training_data)):
    """Results of every method, modality and fold."""
    return expand(pattern, method=METHODS, modality=modalities, fold=FOLDS)


def of_first_fold(pattern, datasets, methods=("patch2loc",)):
    """Results of methods and datasets in the fold that figures show."""
    return expand(pattern, method=methods, dataset=datasets, fold=FIRST_FOLD)


def by_wildcards(function, *names, **fixed):
    """Input or params function: a function of the library, called with the values of some wildcards."""
    return lambda wildcards: or_stop(function, *(getattr(wildcards, name) for name in names), **fixed)


def obtainable_data():
    """Summaries of the data that can be unpacked now; warns of data that need a person."""
    summaries, message = RUN.data.obtainable()
    if message:
        logger.warning(message)
    return summaries


def in_report(path, category, caption, **labels):
    """A file in Snakemake's report; its caption is workflow/report/{caption}.rst."""
    return report(path, category=category, labels=labels, caption=f"../workflow/report/{caption}.rst")


def rule_outline(name):
    """The parts of a rule that the crate describes."""
    declaration = getattr(rules, name)
    return RuleOutline(name, declaration.params.code, list(declaration.input), list(declaration.output))
