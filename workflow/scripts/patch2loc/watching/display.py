"""Trainings of a run on the terminal while they run."""

import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tqdm import tqdm

from patch2loc.watching.tensorboard import TensorBoardEvents
from patch2loc.watching.trainings import Training, read_trainings

LOOK_SECONDS = 5.0
LINE_SECONDS = 300.0  # between two lines of a training where they are not renewed in place, as in a log
# By which the time of a file may lie behind that of the computer, as file systems round it.
CLOCK_SECONDS = 2.0


@contextmanager
def shown_trainings(results: str | Path, events: TensorBoardEvents | None = None) -> Iterator[None]:
    """Show the trainings of a run on standard error while the block of the with statement runs.

    On a terminal they share a line that is renewed, below the progress bar of the block.  Elsewhere each has a line
    every five minutes.

    Args:
        results: Folder of the run.
        events: Curves for TensorBoard, which are kept up to date.
    """
    began, ended = time.time(), threading.Event()
    on_terminal = sys.stderr.isatty()
    said_at: dict[Path, float] = {}
    status = tqdm(bar_format="{desc}", position=1, leave=False, disable=not on_terminal)

    def look() -> None:
        now = time.time()
        running = [
            training
            for training in read_trainings(results)
            if training.written >= began - CLOCK_SECONDS and training.state(now) == "running"
        ]
        if on_terminal:
            text = "; ".join(training.line(now) for training in running)
            status.set_description_str(text[: shutil.get_terminal_size().columns - 1])
        for line in [] if on_terminal else due_lines(running, said_at, began=began, now=now):
            tqdm.write(line, file=sys.stderr)
        if events:
            events.update()

    def look_until_the_end() -> None:
        while not ended.wait(LOOK_SECONDS):
            with suppress(OSError):  # the run itself meets it, too, and says what to do
                look()

    thread = threading.Thread(target=look_until_the_end, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        status.close()
        if events:
            events.update()
            events.close()


def due_lines(
    running: Sequence[Training], said_at: dict[Path, float], *, began: float, now: float
) -> list[str]:
    """Lines of the trainings that had none for LINE_SECONDS; the time of each goes to `said_at`, by table.

    Args:
        running: Trainings that are running.
        said_at: When each had its last line, seconds since the epoch.
        began: When the run was started.
        now: Seconds since the epoch.
    """
    due = [training for training in running if now - said_at.get(training.path, began) >= LINE_SECONDS]
    said_at.update({training.path: now for training in due})
    return [training.line(now) for training in due]
