"""The tables and figures of a run: what each is made from, and when it is made.

Each is one `Output`: a target and a rule of its name, files of its name, and the module whose function `make` computes
and draws it. rules/results.smk makes the rules.
"""

from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from patch2loc.configuration.method_names import competing, table_rows
from patch2loc.configuration.output import (
    LESION,
    OVER_SUBJECTS,
    Files,
    Need,
    Output,
    every,
    facts,
    healthy,
    lesion,
    lesion_modalities,
    lesion_or_joint,
    metrics_of,
    of_first_fold,
    unlabeled,
)
from patch2loc.configuration.paper_figures import PAPERS_FIGURES, lesion_figures
from patch2loc.configuration.parts import own_setting
from patch2loc.data.results import Fold
from patch2loc.metrics.released_code import OURS

if TYPE_CHECKING:
    from patch2loc.configuration.run import Run


def _of_trainings(run: "Run", methods: Iterable[str], folds: Iterable[Fold]) -> Files:
    """Models and their histories, folds running fastest."""
    trainings = list(product(methods, lesion_modalities(run), folds))
    return {
        "models": [run.results.model(*training) for training in trainings],
        "histories": [run.results.history(*training) for training in trainings],
    }


def _detection(run: "Run", datasets: Iterable[str]) -> Files:
    """Metrics of every scan, and what is detected at thresholds."""
    return {
        "metrics": metrics_of(run, datasets, run.evaluated_methods),
        "at_thresholds": metrics_of(run, datasets, run.evaluated_methods, "at_thresholds"),
    }


def _located(run: "Run", datasets: Iterable[str]) -> Files:
    """Patches of all methods that predict locations."""
    return {"patches": every(run.results.patches(), datasets, run.locating_methods, run.folds)}


def _evaluated(run: "Run") -> list[str]:
    return [*run.labeled_datasets, *run.joint]


def _controlled(run: "Run") -> list[str]:
    return run.datasets_of_kind("controlled")


def _patients(run: "Run") -> list[str]:
    return [run.results.patient(name, scan) for name in unlabeled(run) for scan in run.datasets[name].scans]


def _ablated(run: "Run") -> list[str]:
    """Rows of the ablations that are trained: combinations are not."""
    return [name for name in run.ablation_rows if name in run.trained_methods]


def _combined(run: "Run") -> dict[str, list[str]]:
    """Parts of the rows of the ablations that are combinations."""
    return {name: run.parts(name) for name in run.ablation_rows if name in run.combinations}


def _with_lesions(run: "Run", more: object) -> bool:
    return bool(lesion(run)) and bool(more)


DETECTOR = Need(
    "scan of the role unlabeled, and `detector`", lambda run: run.has_detector and bool(unlabeled(run))
)
SEEDS = Need(
    "dataset with lesions, and `seeds_of_first_fold` above 1",
    lambda run: _with_lesions(run, run.config["seeds_of_first_fold"] > 1),
)
FOLDS = Need("dataset with lesions, and second fold", lambda run: _with_lesions(run, run.folds[1:]))
VARIANTS = Need(
    "dataset with lesions, and `variants` (config/ablations.yaml has some)",
    lambda run: _with_lesions(run, run.variants),
)
CONTROLLED = Need("dataset of the kind controlled", lambda run: bool(_controlled(run)))
SITES = Need("dataset whose list names sites", lambda run: bool(run.datasets_with_sites))

SMALL = {"mem_mb": 1500, "runtime": 30}
LARGE = {"mem_mb": 4000, "runtime": 60}

