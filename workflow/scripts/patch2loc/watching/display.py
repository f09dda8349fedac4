"""Trainings of a run on the terminal while they run."""

import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from patch2loc.watching.trainings import Training, read_trainings

LOOK_SECONDS = 5.0
LINE_SECONDS = 300.0  # between two lines of a training where they are not renewed in place, as in a log
# By which the time of a file may lie behind that of the computer, as file systems round it.
CLOCK_SECONDS = 2.0


class ShownTrainings:
    """The trainings of a run on standard error while it is at work.

    On a terminal they share a line that is renewed, below the progress bar of the run.  Elsewhere each has a line
    every five minutes.

    Args:
        results: Folder of the run.
    """

    def __init__(self, results: str | Path) -> None:
        self.results = results
        self.began = time.time()
        self.next_look = self.began + LOOK_SECONDS
        self.said_at: dict[Path, float] = {}
        self.on_terminal = sys.stderr.isatty()
        self.status = tqdm(bar_format="{desc}", position=1, leave=False, disable=not self.on_terminal)

    def look(self) -> None:
        """Show the trainings as they are, if the last look was a while ago."""
        now = time.time()
        if now >= self.next_look:
            self.next_look = now + LOOK_SECONDS
            with suppress(OSError):  # the run itself meets it, too, and says what to do
                self._show(now)

    def _show(self, now: float) -> None:
        running = [
            training
            for training in read_trainings(self.results)
            if training.written >= self.began - CLOCK_SECONDS and training.state(now) == "running"
        ]
        if self.on_terminal:
            text = "; ".join(training.line(now) for training in running)
            self.status.set_description_str(text[: shutil.get_terminal_size().columns - 1])
        else:
            for line in due_lines(running, self.said_at, began=self.began, now=now):
                tqdm.write(line, file=sys.stderr)

    def close(self) -> None:
        """Remove the line of the terminal."""
        self.status.close()


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
