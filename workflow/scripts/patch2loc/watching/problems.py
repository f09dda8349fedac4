"""What went wrong in a run: problems that a person can mend, or the error that ended it."""

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile

from patch2loc.files import storage_message

# Beginnings of a problem that a job prints (workflow/scripts/rule_log.py), which lines with an indent follow.
OF_A_JOB = ("InputError: ", "StorageError: ")
# Snakemake's messages of an error of its own, of inputs that are gone, or dated after the results made from them, and
# of a job's process that was killed.
STORAGE = re.compile(r"^\s*\w*Error: \[Errno (\d+)\] ([^:]+): '(.+)'$")
GONE = re.compile(r"^\s*(\S.*) \(missing locally\b")
SKEW = re.compile(r"^\s*Output \S+ has older modification time .* than input (\S+) \((.{16})")
KILLED = re.compile(r".*/tmp\w+\.(\w+)\.py' died with <Signals\.(\w+): \d+>")
PLACES = "Traceback:"  # in a message: before the lines of our rules that an error in planning went through
REASON_LINES = 60  # at most


def problems(log: Iterable[str], errors: Iterable[str]) -> list[str]:
    """Problems that a person can mend, each line once.

    Args:
        log: Lines that the run has printed, those of its jobs among them.
        errors: Snakemake's messages about errors.
    """
    lines, in_problem = [], False
    for line in log:
        in_problem = line.startswith(OF_A_JOB) or (in_problem and line.startswith("  "))
        if in_problem:
            lines.append(line.rstrip())
    lines += filter(None, (restated(line) for error in errors for line in error.splitlines()))
    return list(dict.fromkeys(lines))


def restated(line: str) -> str | None:
    """A problem in the words of rule_log.py, from a line in Snakemake's own words; None for any other line."""
    if match := STORAGE.match(line):
        message = storage_message(OSError(int(match[1]), match[2], match[3]), match[3])
        return message and f"StorageError: {message}"
    if match := GONE.match(line):
        return (
            f"InputError: {match[1]}: no such file, though it was there when the run began; put it back, or wait for "
            "its file system, and run the same command again"
        )
    if match := SKEW.match(line):
        path, date = match.groups()
        return (
            f"StorageError: {path}: dated {date} found, later than this machine's clock; set the clock right, or give "
            f"the files the time of now (find {path} -exec touch {{}} +), and run the same command again"
        )
    if match := KILLED.match(line):
        return (
            f"Killed: {match[1]}.py was ended by {match[2]}, by a person or because memory ran out; close what else "
            "needs memory, or take fewer --cores, and run the same command again"
        )
    return None


def reason(errors: Sequence[str], log: Sequence[str]) -> list[str]:
    """Lines that say why a run failed.

    Args:
        errors: Snakemake's messages, if planning has failed; shown without the lines of our rules.
        log: Lines that the run has printed, of which the last ones are shown if there is no message.
    """
    lines = "\n".join(errors).splitlines()
    return list(takewhile(lambda line: line != PLACES, lines))[:REASON_LINES] or list(log[-REASON_LINES:])
