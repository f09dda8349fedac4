"""patch2loc watch: how far the trainings of a run are."""

import argparse
import shutil
import sys
import time
from pathlib import Path

from patch2loc.commands.options import Subcommands
from patch2loc.errors import InputError
from patch2loc.process import for_terminal

DESCRIPTION = """\
Show the trainings of a run: share that is done, location error, speed and time left. On a terminal the lines are
renewed until Ctrl-C; elsewhere they are printed once. Any run can be watched, also one on a cluster, and after its end.
What is shown is read from progress.csv beside each model; progress.png there is a picture of it."""
SECONDS = 5.0  # between two looks
TO_BEGIN_OF_LINES = "\x1b[{count}F\x1b[J"  # up, and clear what is below


def add(commands: Subcommands) -> None:
    """Add the subcommand."""
    watch = commands.add_parser(
        "watch",
        help="show the training progress of a run",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
    )
    watch.add_argument("results", metavar="RESULTS", help="folder of a run, e.g. results/demo")
    watch.add_argument(
        "--tensorboard",
        action="store_true",
        help="write the curves for TensorBoard beside the models, too (pip install tensorboard); "
        "tensorboard --logdir RESULTS/models shows them",
    )
    watch.add_argument("--once", action="store_true", help="look once, and end")
    watch.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from patch2loc.watching.tensorboard import TensorBoardEvents
    from patch2loc.watching.trainings import read_trainings

    results = Path(arguments.results)
    if not results.is_dir():
        raise InputError(f"{results}: no such folder found, the results of a run expected; give its folder")
    events = TensorBoardEvents(results) if arguments.tensorboard else None
    goes_on = sys.stdout.isatty() and not arguments.once
    shown = 0
    try:
        while True:
            now = time.time()
            lines = [for_terminal(training.line(now)) for training in read_trainings(results)]
            lines = lines or [f"{results}: no training has written a row yet; the first comes within minutes"]
            if goes_on:  # a longer line would take two
                lines = [line[: shutil.get_terminal_size().columns - 1] for line in lines]
            print(TO_BEGIN_OF_LINES.format(count=shown) * bool(shown) + "\n".join(lines), flush=True)
            shown = len(lines)
            if events:
                events.update()
            if not goes_on:
                return 0
            time.sleep(SECONDS)
    except KeyboardInterrupt:
        return 0
    finally:
        if events:
            events.close()
