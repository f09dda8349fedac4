"""What a training writes while it runs: its history so far, a picture of it, and the time that is left.

The files lie beside the checkpoint: progress.csv and progress.png.  They have other names than the outputs of the rule,
and so outlive a job that fails, and stay when the training is done.

`engine.training_loop` imports this module by its name, so that no edit of it or of the picture trains a model again.
"""

import math
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import pandas as pd

from patch2loc.files import write_csv

TABLE, PICTURE = "progress.csv", "progress.png"
CHECKPOINT = (
    "checkpoint"  # in the names of checkpoints; what is before it, is before the names of these files, too
)
PICTURE_SHARE = 0.02  # of the time, at most, for pictures: small trainings are validated every second
SPEED_READINGS = 5  # the speed is that since as many readings of the clock before


class TrainingRecord:
    """The record of a training, from where it begins or goes on.

    Args:
        checkpoint: File of the training's checkpoint; without one nothing is written.
        history: Rows of the history up to now.
        done: Steps that are done.
        steps: All steps.
        batch: What a step takes in, in units.
        unit: What a batch consists of, e.g. "patches".
        kept_by: Column of the history: the weights of its least value are kept.
        say: Takes a line of text.
        clock: Seconds since some moment.
    """

    def __init__(
        self,
        checkpoint: Path | None,
        history: Sequence[dict[str, float]],
        *,
        done: int,
        steps: int,
        batch: int,
        unit: str,
        kept_by: str,
        say: Callable[[str], None] = print,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.steps, self.batch, self.unit, self.kept_by = steps, batch, unit, kept_by
        self.say, self.clock = say, clock
        self.readings = [(clock(), done)]
        # Of the rows of an earlier session the speed is known, without the validations.
        self.seconds_left = {
            int(row["step"]): (steps - row["step"]) * batch / (row[f"{unit}_per_second"] or math.nan)
            for row in history
        }
        self.next_picture_at, self.has_failed = -math.inf, False
        self.table_path = self.picture_path = None
        if checkpoint is not None:
            before = checkpoint.name.partition(CHECKPOINT)[0] if CHECKPOINT in checkpoint.name else ""
            self.table_path, self.picture_path = (
                checkpoint.with_name(before + name) for name in (TABLE, PICTURE)
            )
            if history:
                self.write(done, history)
            else:  # those of a training that was here before
                self.table_path.unlink(missing_ok=True)
                self.picture_path.unlink(missing_ok=True)

    def time_left(self, step: int) -> str:
        """Read the clock after a step; the time left in words, by the mean speed since the last few readings."""
        now = self.clock()
        since, step_then = self.readings[-SPEED_READINGS:][0]
        self.readings.append((now, step))
        self.seconds_left[step] = (now - since) / (step - step_then) * (self.steps - step)
        return duration(self.seconds_left[step])

    def write(self, step: int, history: Sequence[dict[str, float]]) -> None:
        """Write the table, and the picture unless there is one of a moment ago.

        Nothing that goes wrong here ends the training: it is said once.

        Args:
            step: Steps that are done.
            history: Rows up to now.
        """
        if self.table_path is None or self.picture_path is None:
            return
        try:
            table = self.table(step, history)
            # Not of a step that an earlier session did: the time left is not known yet.
            if (not history or history[-1]["step"] < step) and step in self.seconds_left:
                self.say(f"step {step} of {self.steps}: {duration(self.seconds_left[step])} left")
            write_csv(self.table_path, table)
            if history and (step == self.steps or self.clock() >= self.next_picture_at):
                self._draw(table, self.picture_path)
        except Exception as error:
            if not self.has_failed:
                self.say(f"warning: the training goes on, but its progress cannot be shown: {error}")
            self.has_failed = True

    def table(self, step: int, history: Sequence[dict[str, float]]) -> pd.DataFrame:
        """The history with the columns steps, of the whole training, and seconds_left.

        After a step without a validation there is one more row, of step and units alone.
        """
        rows = list(history)
        if not rows or rows[-1]["step"] < step:
            if step > self.readings[-1][1]:
                self.time_left(step)
            rows.append({"step": step, self.unit: step * self.batch})
        left = [round(self.seconds_left.get(int(row["step"]), math.nan), 1) for row in rows]
        return pd.DataFrame(rows).assign(steps=self.steps, seconds_left=left)

    def _draw(self, table: pd.DataFrame, path: Path) -> None:
        last = table.iloc[-1]
        seen, total = last["step"] * self.batch, self.steps * self.batch
        left = f"{duration(last['seconds_left'])} left" if seen < total else "done"
        title = f"{training_name(path)}: {seen:,.0f} of {total:,} {self.unit}, {left}"
        # By name, as figures are not below this package, and late, as matplotlib takes a second.
        figures = import_module("patch2loc.figures.training_progress")
        began = self.clock()
        figure = figures.training_progress(title, table, unit=self.unit, kept_by=self.kept_by)
        import_module("patch2loc.figures.style").save_figure(figure, [path])
        self.next_picture_at = self.clock() + (self.clock() - began) / PICTURE_SHARE


def training_name(path: Path) -> str:
    """Name of a training by the path of its table or picture, e.g. "patch2loc/T1/fold0"; of one of several networks
    with the network's name after it."""
    network = path.stem.removesuffix("progress").rstrip("-")
    return "/".join([*path.absolute().parts[-4:-1], *([network] if network else [])])


def duration(seconds: float) -> str:
    """A span of time in words, in two units at most, e.g. "45 s", "12 min", "3 h 20 min"; "?" for one not known."""
    if not math.isfinite(seconds):
        return "?"
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"
