"""What a person is told of a planned run before anything is computed: notes, each a few sentences."""

from collections.abc import Mapping

from patch2loc.configuration.combinations import left_out_note
from patch2loc.configuration.keys import GridSettings
from patch2loc.configuration.presets import whole_brain_shape
from patch2loc.plan import missing_scans
from patch2loc.plan.dataset_groups import unlabeled
from patch2loc.plan.datasets import DESCRIBED, PlannedDataset
from patch2loc.plan.detector import ZSCORE, has_detector
from patch2loc.plan.earlier_results import earlier_results_note
from patch2loc.plan.joint import incomplete_notes, unavailable_note
from patch2loc.plan.leakage import overlap_notes
from patch2loc.plan.plan import Plan
from patch2loc.plan.selection_notes import selection_notes

PLANNING_SECONDS = 0.004  # a scan, of Snakemake 9 (docs/explanation/scale.md)


def planning_notes(plan: Plan) -> list[str]:
    """What a person should know before anything is computed."""
    overlaps = overlap_notes(plan.datasets, plan.folds)
    notes = (
        without_note(plan),
        plan.data.passes_over and missing_scans.planning_note(plan.listed_datasets, plan.datasets),
        unused_settings_note(plan),
        left_out_note(plan.config["combinations"], plan.trained_methods),
        unavailable_note(plan.config["joint"], plan.datasets),
        *incomplete_notes(plan.joint),
        overlaps and f"Published subject lists, used as they are. {overlaps}",
        plan.data.fallback_warning(plan.methods),
        "" if plan.data.passes_over else plan.data.fetch_note,
        planning_time_note(sum(len(dataset.scans) for dataset in plan.datasets.values())),
        *(note for dataset in plan.datasets.values() for note in selection_notes(dataset)),
        off_grid_note(plan.config["grid"], plan.datasets),
        no_answers_note(plan),
        earlier_results_note(plan.results.root, plan.datasets, plan.folds, plan.config["grid"]),
    )
    return [note for note in notes if note]


def as_told(note: str) -> str:
    """A note as it is printed: its lines belong together; an estimate says by itself what it is."""
    indented = note.replace("\n", "\n  ")
    return note if note.startswith("Estimate: ") else f"Note: {indented}"


def without_note(plan: Plan) -> str:
    """A sentence on the datasets that `without` leaves out, by name or by their modality; "" for none."""
    named = plan.config["without"]
    others = [
        name for name in plan.config["datasets"] if name not in plan.listed_datasets and name not in named
    ]
    with_them = f", and with their training data {', '.join(others)}" if others else ""
    return f"Left out, as `without` says: {', '.join(named)}{with_them}." if named else ""


def unused_settings_note(plan: Plan) -> str:
    """A sentence on settings of methods that the run does not have, of a configuration below it; "" without any."""
    unused = sorted(set(plan.config["method_settings"]) - set(plan.methods))
    return f"method_settings of {', '.join(unused)}, not among `methods`: not used." if unused else ""


def no_answers_note(plan: Plan) -> str:
    """A sentence on scans without truth that get heatmaps and no answers; "" where there are none."""
    scans = unlabeled(plan)
    if has_detector(plan) or not scans:
        return ""
    return (
        f"{', '.join(scans)}: heatmaps, but no answers (tables/patients.csv), which need detector.method "
        f"({plan.config['detector']['method']}) and {ZSCORE} among `methods`."
    )


def missing_note(plan: Plan) -> str:
    """A sentence on whose scans are passed over because they are not there; "" for nobody's."""
    return missing_scans.sentence(plan.listed_datasets, plan.datasets) if plan.data.passes_over else ""


def unused_scans_note(plan: Plan) -> str:
    """Which scans preprocessing has left out, and why; "" without any."""
    reasons = [
        f"\n{name}, {scan}: {reason}"
        for name, dataset in plan.datasets.items()
        for scan in dataset.scans
        if (reason := dataset.left_out(scan))
    ]
    if not reasons:
        return ""
    count = sum(len(dataset.scans) for dataset in plan.datasets.values())
    return (
        f"{len(reasons)} of {count} scans were left out. Mend them, or list them under `leave_out` of their dataset, "
        f"before the whole run.{''.join(reasons)}"
    )


def off_grid_note(grid: GridSettings, datasets: Mapping[str, PlannedDataset]) -> str:
    """A sentence on a grid that cuts off a part of the brain, of a run with own scans; "" without them.

    The datasets of the paper, and others of the registry, keep the grid of what they are compared with.
    """
    own = [
        name
        for name, dataset in datasets.items()
        if dataset.kind in DESCRIBED and "registry" not in dataset.source
    ]
    whole = whole_brain_shape(grid["spacing"])
    if not own or all(size >= needed for size, needed in zip(grid["shape"], whole, strict=True)):
        return ""
    return (
        f"grid.shape: {grid['shape']} voxels of {grid['spacing']:g} mm found, which cut off a part of the brain of "
        f"{', '.join(own)}; `grid: {{shape: whole-brain}}` ({whole}) holds all of it."
    )


def planning_time_note(scans: int) -> str:
    """How long Snakemake plans many scans, which it does without a word; "" for fewer."""
    minutes = scans * PLANNING_SECONDS / 60
    return f"{scans:,} scans: planning takes Snakemake about {minutes:.0f} minutes." if minutes >= 1 else ""
