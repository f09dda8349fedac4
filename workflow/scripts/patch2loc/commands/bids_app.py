"""patch2loc detect BIDS_DIR OUT participant|group: answers about the participants of a BIDS dataset.

The words on the command line are those that BIDS Apps have in common (bids-apps.neuroimaging.io).
"""

import argparse
import re
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patch2loc.commands.options import refuse_unused
from patch2loc.commands.scans import NOT_JUDGED_STATUS, Progress, counted, one_by_one
from patch2loc.commands.terminal import say, tell
from patch2loc.data.modalities import MODALITIES
from patch2loc.disclaimer import DISCLAIMER
from patch2loc.errors import InputError
from patch2loc.files import readable, sha256
from patch2loc.output_folder import FolderInUseError
from patch2loc.process import is_for_lack_of_memory

if TYPE_CHECKING:  # imported late: a command line explains itself without the libraries that compute
    from patch2loc.acquire.bids import Image
    from patch2loc.own_scan import Detector

LEVELS = ("participant", "group")
LABEL = re.compile(r"[A-Za-z0-9+]+")
OPTIONS = ("participant_label", "session_label", "scan_name", "skip_bids_validation")  # of `add_options`
# Options for the level of participants alone.
OF_PARTICIPANTS = (*OPTIONS[:3], "skull_strip", "threshold", "strict", "atlas", "method")
Detect = Callable[["Detector", Path, Path, float | None, Progress], dict[str, Any]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a BIDS App."""
    options = parser.add_argument_group(
        "for a BIDS dataset",
        "BIDS_DIR OUT participant analyzes every participant, and writes BIDS derivatives and a ranked table;\n"
        "BIDS_DIR OUT group rebuilds the ranked table. Put options after these three.",
    )
    for name, prefix in (("participant", "sub-"), ("session", "ses-")):
        options.add_argument(
            f"--{name}-label",
            f"--{name}_label",
            metavar="LABEL",
            nargs="+",
            help=f"{name}s to analyze, with or without {prefix}; default: all",
        )
    suffixes = ", ".join(row.bids_suffix for row in MODALITIES.values())
    options.add_argument(
        "--scan-name",
        metavar="END",
        help="end of the scans' file names, such as acq-mprage_T1w or run-1_T1w, if a participant and session has "
        f"several; default: by the model, one of {suffixes}",
    )
    options.add_argument(
        "--skip-bids-validation",
        "--skip_bids_validation",
        action="store_true",
        help="accept a BIDS_DIR without dataset_description.json",
    )


def is_asked_for(words: Sequence[str]) -> bool:
    """True if the words of a command line are BIDS_DIR OUT participant|group."""
    return len(words) == 3 and words[2] in LEVELS


def run(
    arguments: argparse.Namespace,
    open_detector: Callable[[], "Detector"],
    detect: Detect,
    tell_answer: Callable[[str, dict[str, Any], str, Progress], None],
    *,
    stages: Sequence[str],
) -> int:
    """Do the work of a level; the exit status is 1 if a scan failed, NOT_JUDGED_STATUS if one cannot be judged.

    Args:
        arguments: Of the command line, with the options of `add_options`.
        open_detector: Loads the model, once for all scans.
        detect: Called with detector, scan, folder of the result, age or None, and progress; returns the summary.
        tell_answer: Tells the answer: called with scan, summary, path of the page, and progress.
        stages: Of the work on one scan.

    Raises:
        InputError: The dataset, the output or a label cannot be used.
    """
    from patch2loc.own_scan.bids_derivatives import write_table

    root, output, level = Path(arguments.scans[0]), Path(arguments.scans[1]), arguments.scans[2]
    if level == "group":
        refuse_unused(
            arguments, OF_PARTICIPANTS, "with the level group, which ranks all that is there; leave it out"
        )
    participants = _participants(root, arguments.participant_label, arguments.skip_bids_validation)
    if level == "group":
        damaged: list[str] = []
        table = write_table(output, root, notify=damaged.append)
        for message in damaged:
            say(message)
        tell(str(table))
        say(DISCLAIMER)
        return 1 if damaged else 0

    from patch2loc.acquire import bids
    from patch2loc.acquire.participants import person
    from patch2loc.data.subject_tables import participant
    from patch2loc.own_scan.bids_derivatives import result_folder, write_derivatives, write_description

    detector = open_detector()
    scorer = detector.scorer
    modality = scorer.model["modality"]
    pattern = bids.parse_pattern(arguments.scan_name or MODALITIES[modality].bids_suffix)
    scans = _scans(root, participants, pattern, _labels(arguments.session_label, "ses-"))
    absent = sorted(set(participants) - {participant(key) for key in scans})
    if not scans:
        raise InputError(
            f"{root}: no image named sub-*_{pattern.text}.nii.gz found in the anat folders of "
            f"{len(participants)} participants, one for each and session expected; check --scan-name, the labels and "
            "the model's modality"
        )
    write_description(output, root, readable(Path(arguments.model).name), sha256(scorer.model_path))
    keys = list(scans)
    first = [group[0] for group in scans.values()]
    taken: list[str] = []  # by other processes
    warned: list[str] = []
    not_judged: list[str] = []

    def work(place: int, progress: Progress) -> None:
        key = keys[place]
        scan = bids.only(scans[key], pattern, "--scan-name ")
        session = f"ses-{scan.entities['ses']}" if "ses" in scan.entities else None
        known = person(root, participant(key), session)
        for note in known.notes:
            progress.notify(note)
        try:
            summary = detect(detector, scan.path, result_folder(output, scan), known.age, progress)
        except InputError as error:
            in_use = error.__context__
            if not isinstance(in_use, FolderInUseError) or not in_use.is_certain:
                raise
            taken.append(key)
            progress.notify(f"{key}: another process is at work on it, and it is left to that")
            return
        page = write_derivatives(output, root, scan, summary, modality=modality, atlas=scorer.atlas.name)
        tell_answer(str(scan.path), summary, str(page), progress)
        if not summary["judged"]:
            not_judged.append(key)
        elif summary["warnings"]:
            warned.append(key)

    failed = one_by_one(
        [str(scan.path) for scan in first],
        [result_folder(output, scan) for scan in first],
        stages,
        lambda place, progress: _reported(work, place, progress, keys[place]),
    )
    if failed + len(taken) < len(keys):
        tell(str(write_table(output, root, notify=say)))
    for name in absent:
        say(f"{root / name}: no image named sub-*_{pattern.text}.nii.gz")
    if len(keys) > 1 or absent:
        say(
            f"{len(keys)} scans: {failed} failed, {len(taken)} left to other processes, "
            f"{counted('cannot be judged', not_judged)}, {counted('with warnings', warned)}"
            + (f"; {len(absent)} participants without a scan" if absent else "")
        )
    if failed + len(taken) < len(keys):
        say(DISCLAIMER)
    if failed or (absent and arguments.participant_label):
        return 1
    return NOT_JUDGED_STATUS if not_judged else 0


def _reported(work: Callable[[int, Progress], None], place: int, progress: Progress, key: str) -> None:
    """Do the work on a scan; an error of the program is shown, and the scans behind it are not kept waiting."""
    try:
        work(place, progress)
    except (InputError, MemoryError, OSError):
        raise
    except Exception as error:
        if is_for_lack_of_memory(error):
            raise
        progress.notify(traceback.format_exc())
        raise InputError(
            f"{key}: an error of the program found ({type(error).__name__}), an answer expected; report it with the "
            "lines above"
        ) from error


def _participants(root: Path, labels: Iterable[str] | None, skip_validation: bool) -> list[str]:
    """Participants of a dataset ("sub-01"), those that are labeled or all, in the order of their names."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder, a BIDS dataset expected; check the path")
    description = root / "dataset_description.json"
    if not skip_validation and not description.is_file():
        raise InputError(
            f"{description}: no such file, which every BIDS dataset has; check the path, or add "
            "--skip-bids-validation"
        )
    every = sorted(path.name for path in root.glob("sub-*") if path.is_dir())
    if not every:
        raise InputError(f"{root}: no folder sub-* found, one for each participant expected; check the path")
    named = _labels(labels, "sub-")
    if named is None:
        return every
    unknown = [name for name in named if name not in every]
    if unknown:
        raise InputError(
            f"{root}: no participant {', '.join(unknown[:5])} found among {len(every)} ({', '.join(every[:5])}"
            f"{', ...' if len(every) > 5 else ''}); correct --participant-label"
        )
    return named


def _labels(labels: Iterable[str] | None, prefix: str) -> list[str] | None:
    """Labels with their prefix, each once; None for all."""
    if labels is None:
        return None
    bare = [label.removeprefix(prefix) for label in labels]
    wrong = [label for label in bare if not LABEL.fullmatch(label)]
    if wrong:
        raise InputError(f"{wrong[0]!r} found, a label of letters and digits expected, such as 01")
    return list(dict.fromkeys(prefix + label for label in bare))


def _scans(
    root: Path, participants: Sequence[str], pattern: Any, sessions: Sequence[str] | None
) -> dict[str, list["Image"]]:
    """The images that fit a pattern, by participant and session."""
    from patch2loc.acquire import bids

    return bids.by_session(
        image
        for image in bids.images([root], participants)
        if pattern.matches(image) and (sessions is None or f"ses-{image.entities.get('ses')}" in sessions)
    )
