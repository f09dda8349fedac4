"""python -m patch2loc: score one's own scan, trace a number to what made it, simulate a cohort."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from patch2loc.errors import InputError
from patch2loc.files import readable, storage_message
from patch2loc.output_folder import FolderInUseError, claimed
from patch2loc.process import (
    GB,
    MEMORY_REMEDY,
    Stopped,
    accept_any_name_in_output,
    address_limit,
    is_for_lack_of_memory,
    memory_message,
    stopped_by_signals,
)

SKULL_STRIP = ("given", "none", "atlas", "hd-bet", "synthstrip")
SCORE_DESCRIPTION = """\
Preprocess scans as the model's training scans were, score every voxel of the brain, and write to DIR
(with several scans to DIR/NAME, NAME being the scan's file name):

  heatmap.nii.gz        abnormality score on the scan's own voxels, NaN outside the brain
  heatmap_atlas.nii.gz  the same on the grid of the atlas
  heatmap.png           slices of scan and heatmap
  summary.json          numbers, and what they depend on
  preprocessed/         scan and brain mask on the grid, transform, quality control (qc.png)

What is in DIR already is kept if it would come out the same, and made again if it is damaged; anything else there
is refused. One command at a time works in DIR."""
LEAST_MEMORY_GB = 4.0  # of addresses (ulimit -v), which Python and its libraries take before they compute


def main(words: list[str] | None = None) -> int:
    """Run a command of the command line, sys.argv when None; the exit status is 1 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m patch2loc",
        description="Find brain lesions by localizing patches.",
        epilog="COMMAND --help says more. The paper's tables and figures are made by the workflow: see README.md.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for add in (_add_score, _add_view, _add_trace, _add_simulate):
        add(commands)
    arguments = parser.parse_args(words)
    run: Callable[[argparse.Namespace], int] = arguments.run
    accept_any_name_in_output()
    try:
        with stopped_by_signals():
            return run(arguments)
    except Stopped as stop:
        _say(str(stop))
        return stop.status
    except BrokenPipeError:  # the reader of the output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (InputError, FolderInUseError) as error:
        _say(str(error))
    except OSError as error:
        _say(storage_message(error, "output") or str(error))
    except (ImportError, MemoryError, RuntimeError, SystemError) as error:
        # A SystemError is how an import ends that ran out of memory within another one.
        if not (is_for_lack_of_memory(error) or (isinstance(error, SystemError) and _has_little_memory())):
            raise
        _say(memory_message(error))
    return 1


def _say(message: str) -> None:
    print(f"patch2loc: {message}", file=sys.stderr)


def _has_little_memory() -> bool:
    return address_limit() < LEAST_MEMORY_GB * GB


def whole_number(least: int, most: float = math.inf) -> Callable[[str], int]:
    """A type for argparse: whole numbers from `least` to `most`."""
    expected = f"at least {least}" if most == math.inf else f"{least} to {most}"

    def parse(text: str) -> int:
        try:
            value: int | None = int(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} found, a whole number expected, {expected}")
        return value

    return parse


def finite_number(text: str) -> float:
    """A type for argparse: numbers that are neither infinite nor NaN."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} found, a finite number expected")
    return value


def _add_score(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    score = commands.add_parser(
        "score",
        help="score scans of your own with a trained model",
        usage="%(prog)s SCAN [SCAN ...] --model MODEL --output DIR [--mask MASK] [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=SCORE_DESCRIPTION,
    )
    score.add_argument(
        "scans", metavar="SCAN", nargs="+", help="NIfTI scan as the scanner gave it, or skull-stripped"
    )
    score.add_argument(
        "--model", required=True, help="model.safetensors of the workflow, or a .ckpt of the paper's authors"
    )
    score.add_argument(
        "--method",
        metavar="MODULE",
        help="method that the model has to be of; to be named for a module of your own (mypackage.method), which is "
        "run: no module that only the model names is",
    )
    score.add_argument("--output", required=True, metavar="DIR", help="folder to write to")
    score.add_argument(
        "--mask",
        action="append",
        help="brain mask on the scan's voxels; with several scans once for each, in their order",
    )
    score.add_argument(
        "--skull-strip",
        choices=SKULL_STRIP,
        help="how the brain is found: a mask (given), all above 0 (none, for stripped scans), without trained "
        "weights (atlas), or by an installed program; default: given with --mask, else atlas",
    )
    score.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: auto")
    score.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16"],
        default="float32",
        help="of the network; auto is bfloat16 where that is faster; default: float32",
    )
    score.add_argument(
        "--atlas", help="icbm152, or the folder of SRI24, if it is not where the training had it"
    )
    checkpoint_options = score.add_argument_group(
        "for a .ckpt", "It stores neither modality nor landmarks; --atlas has to be the folder of SRI24."
    )
    checkpoint_options.add_argument("--modality", choices=["T1", "T2"])
    checkpoint_options.add_argument(
        "--landmarks",
        metavar="FILE",
        help="landmarks/T1/fold0.json of the workflow (preprocess.protocol: released-code), or the .npy of "
        "intensity-normalization's save_standard_histogram",
    )
    score.set_defaults(run=_score)


def _add_view(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    view = commands.add_parser(
        "view",
        help="look at scored scans in a browser",
        description="Serve the report and the viewer of a run to this machine alone, until Ctrl-C.",
    )
    view.add_argument("results", metavar="RESULTS", help="folder of a run with its report, e.g. results/demo")
    view.add_argument(
        "--port", type=whole_number(0, 65535), default=8642, help="0 takes a free one; default: 8642"
    )
    view.add_argument("--no-browser", action="store_true", help="only print the address")
    view.set_defaults(run=_view)


def _view(arguments: argparse.Namespace) -> int:
    from patch2loc.report.viewer.server import serve

    serve(arguments.results, arguments.port, not arguments.no_browser)
    return 0


def _add_trace(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    trace = commands.add_parser(
        "trace",
        help="what made a result, back to the scans",
        description="Print what made a result of the workflow and each of its inputs, back to the scans: code, "
        "versions, configuration, subjects, and whether a file has changed since.",
    )
    trace.add_argument("file", help="a result with a .provenance.json beside it, e.g. tables/table1.csv")
    trace.add_argument("--json", action="store_true", help="everything, as JSON")
    trace.set_defaults(run=_trace)


def _add_simulate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    simulate = commands.add_parser(
        "simulate",
        help="make a simulated cohort of any size",
        description="Simulate a cohort, one folder a subject, on all cores. A killed run goes on where it was. "
        "The scans, and whatever is computed from them, are to be called simulated.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    simulate.add_argument("folder", help="folder to write to")
    simulate.add_argument(
        "--cohort",
        choices=["healthy", "tumor", "ms", "stroke", "wmh"],
        default="healthy",
        help="what the subjects have",
    )
    simulate.add_argument("--subjects", type=whole_number(1, 100_000), default=400, help="how many")
    simulate.add_argument(
        "--seed", type=whole_number(0, 2**31 - 1), default=3141, help="another one gives other subjects"
    )
    simulate.add_argument(
        "--spacing", type=finite_number, default=1.0, help="mm, of the anatomy and of the voxels"
    )
    simulate.add_argument(
        "--noise", type=finite_number, default=0.03, help="standard deviation over white matter"
    )
    simulate.add_argument(
        "--workers",
        type=whole_number(1, 1024),
        default=os.cpu_count(),
        help="processes; 1 GB of memory each at 1 mm",
    )
    simulate.set_defaults(run=_simulate)


def _score(arguments: argparse.Namespace) -> int:
    if _has_little_memory():  # said beforehand: a library may end the process without a word
        _say(
            f"a limit of {address_limit() / GB:.1f} GB of addresses (ulimit -v) found, {LEAST_MEMORY_GB} GB or more "
            f"expected; {MEMORY_REMEDY}, if this ends early"
        )

    from tqdm import tqdm

    from patch2loc.engine.device import select_device, select_precision
    from patch2loc.own_scan import STAGES, load_scorer, score_own_scan

    folders = _folders(arguments.scans, arguments.output)
    masks = arguments.mask or [None] * len(arguments.scans)
    if len(masks) != len(arguments.scans):
        raise InputError(
            f"--mask: {len(masks)} found for {len(arguments.scans)} scans, one for each expected"
        )
    device = select_device(arguments.device)
    scorer = load_scorer(
        arguments.model,
        device,
        atlas=arguments.atlas,
        modality=arguments.modality,
        landmarks_path=arguments.landmarks,
        precision=select_precision(arguments.precision, device),
        method=arguments.method,
    )
    failed = 0
    with tqdm(total=len(STAGES) * len(folders), unit="stage", disable=None) as bar:

        def notify(message: str) -> None:
            bar.write(message, file=sys.stderr)

        for number, (scan, mask, folder) in enumerate(
            zip(arguments.scans, masks, folders, strict=True), start=1
        ):
            bar.set_description(readable(Path(scan).name))
            skull_strip = arguments.skull_strip or ("given" if mask else "atlas")
            try:
                summary = score_own_scan(
                    scorer,
                    scan,
                    folder,
                    mask_path=mask,
                    skull_strip=skull_strip,
                    stage_done=lambda stage: bar.update(),
                    notify=notify,
                )
            except InputError as error:
                failed += 1
                notify(f"patch2loc: {error}")
            except (MemoryError, RuntimeError) as error:
                if not is_for_lack_of_memory(error):
                    raise
                failed += 1
                notify(f"patch2loc: {scan}: {memory_message(error)}")
            except OSError as error:  # of the output: it would meet the other scans too
                raise OSError(
                    storage_message(error, folder) or f"{error.filename or folder}: {error}"
                ) from error
            except Stopped as stop:
                stop.consequence = f"nothing was written to {folder}; run the same command again"
                raise
            else:
                for flag in summary["flags"]:
                    notify(f"{scan}: {flag}: look at {folder}/preprocessed/qc.png")
                bar.write(f"{folder}/heatmap.nii.gz")
            bar.update(number * len(STAGES) - bar.n)
    return 1 if failed else 0


def _folders(scans: list[str], output: str) -> list[Path]:
    """The folder of each scan's results: the output itself for one scan, else a folder in it by the scan's name."""
    if not output:
        raise InputError(
            "--output: an empty name found, a folder expected; name one, or . for the current one"
        )
    if len(scans) == 1:
        return [Path(output)]
    names = [Path(scan).name.removesuffix(".gz").removesuffix(".nii") for scan in scans]
    nameless = [scan for scan, name in zip(scans, names, strict=True) if name in ("", ".", "..")]
    if nameless:
        raise InputError(
            f"{nameless[0]}: no name found that a folder in {output} can have; score it in a call of its own"
        )
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise InputError(
            f"{output}: several scans are named {', '.join(sorted(repeated))}, which would share a folder; "
            "score them in calls of their own"
        )
    return [Path(output, name) for name in names]


def _simulate(arguments: argparse.Namespace) -> int:
    from patch2loc.acquire.phantom import Settings
    from patch2loc.acquire.phantom.cohort import write_cohort

    settings: Settings = {
        "anatomy_spacing": arguments.spacing,
        "voxel_size": [arguments.spacing] * 3,
        "noise": arguments.noise,
    }
    if not arguments.folder:
        raise InputError("FOLDER: an empty name found, a folder expected; name one, or . for the current one")
    with claimed(arguments.folder):
        write_cohort(
            Path(arguments.folder),
            arguments.cohort,
            range(arguments.subjects),
            seed=arguments.seed,
            settings=settings,
            workers=arguments.workers,
        )
    print(arguments.folder)
    return 0


def _trace(arguments: argparse.Namespace) -> int:
    from patch2loc.provenance.trace import trace

    chain = trace(arguments.file)
    if not chain:
        raise InputError(
            f"{arguments.file}: no {arguments.file}.provenance.json beside it; give a result of the workflow"
        )
    if arguments.json:
        print(json.dumps(chain, indent=1))
        return 0
    for entry in chain:
        changed = "  CHANGED SINCE" if entry["changed"] else ""
        print(f"{entry['file']}{changed}")
        print(f"  sha256 {entry['sha256'][:16]}  code {entry['code']}  subjects {len(entry['subjects'])}")
        print(
            f"  environment {', '.join(f'{name} {version}' for name, version in entry['environment'].items())}"
        )
        print(f"  configuration {json.dumps(entry['configuration'])}")
        print(f"  inputs {len(entry['inputs'])}")
    return 0


if __name__ == "__main__":
    status = main()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # while libraries are unloaded: without a traceback
    sys.exit(status)
