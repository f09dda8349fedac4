"""The notes of tables on how their numbers were computed."""

from collections.abc import Mapping
from functools import cache
from typing import cast

from patch2loc.configuration.combinations import combinations_note
from patch2loc.configuration.prerequisites import fallback_note
from patch2loc.data.vocabulary import Truth
from patch2loc.metrics.released_code import MetricChoices
from patch2loc.plan import missing_scans
from patch2loc.plan.joint import joint_note
from patch2loc.plan.leakage import overlap_notes
from patch2loc.plan.plan import Plan

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


def protocol(plan: Plan, metrics: MetricChoices | None = None) -> str:
    """A few sentences for tables on how their numbers were computed.

    Args:
        plan: Plan of the run.
        metrics: Choices behind the metrics of these tables; those of the run if None.
    """
    config = plan.config
    metrics = metrics or config["metrics"]
    score = config["score"]
    of_healthy = score["median_filter_healthy"]
    filter_of_healthy = "" if of_healthy is None else f" (of healthy test scans {of_healthy})"
    best_dice = {
        "exact": "exact best Dice over all thresholds",
        "bisection": "best Dice by ten steps of bisection",
    }
    combinations = {
        name: plan.combinations[name] for name in plan.scored_methods if name in plan.combinations
    }
    sentences = (
        f"Per subject {WHERE[metrics['background'], metrics['off_grid']]}; a voxel "
        f"of the grid is lesion if lesion fills {LEAST_FILLED[config['truth']]} of it; "
        f"{config['grid']['spacing']:g} mm, median filter of {score['median_filter']} voxels in each "
        f"direction{filter_of_healthy}, stride {score['stride']}; {best_dice[metrics['best_dice']]}; "
        f"{len(config['folds'])} fold(s); network {config['training']['network']}, "
        f"{config['training']['patches']:,} training patches.",
        *_notes_on_data(plan),
        combinations_note(combinations),
    )
    return " ".join(sentence for sentence in sentences if sentence)


@cache
def _notes_on_data(plan: Plan) -> tuple[str, ...]:
    """Sentences on missing scans, overlapping lists, missing weights and joint datasets; "" where there are none."""
    passed_over = missing_scans.caption(plan.listed_datasets, plan.datasets) if plan.data.passes_over else ""
    return (
        passed_over,
        overlap_notes(plan.datasets, plan.folds),
        fallback_note(plan.methods, cast(Mapping[str, str | None], plan.config["pretrained"])),
        joint_note(plan.joint),
    )
