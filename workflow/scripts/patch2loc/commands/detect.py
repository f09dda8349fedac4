"""patch2loc detect: an answer about each scan, with the warnings that belong to it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patch2loc import trained
from patch2loc.commands import bids_app
from patch2loc.commands.memory import tell_little_memory
from patch2loc.commands.numbers import finite_number
from patch2loc.commands.options import (
    EACH_SCAN,
    SKULL_STRIP,
    Subcommands,
    add_computing_options,
    add_mask_option,
    add_method_option,
    refuse_unused,
)
from patch2loc.commands.scans import (
    NOT_JUDGED_STATUS,
    Progress,
    counted,
    folders_of,
    matching,
    one_by_one,
    one_for_each,
)
from patch2loc.commands.terminal import say, tell
from patch2loc.disclaimer import DISCLAIMER
from patch2loc.errors import InputError

if TYPE_CHECKING:  # imported late: a command line explains itself without the libraries that compute
    from patch2loc.own_scan import Detector

DESCRIPTION = """\
Find lesions in brain scans: find the brain, register it to the atlas, compare every voxel with healthy brains, and
report how unusual the scan is among healthy scans. OUT (OUT/NAME for each of several scans) will contain:

  report.html            the report, with a viewer, in one file
  picture.png            the report as one picture
  heatmap.nii.gz         how rare each voxel is among healthy brains, on the scan's own voxels (-log10 of the share of
                         healthy voxels that score at least as high; NaN outside the brain)
  candidates.nii.gz      numbered candidates, on the scan's own voxels
  candidates.csv         volume, position, side and tissue of each candidate, and how unusual it is
  summary.json           the answer, its warnings, numbers and settings
  heatmap_atlas.nii.gz, candidates_atlas.nii.gz   the same in atlas space
  preprocessed/          scan and brain mask on the grid, transform, quality control (qc.png)

