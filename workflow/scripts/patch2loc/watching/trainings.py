"""Trainings of a run, as the tables tell that they write (`watching.record`)."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from patch2loc.data.results import Results
from patch2loc.watching.record import TABLE, duration, training_name

State = Literal["running", "silent", "done"]
SILENT_AFTER = (
    15 * 60
)  # a training at work writes a row every five minutes at the latest, with its checkpoint
ERROR, LOSS, PER_SECOND = "validation_error_mm", "validation_loss", "_per_second"
PATTERNS = Results(".")  # of paths in the folder of a run
OF_THE_RUN = {"step", "steps", "seconds_left"}  # columns


@dataclass(frozen=True)
class Training:
    """A training that has written a row of its table.

    Attributes:
        path: The table.
        rows: Its rows; NaN where one has no number.
        written: When it was written, seconds since the epoch.
        is_done: True if the model is trained.
    """

    path: Path
    rows: Sequence[dict[str, float]]
    written: float
    is_done: bool

    @property
    def name(self) -> str:
        """Method, modality and fold."""
        return training_name(self.path)

    def state(self, now: float) -> State:
        """State at a time, seconds since the epoch: one that is silent may have been killed."""
        if self.is_done:
            return "done"
        return "silent" if now - self.written > SILENT_AFTER else "running"

    def line(self, now: float) -> str:
        """Share that is done, location error or loss, speed, and time left as expected at a time, in one line."""
        last = self.rows[-1]
        words = [self.name, f"{100 * last['step'] / last['steps']:.0f} %"]
        if validated := [row for row in self.rows if not math.isnan(row.get(LOSS, math.nan))]:
            row = validated[-1]
            words.append(f"{row[ERROR]:.2f} mm" if ERROR in row else f"loss {row[LOSS]:.4g}")
            words += [
                f"{row[name]:,.0f} {name.removesuffix(PER_SECOND)}/s"
                for name in row
                if name.endswith(PER_SECOND)
            ]
        age = now - self.written
        of_state = {
            "done": "done",
            "running": f"{duration(max(last['seconds_left'] - age, 0))} left",
            "silent": f"nothing new for {duration(age)}",
        }
        return "  ".join([*words, of_state[self.state(now)]])


def read_trainings(results: str | Path) -> list[Training]:
    """Read the trainings of a run, by name; one that has not written a row yet is not among them.

    Args:
        results: Folder of the run.
    """
    history_name = Path(PATTERNS.history()).name
    found = []
    for path in sorted(Path(results).glob(Path(PATTERNS.training("*", "*", "*"), f"*{TABLE}").as_posix())):
        try:
            with open(path, newline="", encoding="utf-8") as stream:
                rows = [
                    {name: float(text) if text else math.nan for name, text in row.items()}
                    for row in csv.DictReader(stream)
                ]
            written = path.stat().st_mtime
        except FileNotFoundError:  # a new training has just removed it
            continue
        if rows and set(rows[0]) >= OF_THE_RUN:
            found.append(Training(path, rows, written, path.with_name(history_name).exists()))
    return found
