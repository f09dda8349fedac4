"""Curves of the trainings of a run for TensorBoard, beside their models; written by who watches, not by a training."""

import math
from importlib import import_module
from pathlib import Path
from typing import Any

from patch2loc.errors import InputError
from patch2loc.watching.trainings import OF_THE_RUN, read_trainings


class TensorBoardEvents:
    """Event files of the trainings of a run, each in the folder of its model.

    Args:
        results: Folder of the run.

    Raises:
        InputError: TensorBoard is not installed.
    """

    def __init__(self, results: str | Path) -> None:
        try:
            self.writer_class = import_module("torch.utils.tensorboard").SummaryWriter
        except ImportError as error:
            raise InputError(
                f"--tensorboard: no package tensorboard found ({error}), one to write its files with expected; "
                "install it: pip install tensorboard"
            ) from error
        self.results = Path(results)
        self.writers: dict[Path, Any] = {}
        self.last_step: dict[Path, float] = {}

    def update(self) -> None:
        """Write the rows that are new since the last call; at the first one all, in place of those of earlier files."""
        for training in read_trainings(self.results):
            path = training.path
            last_step = self.last_step.get(path, 0.0)
            if training.rows[-1]["step"] < last_step and path in self.writers:  # it was begun again
                self.writers.pop(path).close()
                last_step = 0.0
            if path not in self.writers:
                # Each of several networks is a run of its own.  Points of earlier files are hidden.
                network = path.stem.removesuffix("progress").rstrip("-")
                self.writers[path] = self.writer_class(str(path.parent / network), purge_step=0)
            for row in training.rows:
                if row["step"] <= last_step:
                    continue
                for name, value in row.items():
                    if name not in OF_THE_RUN and not math.isnan(value):
                        self.writers[path].add_scalar(name, value, int(row["step"]))
            self.writers[path].flush()
            self.last_step[path] = training.rows[-1]["step"]

    def close(self) -> None:
        """Close the files."""
        for writer in self.writers.values():
            writer.close()