Existing files in OUT are kept if they would not change; the command stops if it finds any others."""
EXAMPLES = f"""\
examples:
  patch2loc detect t1.nii.gz -o result                          one scan, with the included model
  patch2loc detect scans/*.nii.gz -o results                    several scans; results/NAME for each
  patch2loc detect brain.nii.gz -o result --skull-strip none    a skull-stripped scan
  patch2loc detect t1.nii.gz -o result --mask brain_mask.nii.gz --age 63
  patch2loc detect dicom_folder -o result                       a DICOM series
  patch2loc detect BIDS_DIR OUT participant                     every participant of a BIDS dataset
  patch2loc detect t1.nii.gz -o result --model mine/detector.safetensors

The exit status is 0 if every scan has a result, 1 if one has none (with --strict: or has a warning), 3 if one cannot be
judged, 2 for a wrong command line. {DISCLAIMER}"""
MAPS = ("joined", "patch2loc", "zscore")


def add(commands: Subcommands) -> None:
    """Add the subcommand."""
    detect = commands.add_parser(
        "detect",
        help="find lesions in your own scans",
        usage="%(prog)s SCAN [SCAN ...] -o OUT [options]\n"
        "       %(prog)s BIDS_DIR OUT participant|group [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
        epilog=EXAMPLES,
    )
    detect.add_argument(
        "scans",
        metavar="SCAN",
        nargs="+",
        help="scan, with or without skull: a NIfTI file, a folder with a DICOM series, or a file or folder in a BIDS "
        "dataset with one scan",
    )
    detect.add_argument("-o", "--output", metavar="OUT", help="folder to write to")
    detect.add_argument(
        "--model",
        metavar="MODEL",
        default=trained.DEFAULT,
        help="name of an included model (see `patch2loc models`), or a detector file; default: %(default)s",
    )
    add_mask_option(detect)
    detect.add_argument(
        "--skull-strip",
        choices=SKULL_STRIP,
        help="how to find the brain: your mask (given), all above 0 (none, for stripped scans), the atlas (atlas), "
        "none or atlas as the scan requires (auto), or an installed program; default: given with --mask, else auto",
    )
    detect.add_argument(
        "--age",
        metavar="YEARS",
        type=finite_number,
        action="append",
        help=f"age of the person, to warn if it is outside the training range; {EACH_SCAN}",
    )
    detect.add_argument(
        "--map",
        choices=MAPS,
        default=MAPS[0],
        help="Patch2Loc's score joined with the voxelwise z-score, or either alone; default: %(default)s",
    )
    detect.add_argument(
        "--threshold",
        metavar="RARITY",
        type=finite_number,
        help="rarity above which voxels are candidates: 3 is one healthy voxel in a thousand; default: the model's",
    )
    detect.add_argument(
        "--strict",
        action="store_true",
        help="treat any warning as a failure, and write nothing for that scan",
    )
    detect.add_argument(
        "--series", metavar="NUMBER", help="number or UID of the DICOM series, if a folder has several"
    )
    add_computing_options(detect)
    add_method_option(detect)
    bids_app.add_options(detect)
    detect.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    run = _run_bids_app if bids_app.is_asked_for(arguments.scans) else _run_scans
    return run(arguments)


def _run_scans(arguments: argparse.Namespace) -> int:
    if arguments.output is None:
        raise InputError(
            "--output: nothing found, the folder to write to expected; name one (-o OUT), or, for a BIDS dataset, "
            "`patch2loc detect BIDS_DIR OUT participant`"
        )
    refuse_unused(
        arguments,
        bids_app.OPTIONS,
        "without the words of a BIDS App, BIDS_DIR OUT participant, which they are for; leave them out",
    )
    tell_little_memory()

    from patch2loc.acquire.scan_inputs import check_converter, open_scan, removed_if_refused

    scans = matching(arguments.scans)
    check_converter(scans)

    from patch2loc.own_scan import STAGES
    from patch2loc.own_scan.page import write_index
    from patch2loc.report.viewer import INDEX_OF_SCANS

    folders = folders_of(scans, arguments.output)
    masks = one_for_each(scans, "--mask", arguments.mask)
    ages = one_for_each(scans, "--age", arguments.age)
    detector = _load(arguments)
    warned, not_judged = [], []

    def detect(place: int, progress: Progress) -> None:
        scan, folder = scans[place], folders[place]
        opened = open_scan(scan, detector.scorer.model["modality"], folder, series=arguments.series)
        for note in opened.notes:
            progress.notify(note)
        age = opened.age if ages[place] is None else ages[place]
        with removed_if_refused(opened):
            summary = _detect(
                arguments,
                detector,
                opened.path,
                folder,
                mask=masks[place],
                age=age,
                contrast_agent=opened.contrast_agent,
                progress=progress,
            )
        if not summary["judged"]:
            not_judged.append(scan)
        elif summary["warnings"]:
            warned.append(scan)
        tell_answer(scan, summary, str(folder / "report.html"), progress)

    failed = one_by_one(scans, folders, STAGES, detect)
    if len(scans) > 1 and failed < len(scans):
        write_index(arguments.output, notify=say)
        tell(Path(arguments.output, INDEX_OF_SCANS).as_posix())
    if len(scans) > 1:
        say(
            f"{len(scans)} scans: {failed} failed, {counted('cannot be judged', not_judged)}, "
            f"{counted('with warnings', warned)}"
        )
    if failed < len(scans):
        say(DISCLAIMER)
    return 1 if failed else NOT_JUDGED_STATUS if not_judged else 0


def _run_bids_app(arguments: argparse.Namespace) -> int:
    refuse_unused(
        arguments,
        ("output", "mask", "age", "series"),
        "with a BIDS dataset, which has the output behind it and the ages in participants.tsv; leave it out",
    )
    tell_little_memory()

    from patch2loc.own_scan import STAGES

    def detect(
        detector: "Detector", scan: Path, folder: Path, age: float | None, progress: Progress
    ) -> dict[str, Any]:
        return _detect(arguments, detector, scan, folder, mask=None, age=age, progress=progress)

    return bids_app.run(arguments, lambda: _load(arguments), detect, tell_answer, stages=STAGES)


def _load(arguments: argparse.Namespace) -> "Detector":
    from patch2loc.engine.device import select_device, select_precision
    from patch2loc.own_scan import load_detector

    model_path = trained.path_of(arguments.model)
    device = select_device(arguments.device)
    return load_detector(
        model_path,
        device,
        precision=select_precision(arguments.precision, device),
        atlas=arguments.atlas,
        method=arguments.method,
    )


def _detect(
    arguments: argparse.Namespace,
    detector: "Detector",
    scan: str | Path,
    folder: Path,
    *,
    mask: str | None,
    age: float | None,
    contrast_agent: bool = False,
    progress: Progress,
) -> dict[str, Any]:
    """Look at one scan, as the options of the command line say; the summary."""
    from patch2loc.own_scan import detect_scan

    summary: dict[str, Any] = detect_scan(
        detector,
        scan,
        folder,
        mask_path=mask,
        skull_strip=arguments.skull_strip or ("given" if mask else "auto"),
        map_name=arguments.map,
        threshold=arguments.threshold,
        age=age,
        contrast_agent=contrast_agent,
        strict=arguments.strict,
        stage_done=progress.stage_done,
        notify=progress.notify,
    )
    return summary


def tell_answer(scan: str, summary: dict[str, Any], page: str, progress: Progress) -> None:
    """Tell the answer about a scan, what makes it doubtful, and where its page is.

    Args:
        scan: As a person named it.
        summary: Of `detect_scan`.
        page: Path of the answer's page.
        progress: Of the command.
    """
    progress.tell(f"{scan}: {summary['answer']}")
    for warning in summary["warnings"]:  # with the answer, wherever that goes
        progress.warn(warning["message"])
    progress.tell(page)
