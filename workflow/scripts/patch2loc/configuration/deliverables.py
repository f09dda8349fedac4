"""Which tables and figures a run makes, and what their notes say of how the numbers were computed."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from patch2loc.configuration.combinations import combinations_note
from patch2loc.configuration.datasets import Datasets, names_of

PAPERS_ORDER = ("BraTS21", "MSLUB", "ATLAS", "WMH", None)  # published names of lesion datasets
FIRST_LESION_FIGURE = 8  # of one dataset each


class Deliverables(NamedTuple):
    """What a run makes for people to read.

    Attributes:
        tables: names of those in the report.
        lists: names of those that are too long for it.
        lesion_figures: dataset of each figure from 8 on, by the figure's number.
        figures: numbers of the paper's figures.
        further_figures: names of those that the paper does not have.
        tumors: the lesion dataset of figures 1 to 3, or None.
    """

    tables: tuple[str, ...]
    lists: tuple[str, ...]
    lesion_figures: dict[int, str]
    figures: tuple[int, ...]
    further_figures: tuple[str, ...]
    tumors: str | None

    @property
    def table_names(self) -> list[str]:
        """Names of all tables."""
        return [*self.tables, *self.lists]

    @property
    def figure_names(self) -> list[str]:
        """Names of all figures but the learning curves."""
        return [*(f"fig{number}" for number in self.figures), *self.further_figures]

    def caption(self, number: int) -> str:
        """Name of a figure's caption in workflow/report, by the figure's number."""
        return "lesion_scans" if number in self.lesion_figures else f"fig{number}"


def deliverables(datasets: Datasets, folds: Sequence[int]) -> Deliverables:
    """Tables and figures of a run.

    Without lesions, heatmaps of healthy scans and false positives are all there is to show.  Of lesion datasets, those
    of the paper come first, in its order.
    """
    published = {name: datasets[name].settings["published_name"] for name in names_of(datasets, "lesion")}
    lesion = sorted(published, key=lambda name: PAPERS_ORDER.index(published[name]))
    sites = any(dataset.sites for dataset in datasets.values() if dataset.role != "unlabeled")
    by_site = ("by_site",) if sites else ()
    if not lesion:
        return Deliverables(("thresholds", "domain_shift", *by_site), (), {}, (5, 7), ("domain_shift",), None)
    lesion_figures = dict(enumerate(lesion, start=FIRST_LESION_FIGURE))
    return Deliverables(
        tables=(
            *("table1", "table2", "thresholds", "domain_shift", "comparison", "by_volume", "released_code"),
            *by_site,
        ),
        lists=("cases",),
        lesion_figures=lesion_figures,
        figures=(*range(1, FIRST_LESION_FIGURE), *lesion_figures),
        further_figures=(
            *("domain_shift", "methods", "curves", "subjects", "cost"),
            *(("folds",) if len(folds) > 1 else ()),
        ),
        tumors=next(
            (name for name in published if published[name] == PAPERS_ORDER[0]), next(iter(published))
        ),
    )


def protocol(config: Mapping[str, Any], combinations: Mapping[str, Mapping[str, Any]], *notes: str) -> str:
    """How the numbers of the tables were computed, in a few sentences.

    combinations: those of the run.  notes: what else there is to say; empty ones are left out.
    """
    sentences = (
        "Per subject inside the brain mask, lesion voxels outside it or off the grid counted as missed; "
        f"{config['grid']['spacing']:g} mm, median filter of {config['score']['median_filter']} voxels in each "
        f"direction, stride {config['score']['stride']}; exact best Dice over all thresholds; "
        f"{len(config['folds'])} fold(s); network {config['training']['network']}, "
        f"{config['training']['patches']:,} training patches.",
        *notes,
        combinations_note(combinations),
    )
    return " ".join(sentence for sentence in sentences if sentence)
