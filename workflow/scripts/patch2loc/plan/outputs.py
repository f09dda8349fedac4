"""The tables and figures of a run: what each is made from, and when it is made.

Each is one `Output`: a target and a rule of its name, files of its name, and the module whose function `make` computes
and draws it. rules/results.smk makes the rules.
"""

from collections.abc import Iterable
from itertools import product
from pathlib import Path

from patch2loc.configuration.method_names import competing, table_rows
from patch2loc.configuration.parts import own_setting
from patch2loc.data.results import Fold
from patch2loc.metrics.released_code import OURS
from patch2loc.plan.ablations import ablation_rows, repeated_methods
from patch2loc.plan.dataset_groups import (
    healthy,
    labeled,
    labels,
    labels_and_counts,
    labels_and_lesions,
    labels_and_sites,
    lesion,
    lesion_or_joint,
    of_kind,
    unlabeled,
    with_sites,
)
from patch2loc.plan.detector import controls_of_detectors, has_detector
from patch2loc.plan.output import (
    LESION,
    OVER_SUBJECTS,
    Files,
    Need,
    Output,
    every,
    facts,
    lesion_modalities,
    metrics_of,
    of_first_fold,
)
from patch2loc.plan.paper_figures import PAPERS_FIGURES, lesion_figures
from patch2loc.plan.plan import Plan, atlas
from patch2loc.plan.protocol import protocol
from patch2loc.plan.score import locating_methods, median_filter


def _of_trainings(plan: Plan, methods: Iterable[str], folds: Iterable[Fold]) -> Files:
    """Models and their histories, folds running fastest."""
    trainings = list(product(methods, lesion_modalities(plan), folds))
    return {
        "models": [plan.results.model(*training) for training in trainings],
        "histories": [plan.results.history(*training) for training in trainings],
    }


def _detection(plan: Plan, datasets: Iterable[str]) -> Files:
    """Metrics of every scan, and what is detected at thresholds."""
    return {
        "metrics": metrics_of(plan, datasets, plan.evaluated_methods),
        "at_thresholds": metrics_of(plan, datasets, plan.evaluated_methods, "at_thresholds"),
    }


def _located(plan: Plan, datasets: Iterable[str]) -> Files:
    """Patches of all methods that predict locations."""
    return {"patches": every(plan.results.patches(), datasets, locating_methods(plan), plan.folds)}


def _evaluated(plan: Plan) -> list[str]:
    return [*labeled(plan), *plan.joint]


def _controlled(plan: Plan) -> list[str]:
    return of_kind(plan, "controlled")


def _patients(plan: Plan) -> list[str]:
    return [
        plan.results.patient(name, scan) for name in unlabeled(plan) for scan in plan.datasets[name].scans
    ]


def _ablated(plan: Plan) -> list[str]:
    """Rows of the ablations that are trained: combinations are not."""
    return [name for name in ablation_rows(plan) if name in plan.trained_methods]


def _combined(plan: Plan) -> dict[str, list[str]]:
    """Parts of the rows of the ablations that are combinations."""
    return {name: plan.parts(name) for name in ablation_rows(plan) if name in plan.combinations}


def _with_lesions(plan: Plan, more: object) -> bool:
    return bool(lesion(plan)) and bool(more)


DETECTOR = Need(
    "scan of the role unlabeled, and `detector`", lambda plan: has_detector(plan) and bool(unlabeled(plan))
)
SEEDS = Need(
    "dataset with lesions, and `seeds_of_first_fold` above 1",
    lambda plan: _with_lesions(plan, plan.config["seeds_of_first_fold"] > 1),
)
FOLDS = Need("dataset with lesions, and second fold", lambda plan: _with_lesions(plan, plan.folds[1:]))
VARIANTS = Need(
    "dataset with lesions, and `variants` (config/ablations.yaml has some)",
    lambda plan: _with_lesions(plan, plan.variants),
)
CONTROLLED = Need("dataset of the kind controlled", lambda plan: bool(_controlled(plan)))
SITES = Need("dataset whose list names sites", lambda plan: bool(with_sites(plan)))

