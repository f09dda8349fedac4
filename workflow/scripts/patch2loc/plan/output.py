"""One output of a plan, a table or a figure, and the inputs and parameters that many outputs share."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal, NamedTuple

from patch2loc.data.results import Fold, MetricsKind
from patch2loc.errors import InputError
from patch2loc.plan.dataset_groups import lesion
from patch2loc.plan.plan import Plan
from patch2loc.plan.protocol import protocol

Files = Mapping[str, str | Sequence[str]]


class Need(NamedTuple):
    """Something a run must have for an output.

    Attributes:
        words: A phrase that completes "the run has no ...".
        holds: Whether a run has it.
    """

    words: str
    holds: Callable[[Plan], bool]


@dataclass(frozen=True)
class Output:
    """A table, a figure, or both, made by one job.

    Attributes:
        name: Name of the rule and of the files.
        about: One sentence; the docstring of the rule.
        module: Module with a function `make(inputs, params)` that returns a `tables.made.Made`.
        inputs: Function of the run that returns the input files by name.
        params: Function of the run that returns the parameters of `make`.
        need: What the run must have; None if every run has it.
        kinds: What is written; "markdown" is a table without LaTeX and HTML.
        files: Files of the repository that are read, by name.
        label: Label in Snakemake's report; defaults to the name.
        caption: File in workflow/report, without suffix; defaults to the name.
        number: Number of the figure in the paper.
        on_request: True if it is made only when asked for by name.
        in_report: Whether the report shows the table.
        environment: Conda environment, a file of envs.
        resources: Memory and time of the job, multiplied by the attempt.
    """

    name: str
    about: str
    module: str
    inputs: Callable[[Plan], Files]
    params: Callable[[Plan], dict[str, Any]]
    need: Need | None = None
    kinds: tuple[Literal["table", "markdown", "figure"], ...] = ("table",)
    files: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    caption: str = ""
    number: int | None = None
    on_request: bool = False
    in_report: bool = True
    environment: Literal["statistics", "network"] = "statistics"
    resources: Mapping[str, int] = field(default_factory=dict)

    @property
    def has_table(self) -> bool:
        """True if it is, or has, a table."""
        return self.kinds != ("figure",)

    @property
    def has_figure(self) -> bool:
        """True if it is, or has, a figure."""
        return "figure" in self.kinds

    def is_possible(self, plan: Plan) -> bool:
        """True if a run has what it needs."""
        return self.need is None or self.need.holds(plan)

    def is_made(self, plan: Plan) -> bool:
        """True if it is part of a run."""
        return not self.on_request and self.is_possible(plan)

    def check(self, plan: Plan) -> None:
        """Raise InputError if the run lacks what this output needs."""
        if self.need and not self.need.holds(plan):
            raise InputError(
                f"{self.name}: the run has no {self.need.words}; add it, or ask for another target"
            )


def every(pattern: str, datasets: Iterable[str], methods: Iterable[str], folds: Iterable[Fold]) -> list[str]:
    """Files of every method, dataset and fold, folds running fastest."""
    return [
        pattern.format(method=method, dataset=dataset, fold=fold)
        for method, dataset, fold in product(methods, datasets, folds)
    ]


def lesion_modalities(plan: Plan) -> list[str]:
    """Modalities of the datasets with lesions."""
    return sorted({plan.datasets[name].modality for name in lesion(plan)})


def metrics_of(
    plan: Plan, datasets: Iterable[str], methods: Iterable[str], kind: MetricsKind = "metrics"
) -> list[str]:
    """Metrics of every method, dataset and fold."""
    return every(plan.results.metrics(kind=kind), datasets, methods, plan.folds)


def of_first_fold(
    plan: Plan, pattern: str, datasets: Iterable[str], methods: Iterable[str] = ("patch2loc",)
) -> list[str]:
    """Files of methods and datasets in the fold that figures show."""
    return every(pattern, datasets, methods, plan.folds[:1])


def facts(plan: Plan, names: str, **others: Any) -> dict[str, Any]:
    """Parameters named in FACTS (separated by spaces), and others."""
    return {name: FACTS[name](plan) for name in names.split()} | others


# Parameters that many outputs share, as functions of the plan.
FACTS: dict[str, Callable[[Plan], Any]] = {
    "methods": lambda plan: plan.evaluated_methods,
    "folds": lambda plan: plan.folds,
    "seed": lambda plan: plan.config["seed"],
    "protocol": lambda plan: protocol(plan),
    "truth": lambda plan: plan.config["truth"],
    "color_map": lambda plan: plan.config["figures"]["color_map"],
    "preprocessed": lambda plan: plan.results.preprocessed_folder(),
}
OVER_SUBJECTS = "methods folds seed protocol"  # of most tables

LESION = Need("dataset with the role lesion", lambda plan: bool(lesion(plan)))
