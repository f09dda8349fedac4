# The configuration, checked once, the constants that follow from it, and helpers of the rules, of a few lines each.
import sys
from functools import partial
from pathlib import Path

from snakemake.logging import logger

# First in the path, here and in the scripts of jobs, so that no other version of the package, such as an editable
# installation of another clone, is imported.
SCRIPTS = str(Path(workflow.current_basedir, "../workflow/scripts").resolve())
sys.path.insert(0, SCRIPTS)

from patch2loc.configuration.configuration_file import read_configuration, with_command_line_values
from patch2loc.configuration.method_names import base_method, is_calibrated
from patch2loc.configuration.method_registry import runs_network, scoring_modules
from patch2loc.configuration.presets import completed
from patch2loc.data.modalities import MODALITIES
from patch2loc.data.results import PROVENANCE, READABLE
from patch2loc.errors import InputError
from patch2loc.estimate.hours import note_before_run
from patch2loc.method_interface import module_name
from patch2loc.plan import dataset_groups
from patch2loc.plan.ablations import ablation_rows
from patch2loc.plan.jobs import RuleOutline, job_families
from patch2loc.plan.notes import as_told, missing_note, planning_notes, unused_scans_note
from patch2loc.plan.output import every
from patch2loc.plan.outputs import Outputs
from patch2loc.plan.plan import atlas, make_plan
from patch2loc.plan.protocol import protocol
from patch2loc.plan.score import every_heatmaps, locating_methods
from patch2loc.process import import_first_from
from patch2loc.provenance.code import PREPROCESSING, code_hash

import_first_from(SCRIPTS)


def or_stop(function, *arguments, **named):
    """Value of the function. An InputError ends Snakemake with its message alone, as no error that it catches does."""
    try:
        return function(*arguments, **named)
    except InputError as error:
        logger.error(f"Error: {error}")
        sys.exit(1)


def checked_plan():
    """The plan of the configuration, which is checked and filled with defaults; and its protocol in words."""
    for path in workflow.configfiles if workflow.is_main_process else ():
        read_configuration(path)  # Snakemake, which has read it, keeps the last of equal keys
    config.update(with_command_line_values(config, workflow.config_settings.config_args))
    config.update(completed(config))
    tables = [workflow.source_path(f"../config/{name}.csv") for name in ("registry", "scan_files")]
    plan = make_plan(config, *tables)
    return plan, protocol(plan)


PLAN, PROTOCOL = or_stop(checked_plan)
RESULTS, OUTPUTS = PLAN.results, Outputs(PLAN)
DATASETS, METHODS, FOLDS = PLAN.datasets, PLAN.methods, PLAN.folds
SCORED_METHODS, EVALUATED_METHODS = PLAN.scored_methods, PLAN.evaluated_methods
TRAINED_METHODS, ABLATED_ROWS = PLAN.trained_methods, list(ablation_rows(PLAN))  # both with variants
LOCATING_METHODS, COMBINATIONS = locating_methods(PLAN), PLAN.combinations
LESION, HEALTHY, UNLABELED = (
    group(PLAN) for group in (dataset_groups.lesion, dataset_groups.healthy, dataset_groups.unlabeled)
)
LABELED, JOINT = dataset_groups.labeled(PLAN), list(PLAN.joint)  # joint ones: in tables
JOB_FAMILIES = or_stop(job_families, PLAN)  # of a whole run
LABELS, FIRST_FOLD = dataset_groups.labels(PLAN, DATASETS), FOLDS[0]  # figures show the first fold
GPU = int(config["device"] != "cpu")  # number of GPUs that a job of a network requests
RULE_FILES = sorted(Path(workflow.current_basedir).glob("*.smk"))
IMAGING, NETWORK, STATISTICS = (f"../envs/{kind}.yaml" for kind in ("imaging", "network", "statistics"))


wildcard_constraints:
    dataset="|".join(DATASETS),
    modality="|".join(MODALITIES),
    method="|".join(TRAINED_METHODS),
    fold=r"\d+(?:seed\d+)?",
    subject=r"[^/]+",


if workflow.is_main_process:
    estimate = note_before_run(PLAN, sys.argv[1:], nodes=workflow.resource_settings.nodes)
    for note in filter(None, [*planning_notes(PLAN), estimate]):
        logger.warning(as_told(note), extra={"event": "note"})


def growing(**amounts):
    """Resources multiplied by the attempt: a job that ran out of memory or time is tried again with more."""
    return {
        name: lambda wildcards, attempt, amount=amount: amount * attempt for name, amount in amounts.items()
    }


def any_of(names):
    """Regular expression that matches each of the names; without names it matches nothing."""
    return "|".join(names) or "(?!)"


def results_of(pattern, *names):
    """Results of all jobs of some rules in a whole run."""
    families = [family for family in JOB_FAMILIES if family.rule in names]
    return [job.fill(pattern) for family in families for job in family.jobs]


def by_wildcards(function, *names, **fixed):
    """Input or params function: a function of the library, called with the values of some wildcards."""
    return lambda wildcards: or_stop(function, *(getattr(wildcards, name) for name in names), **fixed)


def planned(function, *names, **fixed):
    """Input or params function: a function of the plan and of the values of some wildcards."""
    return by_wildcards(partial(function, PLAN), *names, **fixed)


def obtainable_data():
    """Summaries of the data that can be unpacked now; warns of data that need a person."""
    summaries, message = PLAN.data.obtainable()
    if message:
        logger.warning(message)
    return summaries


def in_report(path, category, caption, **labels):
    """A file in Snakemake's report; its caption is workflow/report/{caption}.rst."""
    return report(path, category=category, labels=labels, caption=f"../workflow/report/{caption}.rst")


def rule_outline(name):
    """The parts of a rule that the crate describes."""
    made = getattr(rules, name)
    return RuleOutline(name, made.params.code, list(made.input), [str(path) for path in made.output])
