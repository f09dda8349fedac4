"""A logger plugin of Snakemake: what happens in a run, as lines of JSON that workflow/run.py reads.

Each line holds an event: progress (done and total of the jobs), job (rule, benchmark and threads of one that begins),
note (message of the planning) and error (message).
"""

import json
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

NOTE = "note"  # event of a record that our rules log for a person to read before the run


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Settings of the plugin.

    Attributes:
        events: File that the events are appended to.
    """

    events: str = field(
        default="", metadata={"help": "file to append events to, as lines of JSON", "required": True}
    )


class LogHandler(LogHandlerBase):
    """Append the events of a run to a file; what Snakemake prints stays as it is."""

    writes_to_stream = False
    writes_to_file = False  # no log for people, which Snakemake would name at the end
    has_filter = True  # takes all events, whatever Snakemake is told to be quiet about
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Open the file."""
        assert isinstance(self.settings, LogHandlerSettings)
        self.stream = open(self.settings.events, "a", buffering=1, encoding="ascii")  # noqa: SIM115

    def emit(self, record: logging.LogRecord) -> None:
        """Append a line for a record that is an event."""
        if content := _content(record):
            with suppress(OSError):  # of a full disk: jobs meet it, too, and say so
                self.stream.write(json.dumps(content) + "\n")


def _content(record: Any) -> dict[str, Any] | None:
    """The event of a record of Snakemake's logger; None for records that tell run.py nothing."""
    event = getattr(record, "event", None)
    if event == LogEvent.RUN_INFO:
        return {"event": "progress", "done": 0, "total": record.stats["total"]}
    if event == LogEvent.PROGRESS:
        return {"event": "progress", "done": record.done, "total": record.total}
    if event == LogEvent.JOB_INFO:
        job = {"rule": record.rule_name, "benchmark": record.benchmark, "threads": record.threads}
        return {"event": "job", **job}
    if event == NOTE or record.levelno >= logging.ERROR:
        return {"event": NOTE if event == NOTE else "error", "message": record.getMessage()}
    return None
