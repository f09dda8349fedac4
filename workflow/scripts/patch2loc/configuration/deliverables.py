"""The tables and figures of a run, and the notes of tables on how their numbers were computed."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from patch2loc.configuration.combinations import Combination, combinations_note
from patch2loc.configuration.datasets import Datasets, names_with_role
from patch2loc.configuration.vocabulary import Configuration
from patch2loc.data.vocabulary import Truth
from patch2loc.metrics.released_code import MetricChoices

PAPERS_ORDER = ("BraTS21", "MSLUB", "ATLAS", "WMH", None)  # published names of lesion datasets
LEAST_FILLED: dict[Truth, str] = {"half": "at least half", "any": "any"}  # of a voxel that is lesion
# Where metrics are computed, by the background and the lesion off the grid.
WHERE = {
    (
        "left-out",
        "missed",
    ): "inside the brain mask, lesion voxels outside it or off the grid counted as missed",
    (
        "left-out",
        "ignored",
    ): "inside the brain mask, lesion voxels outside it counted as missed, off the grid ignored",
    (
        "zero",
        "missed",
    ): "over the whole grid, voxels outside the brain scored 0, lesion off it counted as missed",
    ("zero", "ignored"): "over the whole grid, voxels outside the brain scored 0, lesion off it ignored",
}
FIRST_LESION_FIGURE = 8  # the first of the figures that show one lesion dataset each


class Deliverables(NamedTuple):
    """Tables and figures of a run.

    Attributes:
        tables: Names of the tables in the report.
        long_tables: Names of the tables that are too long for it.
        lesion_figures: Dataset of each figure from 8 on, by the figure's number.
        figures: Numbers of the paper's figures.
        further_figures: Names of the figures that the paper does not have.
        tumor_dataset: The lesion dataset of figures 1 to 3, or None.
    """

    tables: tuple[str, ...]
    long_tables: tuple[str, ...]
    lesion_figures: dict[int, str]
    figures: tuple[int, ...]
    further_figures: tuple[str, ...]
    tumor_dataset: str | None

    @property
    def table_names(self) -> list[str]:
        """Names of all tables."""
        return [*self.tables, *self.long_tables]

    @property
    def figure_names(self) -> list[str]:
        """Names of all figures but the learning curves."""
        return [*(f"fig{number}" for number in self.figures), *self.further_figures]

    def caption(self, number: int) -> str:
        """Name of the caption in workflow/report of one of the paper's figures."""
        return "lesion_scans" if number in self.lesion_figures else f"fig{number}"


def deliverables(
    datasets: Datasets,
    folds: Sequence[int],
    seeds: int = 1,
    *,
    detector: bool = False,
    variants: bool = False,
) -> Deliverables:
    """Tables and figures of a run.

    A run without lesions has only heatmaps of healthy scans, false positives, the domain shift and the healthy checks
    to show. Lesion datasets of the paper come first, in its order.

    Args:
        datasets: Of the run.
        folds: Of the run.
        seeds: Number of trainings of the first fold.
        detector: True if the run makes a detector, which answers about scans without truth.
        variants: True if the run has variants of its methods.
    """
    published_names = {
        name: datasets[name].settings["published_name"] for name in names_with_role(datasets, "lesion")
    }
    lesion_datasets = sorted(published_names, key=lambda name: PAPERS_ORDER.index(published_names[name]))
    has_sites = any(dataset.sites for dataset in datasets.values() if dataset.role != "unlabeled")
    by_site = ("by_site",) if has_sites else ()
    controlled = ("controlled",) if any(each.kind == "controlled" for each in datasets.values()) else ()
    patients = ("patients",) if detector and names_with_role(datasets, "unlabeled") else ()
    if not lesion_datasets:
        return Deliverables(
            tables=(*patients, "thresholds", "domain_shift", "healthy_checks", *by_site),
            long_tables=(),
            lesion_figures={},
            figures=(5, 7),
            further_figures=("domain_shift", "healthy_checks"),
            tumor_dataset=None,
        )
    lesion_figures = dict(enumerate(lesion_datasets, start=FIRST_LESION_FIGURE))
    return Deliverables(
        tables=(
            *("table1", "table2", *patients, "thresholds", "domain_shift", "healthy_checks"),
            *("comparison", "by_volume", "released_code"),
            *(("seeds",) if seeds > 1 else ()),
            *(("ablations",) if variants else ()),
            *controlled,
            *by_site,
        ),
        long_tables=("cases",),
        lesion_figures=lesion_figures,
        figures=(*range(1, FIRST_LESION_FIGURE), *lesion_figures),
        further_figures=(
            *("domain_shift", "healthy_checks", "methods", "curves", "subjects", "cost"),
            *(("folds",) if len(folds) > 1 else ()),
            *(("ablations",) if variants else ()),
            *controlled,
        ),
        tumor_dataset=next(
            (name for name in published_names if published_names[name] == PAPERS_ORDER[0]),
            next(iter(published_names)),
        ),
    )


def protocol(
    config: Configuration,
    combinations: Mapping[str, Combination],
    *notes: str,
    metrics: MetricChoices | None = None,
) -> str:
    """A few sentences for tables on how their numbers were computed.

    Args:
        config: The run's configuration.
        combinations: The combinations of the run.
        *notes: Further sentences; empty ones are left out.
        metrics: Choices behind the metrics of these tables; those of the run if None.
    """
    metrics = metrics or config["metrics"]
    score = config["score"]
    of_healthy = score["median_filter_healthy"]
    filter_of_healthy = "" if of_healthy is None else f" (of healthy test scans {of_healthy})"
    best_dice = {
        "exact": "exact best Dice over all thresholds",
        "bisection": "best Dice by ten steps of bisection",
    }
    sentences = (
        f"Per subject {WHERE[metrics['background'], metrics['off_grid']]}; a voxel "
        f"of the grid is lesion if lesion fills {LEAST_FILLED[config['truth']]} of it; "
        f"{config['grid']['spacing']:g} mm, median filter of {score['median_filter']} voxels in each "
        f"direction{filter_of_healthy}, stride {score['stride']}; {best_dice[metrics['best_dice']]}; "
        f"{len(config['folds'])} fold(s); network {config['training']['network']}, "
        f"{config['training']['patches']:,} training patches.",
        *notes,
        combinations_note(combinations),
    )
    return " ".join(sentence for sentence in sentences if sentence)
