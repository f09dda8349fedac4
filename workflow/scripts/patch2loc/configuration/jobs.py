"""What the jobs of a run do, for its crate: rule, code, inputs and outputs of each, in the order of the stages."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from patch2loc.configuration.datasets import ALL
from patch2loc.configuration.run import Run
from patch2loc.data.splits import ROLES
from patch2loc.provenance.crate_entities import Job

# A rule with its docstring, whether written out or made of another one (`use rule score as combine with:`).
RULE = re.compile(r'^(?:use rule \w+ as (\w+) with|rule (\w+)):\n +"""(.+?)"""', re.MULTILINE | re.DOTALL)
# Of rules that are made in a loop, whose docstring has no name to be found by.
LESION_FIGURE = "Figures 8 and on, one for each lesion dataset: scan, heatmap and truth of several subjects."
REPOSITORY = "/rules/../"  # before the path, in the repository, of a file that a rule takes from there

Pattern = str | Callable[[Any], str | Sequence[str]]


class RuleOutline(NamedTuple):
    """What a rule says of its jobs.

    name: of the rule.  code: hash of the code behind it.  inputs, outputs: patterns such as "models/{method}.csv".
    Code and inputs may be functions of a job's wildcards, which gives an object with one attribute for each.
    """

    name: str
    code: str | Callable[[Any], str]
    inputs: Sequence[Pattern]
    outputs: Sequence[str]


def rule_docstrings(rule_files: Iterable[Path]) -> dict[str, str]:
    """Docstrings of the rules in rule files: {rule: docstring}."""
    return {
        made_of or name: " ".join(docstring.split())
        for path in rule_files
        for made_of, name, docstring in RULE.findall(path.read_text(encoding="utf-8"))
    }


def jobs_of(rule: RuleOutline, about: str, **wildcards: Iterable[Any]) -> Iterator[Job]:
    """What a rule did, for every combination of its wildcards.  about: what its outputs are."""
    for values in product(*wildcards.values()):
        chosen = dict(zip(wildcards, map(str, values), strict=True))
        given = SimpleNamespace(**chosen)
        yield Job(
            rule=rule.name,
            about=about,
            code=rule.code(given) if callable(rule.code) else rule.code,
            # Files of the repository lie in a cache, whose name is another one in each run.
            inputs=[path.rpartition(REPOSITORY)[2] for path in _paths(rule.inputs, given, chosen)],
            outputs=[str(path).format(**chosen) for path in rule.outputs],
        )


def run_jobs(
    run: Run, outline_of: Callable[[str], RuleOutline], docstrings: Mapping[str, str]
) -> Iterator[Job]:
    """What the rules did, in the order of the stages; of results that a run does not have, the crate says nothing.

    outline_of: of a rule, by its name.  docstrings: of the rules (`rule_docstrings`).
    """

    def jobs(name: str, about: str = "", **wildcards: Iterable[Any]) -> Iterator[Job]:
        return jobs_of(outline_of(name), about or docstrings.get(name, ""), **wildcards)

    modalities, made = list(run.training_data), run.deliverables
    every = {"dataset": run.datasets, "fold": run.folds}
    trained = {"modality": modalities, "fold": run.folds}
    yield from scan_jobs(run, outline_of)
    yield from jobs("landmarks", "Nyul landmarks.", **trained)
    yield from jobs("train", "Model and its training history.", method=run.methods, **trained)
    yield from jobs("score", "Heatmaps of test scans.", method=run.methods, **every)
    yield from jobs("score_validation", "Heatmaps of validation scans.", method=run.methods, **every)
    combined = "combined from others."
    yield from jobs("combine", f"Heatmaps of test scans, {combined}", method=run.combinations, **every)
    yield from jobs(
        "combine_validation", f"Heatmaps of validation scans, {combined}", method=run.combinations, **every
    )
    yield from jobs("analyze_patches", "One row a patch.", method=run.locating, **every)
    yield from jobs("calibrate", method=run.calibrated, **trained)
    yield from jobs("evaluate", "One row a scan.", method=run.evaluated, dataset=run.labeled, fold=run.folds)
    for name in [*made.table_names, "quality", "subject_lists"]:
        yield from jobs(name)
    for number in made.figures:
        yield from jobs(f"fig{number}", LESION_FIGURE if number in made.lesion_figures else "")
    for name in made.further_figures:
        if name not in made.tables:
            yield from jobs(name)
    yield from jobs("learning_curve", "Losses of a training.", **trained)
    yield from jobs("viewer")
    yield from jobs("report_page")


def scan_jobs(run: Run, outline_of: Callable[[str], RuleOutline]) -> Iterator[Job]:
    """What made the scans, a dataset at a time, and the lists of those that a stage takes; as of `run_jobs`."""
    cohorts = [ALL, *(f"{role}_fold{fold}" for fold in run.folds for role in ROLES)]
    for name, dataset in run.datasets.items():
        raw = []
        if dataset.kind == "phantom":
            raw = [run.results.raw_dataset(f"phantom_{dataset.source['cohort']}")]
            yield _scan_job(outline_of("simulate_phantom"), "Scans.", [], raw)
        elif dataset.kind == "painted":
            raw = [run.results.raw_dataset(name)]
            yield _scan_job(outline_of("paint_stroke"), "Scans with simulated strokes.", [], raw)
        scans = [run.results.preprocessed_dataset(name)]
        about = "Scans on the grid, with brain and lesion masks and quality control."
        yield _scan_job(outline_of("preprocess"), about, raw, scans)
        for cohort in cohorts:
            lists = [run.results.cohort(name, cohort)]
            yield _scan_job(outline_of("cohort_list"), "List of preprocessed scans.", scans, lists)


def _scan_job(rule: RuleOutline, about: str, inputs: list[str], outputs: list[str]) -> Job:
    """A job for all scans of a dataset together, of a rule that makes each of them by itself."""
    return Job(rule=rule.name, about=about, code=rule.code, inputs=inputs, outputs=outputs)


def _paths(inputs: Sequence[Pattern], given: Any, chosen: Mapping[str, str]) -> Iterator[str]:
    for pattern in inputs:
        paths = pattern(given) if callable(pattern) else pattern
        for path in [paths] if isinstance(paths, str) else paths:
            yield str(path).format(**chosen)