# In the order of the report: name, what it is, the module that makes it, its inputs, its parameters.
OUTPUTS = (
    Output(
        "table1",
        "Table 1: methods by datasets, best Dice and AUPRC, beside the published numbers.",
        "patch2loc.tables.table1",
        lambda run: {"metrics": metrics_of(run, lesion_or_joint(run), run.evaluated_methods)},
        lambda run: facts(run, OVER_SUBJECTS, datasets=run.labels_and_counts(lesion_or_joint(run))),
        need=LESION,
        files={"published": "config/published/table1.csv"},
        label="1",
        resources=SMALL,
    ),
    Output(
        "table2",
        "Table 2: correlation of the lesion share of patches with their scores.",
        "patch2loc.tables.table2",
        lambda run: {"patches": every(run.results.patches(), lesion(run), ["patch2loc"], run.folds)},
        lambda run: facts(run, "folds seed", datasets=run.labels(lesion(run)), **run.config["tables"]),
        need=LESION,
        files={"published": "config/published/table2.csv"},
        label="2",
        resources=LARGE,
    ),
    Output(
        "patients",
        "Reports about every scan without truth, most conspicuous first, beside what is expected in a healthy scan.",
        "patch2loc.tables.patients",
        lambda run: {"patients": _patients(run)},
        lambda run: {
            "datasets": run.labels(unlabeled(run)),
            "controls": run.controls_of_detectors(unlabeled(run)),
            "root": str(Path(run.results.table("patients")).parent),
        },
        need=DETECTOR,
    ),
    Output(
        "thresholds",
        "Detection at thresholds from validation scans: voxels, lesions, false positives.",
        "patch2loc.tables.thresholds",
        lambda run: {"metrics": metrics_of(run, _evaluated(run), run.evaluated_methods, "at_thresholds")},
        lambda run: facts(
            run, "methods folds seed", datasets=run.labels(_evaluated(run)), protocol=run.protocol_by(OURS)
        ),
        resources=SMALL,
    ),
    # Shows if scans resemble those of the training, before any number about lesions is believed.
    Output(
        "domain_shift",
        "Location error in healthy tissue by dataset and site: table and figure.",
        "patch2loc.figures.domain_shift",
        lambda run: _located(run, healthy(run) + lesion(run) + unlabeled(run)),
        lambda run: facts(
            run,
            "folds seed",
            methods=run.locating_methods,
            datasets=run.labels_and_sites(healthy(run) + lesion(run) + unlabeled(run)),
            training=run.training_data,
        ),
        kinds=("table", "figure"),
        resources=LARGE,
    ),
    Output(
        "healthy_checks",
        "Predicted variances, confused sides and errors near the brain's edge in healthy test scans: table and figure.",
        "patch2loc.figures.healthy_checks",
        lambda run: _located(run, healthy(run)),
        lambda run: facts(
            run,
            "folds seed",
            methods=run.locating_methods,
            all_methods=run.evaluated_methods,
            datasets=run.labels(healthy(run)),
            atlas=run.atlas,
            grid=run.config["grid"],
            crop=run.config["preprocess"]["crop"],
        ),
        kinds=("table", "figure"),
        resources=LARGE,
    ),
    Output(
        "comparison",
        "Every pair of methods on the same scans: differences, intervals, tests.",
        "patch2loc.tables.comparison",
        lambda run: {"metrics": metrics_of(run, lesion_or_joint(run), competing(run.evaluated_methods))},
        lambda run: facts(
            run,
            "folds seed protocol",
            methods=competing(run.evaluated_methods),
            datasets=run.labels(lesion_or_joint(run)),
        ),
        need=LESION,
        resources=SMALL,
    ),
    Output(
        "by_volume",
        "Results by the volume of a scan's lesions.",
        "patch2loc.tables.by_volume",
        lambda run: {"metrics": metrics_of(run, lesion_or_joint(run), run.evaluated_methods)},
        lambda run: facts(run, OVER_SUBJECTS, datasets=run.labels(lesion_or_joint(run))),
        need=LESION,
        resources=SMALL,
    ),
    Output(
        "released_code",
        "Effect of the released code's choices: bisected best Dice, background at 0.",
        "patch2loc.tables.released_code",
        lambda run: {"metrics": metrics_of(run, lesion(run), run.scored_methods, "released_code")},
        lambda run: facts(
            run,
            "folds seed",
            methods=run.scored_methods,
            datasets=run.labels(lesion(run)),
            protocol=run.protocol_by(OURS),
        ),
        need=LESION,
        resources=SMALL,
    ),
    Output(
        "seeds",
        "Spread over the seeds of one fold beside that over folds.",
        "patch2loc.tables.seeds",
        lambda run: {
            "metrics": every(run.results.metrics(), lesion(run), run.repeated_methods, run.trainings)
        },
        lambda run: facts(
            run,
            "seed protocol",
            methods=run.repeated_methods,
            datasets=run.labels(lesion(run)),
            folds=run.trainings,
        ),
        need=SEEDS,
        resources=SMALL,
    ),
    Output(
        "methods",
        "Heatmaps of every method in one slice of each lesion dataset.",
        "patch2loc.figures.method_maps",
        lambda run: {
            "heatmaps": of_first_fold(run, run.results.heatmaps(), lesion(run), run.scored_methods),
            "metrics": of_first_fold(run, run.results.metrics(), lesion(run)),
        },
        lambda run: facts(
            run, "preprocessed truth color_map", methods=run.scored_methods, datasets=run.labels(lesion(run))
        ),
        need=LESION,
        kinds=("figure",),
        resources={"mem_mb": 3000},
    ),
    Output(
        "curves",
        "Precision-recall and Dice-threshold curves of every method and lesion dataset.",
        "patch2loc.figures.curves",
        lambda run: {
            "curves": of_first_fold(
                run, run.results.metrics(kind="curves"), lesion(run), run.evaluated_methods
            ),
            "metrics": of_first_fold(run, run.results.metrics(), lesion(run), run.evaluated_methods[:1]),
        },
        lambda run: facts(run, "methods", datasets=run.labels(lesion(run))),
        need=LESION,
        kinds=("figure",),
    ),
    Output(
        "subjects",
        "AUPRC and best Dice of every subject against lesion volume.",
        "patch2loc.figures.subject_scatter",
        lambda run: {"metrics": metrics_of(run, lesion(run), run.evaluated_methods)},
        lambda run: facts(run, "methods folds", datasets=run.labels(lesion(run))),
        need=LESION,
        kinds=("figure",),
    ),
    # Without combinations, which have no training whose cost could be shown.
    Output(
        "cost",
        "AUPRC against the time of training and of scoring a scan.",
        "patch2loc.figures.cost",
        lambda run: {
            "metrics": metrics_of(run, lesion(run), table_rows(run.methods)),
            **_of_trainings(run, run.methods, run.folds),
        },
        lambda run: facts(
            run,
            "folds seed",
            methods=table_rows(run.methods),
            datasets=run.labels(lesion(run)),
            modalities=lesion_modalities(run),
        ),
        need=LESION,
        kinds=("figure",),
    ),
    Output(
        "folds",
        "Best Dice and AUPRC of every fold beside the mean over folds.",
        "patch2loc.figures.fold_spread",
        lambda run: {"metrics": metrics_of(run, lesion(run), run.evaluated_methods)},
        lambda run: facts(run, "methods folds", datasets=run.labels(lesion(run))),
        need=FOLDS,
        kinds=("figure",),
    ),
    # Trainings of folds and of further seeds alike.
    Output(
        "ablations",
        "Each variant against its method: detection, location error and cost, table and figure.",
        "patch2loc.figures.ablations",
        lambda run: {
            "metrics": every(run.results.metrics(), lesion(run), run.ablation_rows, run.trainings),
            **_of_trainings(run, _ablated(run), run.trainings),
        },
        lambda run: facts(
            run,
            "seed protocol",
            rows=run.ablation_rows,
            trained=_ablated(run),
            combinations=_combined(run),
            datasets=run.labels(lesion(run)),
            modalities=lesion_modalities(run),
            folds=run.trainings,
        ),
        need=VARIANTS,
        kinds=("table", "figure"),
        resources={"mem_mb": 2000, "runtime": 30},
    ),
    Output(
        "controlled",
        "Controlled lesions by change, size and amount, and location against intensity: table and figure.",
        "patch2loc.figures.controlled",
        lambda run: _detection(run, _controlled(run)),
        lambda run: facts(run, OVER_SUBJECTS, datasets=run.labels_and_lesions(_controlled(run))),
        need=CONTROLLED,
        kinds=("table", "figure"),
        resources=SMALL,
    ),
    Output(
        "by_site",
        "Results by the site of a scan, of the datasets whose lists name it.",
        "patch2loc.tables.by_site",
        lambda run: _detection(run, run.datasets_with_sites),
        lambda run: facts(run, OVER_SUBJECTS, datasets=run.labels_and_sites(run.datasets_with_sites)),
        need=SITES,
        resources=SMALL,
    ),
    Output(
        "cases",
        "Every lesion scan by itself: metrics, location error in healthy tissue, lesion volume lost.",
        "patch2loc.tables.cases",
        lambda run: {"metrics": metrics_of(run, lesion_or_joint(run), run.evaluated_methods)},
        lambda run: facts(run, "methods folds", datasets=run.labels(lesion_or_joint(run))),
        need=LESION,
        kinds=("markdown",),
        in_report=False,  # too long
        resources=SMALL,
    ),
    Output(
        "parts",
        "Log-error, log-variance and score as detectors, by epsilon, filter and stride; scores at the brain's edge.",
        "patch2loc.figures.parts",
        lambda run: {"parts": every(run.results.parts(), run.labeled_datasets, ["patch2loc"], run.trainings)},
        lambda run: facts(
            run,
            "seed protocol",
            own={name: own_setting(run.config, run.median_filter(name)) for name in run.labeled_datasets},
            datasets=run.labels(run.labeled_datasets),
            folds=run.trainings,
        ),
        kinds=("table", "figure"),
        on_request=True,
        resources=LARGE,
    ),
)


class Outputs:
    """The tables and figures of a run.

    Attributes:
        all: Those that can be asked for, by name.
        made: Those that a whole run makes, the paper's figures first.
    """

    def __init__(self, run: "Run") -> None:
        outputs = [*PAPERS_FIGURES, *lesion_figures(run), *OUTPUTS]
        self.all = {output.name: output for output in outputs}
        self.made = [output for output in outputs if output.is_made(run)]

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