SMALL = {"mem_mb": 1500, "runtime": 30}
LARGE = {"mem_mb": 4000, "runtime": 60}

# In the order of the report: name, what it is, the module that makes it, its inputs, its parameters.
OUTPUTS = (
    Output(
        "table1",
        "Table 1: methods by datasets, best Dice and AUPRC, beside the published numbers.",
        "patch2loc.tables.table1",
        lambda plan: {"metrics": metrics_of(plan, lesion_or_joint(plan), plan.evaluated_methods)},
        lambda plan: facts(plan, OVER_SUBJECTS, datasets=labels_and_counts(plan, lesion_or_joint(plan))),
        need=LESION,
        files={"published": "config/published/table1.csv"},
        label="1",
        resources=SMALL,
    ),
    Output(
        "table2",
        "Table 2: correlation of the lesion share of patches with their scores.",
        "patch2loc.tables.table2",
        lambda plan: {"patches": every(plan.results.patches(), lesion(plan), ["patch2loc"], plan.folds)},
        lambda plan: facts(plan, "folds seed", datasets=labels(plan, lesion(plan)), **plan.config["tables"]),
        need=LESION,
        files={"published": "config/published/table2.csv"},
        label="2",
        resources=LARGE,
    ),
    Output(
        "patients",
        "Reports about every scan without truth, most conspicuous first, beside what is expected in a healthy scan.",
        "patch2loc.tables.patients",
        lambda plan: {"patients": _patients(plan)},
        lambda plan: {
            "datasets": labels(plan, unlabeled(plan)),
            "controls": controls_of_detectors(plan, unlabeled(plan)),
            "root": str(Path(plan.results.table("patients")).parent),
        },
        need=DETECTOR,
    ),
    Output(
        "thresholds",
        "Detection at thresholds from validation scans: voxels, lesions, false positives.",
        "patch2loc.tables.thresholds",
        lambda plan: {"metrics": metrics_of(plan, _evaluated(plan), plan.evaluated_methods, "at_thresholds")},
        lambda plan: facts(
            plan, "methods folds seed", datasets=labels(plan, _evaluated(plan)), protocol=protocol(plan, OURS)
        ),
        resources=SMALL,
    ),
    # Shows if scans resemble those of the training, before any number about lesions is believed.
    Output(
        "domain_shift",
        "Location error in healthy tissue by dataset and site: table and figure.",
        "patch2loc.figures.domain_shift",
        lambda plan: _located(plan, healthy(plan) + lesion(plan) + unlabeled(plan)),
        lambda plan: facts(
            plan,
            "folds seed",
            methods=locating_methods(plan),
            datasets=labels_and_sites(plan, healthy(plan) + lesion(plan) + unlabeled(plan)),
            training=plan.training_data,
        ),
        kinds=("table", "figure"),
        resources=LARGE,
    ),
    Output(
        "healthy_checks",
        "Predicted variances, confused sides and errors near the brain's edge in healthy test scans: table and figure.",
        "patch2loc.figures.healthy_checks",
        lambda plan: _located(plan, healthy(plan)),
        lambda plan: facts(
            plan,
            "folds seed",
            methods=locating_methods(plan),
            all_methods=plan.evaluated_methods,
            datasets=labels(plan, healthy(plan)),
            atlas=atlas(plan.config),
            grid=plan.config["grid"],
            crop=plan.config["preprocess"]["crop"],
        ),
        kinds=("table", "figure"),
        resources=LARGE,
    ),
    Output(
        "comparison",
        "Every pair of methods on the same scans: differences, intervals, tests.",
        "patch2loc.tables.comparison",
        lambda plan: {"metrics": metrics_of(plan, lesion_or_joint(plan), competing(plan.evaluated_methods))},
        lambda plan: facts(
            plan,
            "folds seed protocol",
            methods=competing(plan.evaluated_methods),
            datasets=labels(plan, lesion_or_joint(plan)),
        ),
        need=LESION,
        resources=SMALL,
    ),
    Output(
        "by_volume",
        "Results by the volume of a scan's lesions.",
        "patch2loc.tables.by_volume",
        lambda plan: {"metrics": metrics_of(plan, lesion_or_joint(plan), plan.evaluated_methods)},
        lambda plan: facts(plan, OVER_SUBJECTS, datasets=labels(plan, lesion_or_joint(plan))),
        need=LESION,
        resources=SMALL,
    ),
    Output(
        "released_code",
        "Effect of the released code's choices: bisected best Dice, background at 0.",
        "patch2loc.tables.released_code",
        lambda plan: {"metrics": metrics_of(plan, lesion(plan), plan.scored_methods, "released_code")},
        lambda plan: facts(
            plan,
            "folds seed",
            methods=plan.scored_methods,
            datasets=labels(plan, lesion(plan)),
            protocol=protocol(plan, OURS),
        ),
        need=LESION,
        resources=SMALL,
    ),
    Output(
        "seeds",
        "Spread over the seeds of one fold beside that over folds.",
        "patch2loc.tables.seeds",
        lambda plan: {
            "metrics": every(plan.results.metrics(), lesion(plan), repeated_methods(plan), plan.trainings)
        },
        lambda plan: facts(
            plan,
            "seed protocol",
            methods=repeated_methods(plan),
            datasets=labels(plan, lesion(plan)),
            folds=plan.trainings,
        ),
        need=SEEDS,
        resources=SMALL,
    ),
    Output(
        "methods",
        "Heatmaps of every method in one slice of each lesion dataset.",
        "patch2loc.figures.method_maps",
        lambda plan: {
            "heatmaps": of_first_fold(plan, plan.results.heatmaps(), lesion(plan), plan.scored_methods),
            "metrics": of_first_fold(plan, plan.results.metrics(), lesion(plan)),
        },
        lambda plan: facts(
            plan,
            "preprocessed truth color_map",
            methods=plan.scored_methods,
            datasets=labels(plan, lesion(plan)),
        ),
        need=LESION,
        kinds=("figure",),
        resources={"mem_mb": 3000},
    ),
    Output(
        "curves",
        "Precision-recall and Dice-threshold curves of every method and lesion dataset.",
        "patch2loc.figures.curves",
        lambda plan: {
            "curves": of_first_fold(
                plan, plan.results.metrics(kind="curves"), lesion(plan), plan.evaluated_methods
            ),
            "metrics": of_first_fold(plan, plan.results.metrics(), lesion(plan), plan.evaluated_methods[:1]),
        },
        lambda plan: facts(plan, "methods", datasets=labels(plan, lesion(plan))),
        need=LESION,
        kinds=("figure",),
    ),
    Output(
        "subjects",
        "AUPRC and best Dice of every subject against lesion volume.",
        "patch2loc.figures.subject_scatter",
        lambda plan: {"metrics": metrics_of(plan, lesion(plan), plan.evaluated_methods)},
        lambda plan: facts(plan, "methods folds", datasets=labels(plan, lesion(plan))),
        need=LESION,
        kinds=("figure",),
    ),
    # Without combinations, which have no training whose cost could be shown.
    Output(
        "cost",
        "AUPRC against the time of training and of scoring a scan.",
        "patch2loc.figures.cost",
        lambda plan: {
            "metrics": metrics_of(plan, lesion(plan), table_rows(plan.methods)),
            **_of_trainings(plan, plan.methods, plan.folds),
        },
        lambda plan: facts(
            plan,
            "folds seed",
            methods=table_rows(plan.methods),
            datasets=labels(plan, lesion(plan)),
            modalities=lesion_modalities(plan),
        ),
        need=LESION,
        kinds=("figure",),
    ),
    Output(
        "folds",
        "Best Dice and AUPRC of every fold beside the mean over folds.",
        "patch2loc.figures.fold_spread",
        lambda plan: {"metrics": metrics_of(plan, lesion(plan), plan.evaluated_methods)},
        lambda plan: facts(plan, "methods folds", datasets=labels(plan, lesion(plan))),
        need=FOLDS,
        kinds=("figure",),
    ),
    # Trainings of folds and of further seeds alike.
    Output(
        "ablations",
        "Each variant against its method: detection, location error and cost, table and figure.",
        "patch2loc.figures.ablations",
        lambda plan: {
            "metrics": every(plan.results.metrics(), lesion(plan), ablation_rows(plan), plan.trainings),
            **_of_trainings(plan, _ablated(plan), plan.trainings),
        },
        lambda plan: facts(
            plan,
            "seed protocol",
            rows=ablation_rows(plan),
            trained=_ablated(plan),
            combinations=_combined(plan),
            datasets=labels(plan, lesion(plan)),
            modalities=lesion_modalities(plan),
            folds=plan.trainings,
        ),
        need=VARIANTS,
        kinds=("table", "figure"),
        resources={"mem_mb": 2000, "runtime": 30},
    ),
    Output(
        "controlled",
        "Controlled lesions by change, size and amount, and location against intensity: table and figure.",
        "patch2loc.figures.controlled",
        lambda plan: _detection(plan, _controlled(plan)),
        lambda plan: facts(plan, OVER_SUBJECTS, datasets=labels_and_lesions(plan, _controlled(plan))),
        need=CONTROLLED,
        kinds=("table", "figure"),
        resources=SMALL,
    ),
    Output(
        "by_site",
        "Results by the site of a scan, of the datasets whose lists name it.",
        "patch2loc.tables.by_site",
        lambda plan: _detection(plan, with_sites(plan)),
        lambda plan: facts(plan, OVER_SUBJECTS, datasets=labels_and_sites(plan, with_sites(plan))),
        need=SITES,
        resources=SMALL,
    ),
    Output(
        "cases",
        "Every lesion scan by itself: metrics, location error in healthy tissue, lesion volume lost.",
        "patch2loc.tables.cases",
        lambda plan: {"metrics": metrics_of(plan, lesion_or_joint(plan), plan.evaluated_methods)},
        lambda plan: facts(plan, "methods folds", datasets=labels(plan, lesion_or_joint(plan))),
        need=LESION,
        kinds=("markdown",),
        in_report=False,  # too long
        resources=SMALL,
    ),
    Output(
        "parts",
        "Log-error, log-variance and score as detectors, by epsilon, filter and stride; scores at the brain's edge.",
        "patch2loc.figures.parts",
        lambda plan: {"parts": every(plan.results.parts(), labeled(plan), ["patch2loc"], plan.trainings)},
        lambda plan: facts(
            plan,
            "seed protocol",
            own={name: own_setting(plan.config, median_filter(plan, name)) for name in labeled(plan)},
            datasets=labels(plan, labeled(plan)),
            folds=plan.trainings,
        ),
        kinds=("table", "figure"),
        on_request=True,
        resources=LARGE,
    ),
)


class Outputs:
    """The tables and figures of a run.

    Attributes:
        all: Outputs that can be asked for, by name.
        made: Outputs that a whole run makes, the paper's figures first.
    """

    def __init__(self, plan: Plan) -> None:
        outputs = [*PAPERS_FIGURES, *lesion_figures(plan), *OUTPUTS]
        self.all = {output.name: output for output in outputs}
        self.made = [output for output in outputs if output.is_made(plan)]

    @property
    def tables(self) -> list[str]:
        """Names of all tables."""
        return [output.name for output in self.made if output.has_table]

    @property
    def tables_in_report(self) -> list[str]:
        """Names of the tables in the report."""
        return [output.name for output in self.made if output.has_table and output.in_report]

    @property
    def figures(self) -> list[str]:
        """Names of all figures but the learning curves."""
        return [output.name for output in self.made if output.has_figure]
