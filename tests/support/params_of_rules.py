"""Params of the rules of a workflow by its configuration, without a plan of jobs."""

import itertools
import json
import multiprocessing
import os
import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import time_spent

# Of a process that has loaded nothing of this package, as a command.
FRESH = multiprocessing.get_context("spawn")


def params_of_rules(folder, snakefile, configurations):
    """Params of every rule of a workflow by configuration: {name: {rule: {wildcards: {param: value}}}}, in one process.

    The rules are read, and no jobs are planned, which is less than half of a dry run.  Values are texts, and
    hashes of code empty.

    Args:
        folder: To work in; configurations are written there.
        snakefile: Of the workflow.
        configurations: By name.
    """
    parent, child = FRESH.Pipe(duplex=False)
    process = FRESH.Process(target=_read_rules, args=(str(folder), str(snakefile), configurations, child))
    process.start()
    child.close()
    try:
        params, seconds = parent.recv()
    finally:
        process.join()
    time_spent.of_forks += seconds
    return params


def _read_rules(folder, snakefile, configurations, connection):
    os.chdir(folder)
    from snakemake.api import SnakemakeApi
    from snakemake.settings.enums import Quietness
    from snakemake.settings.types import ConfigSettings, OutputSettings, ResourceSettings

    sys.path.insert(0, str(Path(snakefile).parent / "workflow/scripts"))
    from patch2loc.provenance import code

    code.code_hash = lambda *names: ""  # no configuration changes it, and it takes most of the time
    params = {}
    for name, configuration in configurations.items():
        path = Path(folder, f"{name}.yaml")
        path.write_text(json.dumps(configuration), encoding="utf-8")
        with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=1),
                config_settings=ConfigSettings(configfiles=(path,)),
                snakefile=Path(snakefile),
            )._workflow
            params[name] = {
                rule.name: _params(rule.params, configuration)
                for rule in workflow.rules
                if Path(rule.snakefile).name != "acquire.smk"  # of files as they come
            }
    used = resource.getrusage(resource.RUSAGE_SELF)
    connection.send((params, used.ru_utime + used.ru_stime))


def _params(declared, configuration):
    """Params of a rule for each method and dataset, with the first fold."""
    fold = str(configuration["folds"][0])
    values = {}
    for (dataset, about), method in itertools.product(
        configuration["datasets"].items(), configuration["methods"]
    ):
        wildcards = SimpleNamespace(
            dataset=dataset, modality=about["modality"], method=method, fold=fold, subject="", cohort="all"
        )
        values[f"{method} {dataset}"] = {param: _value(value, wildcards) for param, value in declared.items()}
    return values


def _value(value, wildcards):
    """A value as text; "" of a function of wildcards for which the rule has no job."""
    try:
        return repr(value(wildcards) if callable(value) else value)
    except (AttributeError, LookupError):
        return ""
