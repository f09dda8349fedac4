"""The progress of a run on the terminal, by the events that Snakemake's logger plugin writes meanwhile."""

import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from patch2loc.files import without_home
from patch2loc.process import for_terminal
from patch2loc.watching.stage_times import Job


class RunProgress:
    """A bar on standard error, and what is said at the end of the run.

    Attributes:
        jobs: Jobs that have begun, by their benchmark files; one that was tried again is there once.
        errors: Messages of Snakemake about what went wrong.

    Args:
        events: File of the events, which is made.
    """

    def __init__(self, events: Path) -> None:
        self.jobs: dict[Path, Job] = {}
        self.errors: list[str] = []
        self.stream = events.open("w+", encoding="ascii")
        self.unfinished = ""  # a line of which the end is not there yet
        mininterval = 1 if sys.stderr.isatty() else 15
        self.bar = tqdm(desc="planning", unit="step", mininterval=mininterval)

    def look(self) -> None:
        """Show the events that are new."""
        *lines, self.unfinished = (self.unfinished + self.stream.read()).split("\n")
        for line in lines:
            self._show(json.loads(line))

    def _show(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "progress":
                self.bar.total = event["total"]
                self.bar.update(event["done"] - self.bar.n)
            case "job":
                if event["benchmark"]:
                    self.jobs[Path(event["benchmark"])] = Job(event["rule"], event["threads"])
                self.bar.set_description(event["rule"], refresh=False)
            case "note":
                self.bar.write(for_people(event["message"]), file=sys.stderr)
            case "error":
                self.errors.append(for_people(event["message"]))

    @property
    def has_work(self) -> bool:
        """True once there are jobs to do."""
        return bool(self.bar.total)

    def close(self) -> None:
        """Show what has come last, and end the bar."""
        self.look()
        self.stream.close()
        self.bar.close()


def for_people(text: str) -> str:
    """Text of Snakemake as it is shown and kept: nothing that a terminal takes for a command, and no home folder."""
    return without_home(for_terminal(text))
