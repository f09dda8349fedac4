"""From the recipe of the authors' released code to a configuration, one element at a time, and what each changes.

    python workflow/waterfall.py config/demo.yaml [more.yaml ...] [--cores N] [--without ELEMENT ...]

Every step is a run of the workflow in the same folder, so that it computes anew what its element concerns, and no more.
Beside the folder `results` of the configuration, in one of the same name with -waterfall, are

    run/               results of the step at hand
    steps/NN-NAME/     configuration, metrics, Table 2 and work of each step that is done
    waterfall.csv .md .tex .html .png .pdf

where the last are of all steps that are done, and are written after each. The same command goes on where it stopped;
steps of another configuration or of other code are done anew. Where scans have changed, remove the folder.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent / "scripts"))

from run import ROOT, planned_run

from patch2loc.configuration.method_registry import scoring_modules
from patch2loc.configuration.released_code import value_of
from patch2loc.configuration.waterfall import METHOD, Step, step_configuration, waterfall_steps
from patch2loc.data.results import READABLE
from patch2loc.errors import InputError
from patch2loc.figures.style import save_figure
from patch2loc.figures.waterfall import waterfall_figure
from patch2loc.files import read_csv, read_json, replacing_folder, write_json, write_text
from patch2loc.plan.dataset_groups import labels, lesion
from patch2loc.plan.plan import Plan
from patch2loc.provenance.code import PREPROCESSING, code_hash
from patch2loc.tables.formats import write_table
from patch2loc.tables.waterfall import StepResult, waterfall_layout, waterfall_table

# Behind the numbers of a step, beside scoring and preprocessing.
CODE = ("train", "evaluate.subjects", "evaluate.patch_analysis", "tables.table2")
WORK = "work.json"  # of a step: what was computed, and by what


def main() -> int:
    """Run all steps and write the table and the figure; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("configfiles", nargs="+", metavar="configuration", help="on top of each other")
    parser.add_argument("--cores", default="all", help="processor cores to use (default: all)")
    parser.add_argument(
        "--without", nargs="+", default=[], metavar="ELEMENT", help="elements to leave as they are"
    )
    arguments = parser.parse_args()
    try:
        return _waterfall(arguments)
    except InputError as error:
        sys.exit(str(error))


def _waterfall(arguments: argparse.Namespace) -> int:
    plan = planned_run(arguments.configfiles, [])
    steps = waterfall_steps(plan.config, arguments.without)
    folder = Path(f"{plan.config['results']}-waterfall")
    done = [folder / "steps" / f"{place:02}-{_slug(step.name)}" for place, step in enumerate(steps)]
    code = code_hash(*(f"patch2loc.{name}" for name in CODE), *scoring_modules(METHOD), *PREPROCESSING)
    # Further seeds of a fold are in the table of that name alone.
    targets = ["table1", "table2", *(["seeds"] if len(plan.trainings) > len(plan.folds) else [])]
    results: list[StepResult] = []
    for step, of_step in zip(steps, done, strict=True):
        config = step_configuration(step, str(folder / "run"))
        is_new = not _is_done(of_step, config, code)
        if is_new:
            print(f"Step {len(results) + 1} of {len(steps)}: {step.name}", flush=True)
            if status := _run_step(step, config, code, of_step, targets, arguments.cores):
                return status
        results.append(_result(of_step, plan))
        if is_new or len(results) == len(steps):  # hours may pass to the next
            _write(folder, plan, results, _title(arguments.configfiles, len(results), len(steps)))
    print(f"done: {(folder / 'waterfall.md').resolve()}")
    return 0


def _title(configfiles: Sequence[str], done: int, steps: int) -> str:
    until_now = f", {done} of {steps} steps" if done < steps else ""
    return f"From the released code's recipe to {' and '.join(configfiles)}{until_now}"


def _slug(name: str) -> str:
    return re.sub(r"\W+", "-", name).lower()


def _as_yaml(value: Any) -> str:
    """A value as a configuration has it."""
    return "null" if value is None else str(value)


def _is_done(of_step: Path, config: Mapping[str, Any], code: str) -> bool:
    """True for a step that was done with this configuration by this code."""
    try:
        work = read_json(of_step / WORK, {"config": dict, "code": str})
    except (OSError, InputError):
        return False
    return bool(work["config"] == config and work["code"] == code)


def _run_step(
    step: Step, config: dict[str, Any], code: str, of_step: Path, targets: Sequence[str], cores: str
) -> int:
    """Run the workflow with the configuration of a step and keep its numbers; the exit status."""
    results = Path(config["results"])
    path = results.with_name("step.yaml")
    text = yaml.safe_dump(config, sort_keys=False)
    if not (path.exists() and path.read_text(encoding="utf-8") == text):
        write_text(path, text)
    begun = path.stat().st_mtime  # also by an earlier call that did not finish the step
    began = time.time()
    command = [sys.executable, str(ROOT / "workflow/run.py"), str(path), *targets, "--cores", cores]
    if status := subprocess.run(command).returncode:
        return status
    models = list(results.glob("models/**/model.safetensors"))
    work = {
        "name": step.name,
        "key": step.element.key if step.element else "",
        "value": _as_yaml(value_of(step.config, step.element)) if step.element else "",
        "needs": step.element.needs if step.element else "",
        "trainings": sum(model.stat().st_mtime >= begun for model in models),
        "seconds": round(time.time() - began, 1),
        "config": config,
        "code": code,
    }
    with replacing_folder(of_step) as partial:
        shutil.copytree(results / "metrics" / METHOD, partial / "metrics")
        shutil.copy(results / "tables/table2.csv", partial)
        write_json(partial / WORK, work)
    return 0


def _result(of_step: Path, plan: Plan) -> StepResult:
    """Numbers of a step that is done."""
    work = read_json(of_step / WORK)
    return StepResult(
        *(work[name] for name in ("name", "key", "value", "needs", "trainings", "seconds")),
        metrics={
            dataset: [read_csv(of_step / "metrics" / dataset / f"fold{fold}.csv") for fold in plan.trainings]
            for dataset in lesion(plan)
        },
        correlations=read_csv(of_step / "table2.csv"),
    )


def _write(folder: Path, plan: Plan, results: Sequence[StepResult], title: str) -> None:
    datasets = labels(plan, lesion(plan))
    table = waterfall_table(results, datasets, plan.config["seed"])
    layout = waterfall_layout(table, datasets, title)
    formats = {"csv": ".csv"} | READABLE
    write_table(table, layout, **{name: folder / f"waterfall{end}" for name, end in formats.items()})
    save_figure(waterfall_figure(table, datasets), [folder / f"waterfall{end}" for end in (".png", ".pdf")])


if __name__ == "__main__":
    sys.exit(main())
