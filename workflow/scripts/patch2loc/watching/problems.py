"""What went wrong in a run, by Snakemake's output: problems that a person can mend, or the error that ended it."""

import re
from collections.abc import Sequence

from patch2loc.files import storage_message
from patch2loc.watching.stage_times import RULE

# Beginnings of a problem, which lines with an indent follow: of workflow/scripts/rule_log.py, and of `restated`.
PROBLEM = ("InputError: ", "StorageError: ", "Killed: ")
# Snakemake's messages of an error of its own, of inputs that are gone, or dated after the results made from them, and
# of a job's process that was killed.
STORAGE = re.compile(r"^\s*\w*Error: \[Errno (\d+)\] ([^:]+): '(.+)'$")
GONE = re.compile(r"^\s*(\S.*) \(missing locally\b")
SKEW = re.compile(r"^\s*Output \S+ has older modification time .* than input (\S+) \((.{16})")
KILLED = re.compile(r".*/tmp\w+\.(\w+)\.py' died with <Signals\.(\w+): \d+>")
ERROR = re.compile(r"^\w*(?:Error|Exception)\b|^\S+: error: ")  # of Snakemake, or of its command line
PLACES = "Traceback:"  # of Snakemake: the lines of our rules that an error in planning went through
REASON_LINES = 60  # of the output of a run that failed


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


def reason(lines: Sequence[str]) -> list[str]:
    """Lines of Snakemake's output on a failure: the error that ended its planning, from its beginning, else the end."""
    for number, line in enumerate(lines):
        if RULE.match(line) or line.startswith("Traceback"):
            break
        if ERROR.match(line):
            shown = list(lines[number : number + REASON_LINES])
            return shown[: shown.index(PLACES)] if PLACES in shown else shown
    return list(lines[-REASON_LINES:])
