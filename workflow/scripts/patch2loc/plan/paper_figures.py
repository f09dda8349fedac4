"""The paper's figures: what each is made from."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from patch2loc.data.vocabulary import DatasetInfo
from patch2loc.plan.dataset_groups import healthy, labels, lesion
from patch2loc.plan.output import LESION, Output, facts, of_first_fold
from patch2loc.plan.plan import Plan
from patch2loc.plan.preprocess import cohort
from patch2loc.plan.score import model

PAPERS_ORDER = ("BraTS21", "MSLUB", "ATLAS", "WMH", None)  # published names of lesion datasets
FIRST_LESION_FIGURE = 8  # the first of the figures that show one lesion dataset each


def published_names(plan: Plan) -> dict[str, str | None]:
    """Name of each lesion dataset in the paper."""
    return {name: plan.datasets[name].settings["published_name"] for name in lesion(plan)}


def tumor_dataset(plan: Plan) -> str:
    """The lesion dataset of figures 1 to 3."""
    names = published_names(plan)
    return next((name for name in names if names[name] == PAPERS_ORDER[0]), next(iter(names)))


def in_papers_order(plan: Plan) -> list[str]:
    """Lesion datasets, those of the paper first."""
    names = published_names(plan)
    return sorted(names, key=lambda name: PAPERS_ORDER.index(names[name]))


def _densities(plan: Plan, datasets: Iterable[str]) -> dict[str, Any]:
    densities = plan.config["figures"]["densities"]
    return facts(plan, "seed", datasets=list(labels(plan, datasets).values()), densities=densities)


def _label(plan: Plan, dataset: str) -> DatasetInfo:
    return labels(plan, [dataset])[dataset]


def _lesion_scans(
    number: int, about: str, datasets: Callable[[Plan], list[str]], rows: int, caption: str = ""
) -> Output:
    """A figure of scans with lesions."""
    return Output(
        f"fig{number}",
        about,
        "patch2loc.figures.lesion_scans",
        lambda plan: {
            "metrics": of_first_fold(plan, plan.results.metrics(), datasets(plan)),
            "heatmaps": of_first_fold(plan, plan.results.heatmaps(), datasets(plan)),
        },
        lambda plan: facts(
            plan, "preprocessed truth color_map", datasets=labels(plan, datasets(plan)), rows=rows
        ),
        need=LESION,
        kinds=("figure",),
        number=number,
        caption=caption,
    )


def _healthy_scans(number: int, about: str, rows: int) -> Output:
    """A figure of healthy scans."""
    return Output(
        f"fig{number}",
        about,
        "patch2loc.figures.healthy_scans",
        lambda plan: {"heatmaps": of_first_fold(plan, plan.results.heatmaps(), healthy(plan))},
        lambda plan: facts(
            plan,
            "preprocessed color_map",
            datasets=labels(plan, healthy(plan)),
            subjects={name: plan.datasets[name].subjects(plan.folds[0]) for name in healthy(plan)},
            rows=rows,
        ),
        kinds=("figure",),
        number=number,
    )


PAPERS_FIGURES = (
    Output(
        "fig1",
        "Figure 1: training and inference, drawn with scans, model and numbers of the run.",
        "patch2loc.figures.schematic",
        lambda plan: {
            "model": model(plan, "patch2loc", tumor_dataset(plan), plan.folds[0]),
            "healthy": cohort(plan, plan.datasets[tumor_dataset(plan)].healthy, plan.folds[0], role="test"),
            "metrics": of_first_fold(plan, plan.results.metrics(), [tumor_dataset(plan)]),
        },
        lambda plan: facts(
            plan,
            "truth color_map",
            healthy=_label(plan, plan.datasets[tumor_dataset(plan)].healthy),
            lesion=_label(plan, tumor_dataset(plan)),
            preprocessed=plan.results.preprocessed_dataset(tumor_dataset(plan)),
            stride=plan.config["score"]["stride"],
        ),
        need=LESION,
        kinds=("figure",),
        number=1,
        environment="network",
        resources={"mem_mb": 3000},
    ),
    Output(
        "fig2",
        "Figure 2: predicted locations of normal and abnormal patches from the same places.",
        "patch2loc.figures.ellipses",
        lambda plan: {
            "patches": of_first_fold(plan, plan.results.patches(), [tumor_dataset(plan)]),
            "healthy": of_first_fold(
                plan, plan.results.patches(), [plan.datasets[tumor_dataset(plan)].healthy]
            ),
            "background": cohort(
                plan, plan.datasets[tumor_dataset(plan)].healthy, plan.folds[0], role="test"
            ),
        },
        lambda plan: facts(plan, "seed", about=_label(plan, tumor_dataset(plan)), patch=plan.config["patch"]),
        need=LESION,
        kinds=("figure",),
        number=2,
    ),
    Output(
        "fig3",
        "Figure 3: distributions of log-error, log-variance and score, tumors.",
        "patch2loc.figures.kde",
        lambda plan: {"patches": of_first_fold(plan, plan.results.patches(), [tumor_dataset(plan)])},
        lambda plan: _densities(plan, [tumor_dataset(plan)]),
        need=LESION,
        kinds=("figure",),
        number=3,
    ),
    _lesion_scans(4, "Figure 4: scan, heatmap and truth, one subject of each dataset.", lesion, rows=1),
    _healthy_scans(5, "Figure 5: heatmaps of healthy test scans.", rows=4),
    Output(
        "fig6",
        "Figure 6: distributions as in figure 3, every dataset and the healthy test scans.",
        "patch2loc.figures.kde",
        lambda plan: {"patches": of_first_fold(plan, plan.results.patches(), lesion(plan) + healthy(plan))},
        lambda plan: _densities(plan, lesion(plan) + healthy(plan)),
        need=LESION,
        kinds=("figure",),
        number=6,
    ),
    _healthy_scans(7, "Figure 7: more heatmaps of healthy test scans.", rows=8),
)


def lesion_figures(plan: Plan) -> list[Output]:
    """Figures 8 and on, one for each lesion dataset."""
    about = "Scan, heatmap and truth of several subjects of a lesion dataset."
    return [
        _lesion_scans(number, about, partial(_only, name), rows=5, caption="lesion_scans")
        for number, name in enumerate(in_papers_order(plan), start=FIRST_LESION_FIGURE)
    ]


def _only(dataset: str, _plan: Plan) -> list[str]:
    return [dataset]
