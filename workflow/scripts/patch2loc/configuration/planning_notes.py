"""What a person is told of a planned run before anything is computed: notes, each a few sentences."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from patch2loc.configuration import missing_scans
from patch2loc.configuration.combinations import left_out_note
from patch2loc.configuration.datasets import DESCRIBED, PlannedDataset, names_with_role
from patch2loc.configuration.earlier_results import earlier_results_note
from patch2loc.configuration.estimated_hours import Work, estimate_note, remaining_work
from patch2loc.configuration.joint import incomplete_notes, unavailable_note
from patch2loc.configuration.presets import whole_brain_shape
from patch2loc.configuration.run import ZSCORE, Run
from patch2loc.configuration.selection_notes import selection_notes
from patch2loc.configuration.vocabulary import GridSettings

PLANNING_SECONDS = 0.004  # a scan, of Snakemake 9 (docs/explanation/scale.md)


# Options of Snakemake by which it computes nothing that takes hours, and a target that does not either.
COMPUTES_NOTHING = {
    *("--list-target-rules", "--lt", "--list-rules", "--list", "-l", "--lint", "--unlock", "--containerize"),
    *("--summary", "-S", "--detailed-summary", "-D", "--dag", "--rulegraph", "--filegraph", "--d3dag"),
    *("--report", "--touch", "-t", "--delete-all-output", "--delete-temp-output", "--list-changes", "--lc"),
    *("--list-input-changes", "--list-untracked", "--lu", "--cleanup-metadata", "--cm", "--conda-list-envs"),
    *("--conda-create-envs-only", "--conda-cleanup-envs", "--archive", "--print-compilation"),
}
DATA, QUALITY = "data", "quality"  # targets


def computes_here(words: Sequence[str], cluster_jobs: int | None) -> bool:
    """True if a call of Snakemake computes results, or plans to, with the processors of this machine.

    Args:
        words: Its command line, without the program.
        cluster_jobs: Most jobs at once on a cluster; None without a cluster.
    """
    options = {word.partition("=")[0] for word in words}
    return cluster_jobs is None and COMPUTES_NOTHING.isdisjoint(options) and not asks_for(DATA, words)


def asks_for(target: str, words: Sequence[str]) -> bool:
    """True if a call of Snakemake names a target; words: of its command line, without the program."""
    return any(
        word == target and before not in ("-d", "--directory") for before, word in pairwise(["", *words])
    )


def notes_before_run(run: Run, words: Sequence[str], *, nodes: int | None) -> list[str]:
    """Notes on a run that a call of Snakemake asks for; arguments as for `planning_notes` and `computes_here`."""
    return planning_notes(
        run, estimated=computes_here(words, nodes), only_preprocessed=asks_for(QUALITY, words)
    )


def planning_notes(run: Run, *, estimated: bool = True, only_preprocessed: bool = False) -> list[str]:
    """What a person should know before anything is computed.

    Args:
        run: The run.
        estimated: With the hours on this machine.
        only_preprocessed: Nothing but the preprocessing is asked for.
    """
    overlaps = run.overlap_notes and f"Published subject lists, used as they are. {run.overlap_notes}"
    notes = (
        without_note(run),
        run.skips_missing and missing_scans.planning_note(run.listed_datasets, run.datasets),
        unused_settings_note(run),
        left_out_note(run.config["combinations"], run.trained_methods),
        unavailable_note(run.config["joint"], run.datasets),
        *incomplete_notes(run.joint),
        overlaps,
        run.data.fallback_warning(run.methods),
        "" if run.skips_missing else run.data.fetch_note,
        planning_time_note(sum(len(dataset.scans) for dataset in run.datasets.values())),
        *(note for dataset in run.datasets.values() for note in selection_notes(dataset)),
        off_grid_note(run.config["grid"], run.datasets),
        no_answers_note(run),
        estimate_note(work_to_do(run, only_preprocessed), run.config) if estimated else "",
        earlier_results_note(run.results.root, run.datasets, run.folds, run.config["grid"]),
    )
    return [note for note in notes if note]


def as_told(note: str) -> str:
    """A note as it is printed: its lines belong together; an estimate says by itself what it is."""
    indented = note.replace("\n", "\n  ")
    return note if note.startswith("Estimate: ") else f"Note: {indented}"


def without_note(run: Run) -> str:
    """A sentence on the datasets that `without` leaves out, by name or by their modality; "" for none."""
    named = run.config["without"]
    others = [
        name for name in run.config["datasets"] if name not in run.listed_datasets and name not in named
    ]
    with_them = f", and with their training data {', '.join(others)}" if others else ""
    return f"Left out, as `without` says: {', '.join(named)}{with_them}." if named else ""


def unused_settings_note(run: Run) -> str:
    """A sentence on settings of methods that the run does not have, of a configuration below it; "" without any."""
    unused = sorted(set(run.config["method_settings"]) - set(run.methods))
    return f"method_settings of {', '.join(unused)}, not among `methods`: not used." if unused else ""


def no_answers_note(run: Run) -> str:
    """A sentence on scans without truth that get heatmaps and no answers; "" where there are none."""
    unlabeled = names_with_role(run.datasets, "unlabeled")
    if run.has_detector or not unlabeled:
        return ""
    return (
        f"{', '.join(unlabeled)}: heatmaps, but no answers (tables/patients.csv), which need detector.method "
        f"({run.config['detector']['method']}) and {ZSCORE} among `methods`."
    )


def unused_scans_note(run: Run) -> str:
    """Which scans preprocessing has left out, and why; "" without any."""
    reasons = [
        f"\n{name}, {scan}: {reason}"
        for name, dataset in run.datasets.items()
        for scan in dataset.scans
        if (reason := dataset.left_out(scan))
    ]
    if not reasons:
        return ""
    count = sum(len(dataset.scans) for dataset in run.datasets.values())
    return (
        f"{len(reasons)} of {count} scans were left out. Mend them, or list them under `leave_out` of their dataset, "
        f"before the whole run.{''.join(reasons)}"
    )


def work_to_do(run: Run, only_preprocessed: bool = False) -> Work:
    """What is not there yet of the work that takes hours, of the whole run or of its preprocessing."""
    work = remaining_work(
        run.results,
        run.trained_methods,
        run.training_data,
        run.trainings,
        {name: list(dataset.scans) for name, dataset in run.datasets.items()},
        {(name, fold): len(run.test_scans(name, fold)) for name in run.datasets for fold in run.trainings},
        answered=names_with_role(run.datasets, "unlabeled") if run.has_detector else (),
    )
    return Work(0, 0, work.preprocessings, 0, ()) if only_preprocessed else work


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
