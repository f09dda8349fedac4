"""The paper's figures: what each is made from."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from patch2loc.configuration.output import LESION, Output, facts, healthy, lesion, of_first_fold
from patch2loc.data.vocabulary import DatasetInfo

if TYPE_CHECKING:
    from patch2loc.configuration.run import Run

PAPERS_ORDER = ("BraTS21", "MSLUB", "ATLAS", "WMH", None)  # published names of lesion datasets
FIRST_LESION_FIGURE = 8  # the first of the figures that show one lesion dataset each


def published_names(run: "Run") -> dict[str, str | None]:
    """Name of each lesion dataset in the paper."""
    return {name: run.datasets[name].settings["published_name"] for name in lesion(run)}


def tumor_dataset(run: "Run") -> str:
    """The lesion dataset of figures 1 to 3."""
    names = published_names(run)
    return next((name for name in names if names[name] == PAPERS_ORDER[0]), next(iter(names)))


def in_papers_order(run: "Run") -> list[str]:
    """Lesion datasets, those of the paper first."""
    names = published_names(run)
    return sorted(names, key=lambda name: PAPERS_ORDER.index(names[name]))


def _densities(run: "Run", datasets: Iterable[str]) -> dict[str, Any]:
    densities = run.config["figures"]["densities"]
    return facts(run, "seed", datasets=list(run.labels(datasets).values()), densities=densities)


def _label(run: "Run", dataset: str) -> DatasetInfo:
    return run.labels([dataset])[dataset]


def _lesion_scans(
    number: int, about: str, datasets: Callable[["Run"], list[str]], rows: int, caption: str = ""
) -> Output:
    """A figure of scans with lesions."""
    return Output(
        f"fig{number}",
        about,
        "patch2loc.figures.lesion_scans",
        lambda run: {
            "metrics": of_first_fold(run, run.results.metrics(), datasets(run)),
            "heatmaps": of_first_fold(run, run.results.heatmaps(), datasets(run)),
        },
        lambda run: facts(run, "preprocessed truth color_map", datasets=run.labels(datasets(run)), rows=rows),
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
        lambda run: {"heatmaps": of_first_fold(run, run.results.heatmaps(), healthy(run))},
        lambda run: facts(
            run,
            "preprocessed color_map",
            datasets=run.labels(healthy(run)),
            subjects={name: run.datasets[name].subjects(run.folds[0]) for name in healthy(run)},
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
        lambda run: {
            "model": run.model("patch2loc", tumor_dataset(run), run.folds[0]),
            "healthy": run.cohort(run.training_dataset(tumor_dataset(run)), run.folds[0], role="test"),
            "metrics": of_first_fold(run, run.results.metrics(), [tumor_dataset(run)]),
        },
        lambda run: facts(
            run,
            "truth color_map",
            healthy=_label(run, run.training_dataset(tumor_dataset(run))),
            lesion=_label(run, tumor_dataset(run)),
            preprocessed=run.results.preprocessed_dataset(tumor_dataset(run)),
            stride=run.config["score"]["stride"],
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
        lambda run: {
            "patches": of_first_fold(run, run.results.patches(), [tumor_dataset(run)]),
            "healthy": of_first_fold(run, run.results.patches(), [run.training_dataset(tumor_dataset(run))]),
            "background": run.cohort(run.training_dataset(tumor_dataset(run)), run.folds[0], role="test"),
        },
        lambda run: facts(run, "seed", about=_label(run, tumor_dataset(run)), patch=run.config["patch"]),
        need=LESION,
        kinds=("figure",),
        number=2,
    ),
    Output(
        "fig3",
        "Figure 3: distributions of log-error, log-variance and score, tumors.",
        "patch2loc.figures.kde",
        lambda run: {"patches": of_first_fold(run, run.results.patches(), [tumor_dataset(run)])},
        lambda run: _densities(run, [tumor_dataset(run)]),
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
        lambda run: {"patches": of_first_fold(run, run.results.patches(), lesion(run) + healthy(run))},
        lambda run: _densities(run, lesion(run) + healthy(run)),
        need=LESION,
        kinds=("figure",),
        number=6,
    ),
    _healthy_scans(7, "Figure 7: more heatmaps of healthy test scans.", rows=8),
)


def lesion_figures(run: "Run") -> list[Output]:
    """Figures 8 and on, one for each lesion dataset."""
    about = "Scan, heatmap and truth of several subjects of a lesion dataset."
    return [
        _lesion_scans(number, about, partial(_only, name), rows=5, caption="lesion_scans")
        for number, name in enumerate(in_papers_order(run), start=FIRST_LESION_FIGURE)
    ]


def _only(dataset: str, _run: "Run") -> list[str]:
    return [dataset]
