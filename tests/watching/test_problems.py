"""What went wrong in a run, by Snakemake's output."""

import errno
import os

import pytest

from patch2loc.watching.problems import PROBLEM, REASON_LINES, reason, restated

BANNER = ["Using workflow specific profile.", "Building DAG of jobs..."]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            f"  OSError: [Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}: 'results/a b/x.npy'",
            "StorageError: results/a b/x.npy: No space left on device; make room there,",
        ),
        (
            "    scans/sub-1 T1.nii.gz (missing locally, parent dir contents: a, b)",
            "InputError: scans/sub-1 T1.nii.gz: no such file, though it was there when the run began;",
        ),
        (
            "Output results/y has older modification time (2026-11-24 20:00:00.1) than input raw/x "
            "(2026-11-25 08:00:00.2). This could indicate a clock skew problem",
            "StorageError: raw/x: dated 2026-11-25 08:00 found, later than this machine's clock;",
        ),
        (
            "Command 'set -e; python /x/.snakemake/scripts/tmpab12.train.py' died with <Signals.SIGKILL: 9>.",
            "Killed: train.py was ended by SIGKILL,",
        ),
    ],
)
def test_what_a_person_can_mend_is_told_in_words_of_ours(line, expected):
    told = restated(line)
    assert told.startswith(expected)
    assert told.startswith(PROBLEM)


@pytest.mark.parametrize(
    "line",
    [
        "rule train:",
        "    input: raw/x",
        "OSError: [Errno 5] Input/output error",
        "Command 'train' returned non-zero exit status 1.",
    ],
)
def test_other_lines_stay_as_they_are(line):
    assert restated(line) is None


@pytest.mark.parametrize(
    "first",
    [
        'WorkflowError in file "/x/rules/common.smk", line 31:',
        "MissingRuleException:",
        "Error: Error parsing number of cores",
        "snakemake: error: argument --resources",
    ],
)
def test_an_error_in_planning_is_shown_from_its_beginning(first):
    error = [first, "the reason", *map(str, range(1000))]
    assert reason([*BANNER, *error]) == error[:REASON_LINES]


def test_an_error_in_planning_is_shown_without_the_lines_of_the_rules():
    error = ["WorkflowError:", "    Data are missing", "Wildcards:", "  dataset=own"]
    places = ["Traceback:", '  File "/x/rules/common.smk", line 109, in <lambda>']
    assert reason([*BANNER, *error, *places]) == error


@pytest.mark.parametrize("first", ["Traceback (most recent call last):", "rule train:"])
def test_of_a_job_and_of_a_traceback_the_end_is_shown(first):
    lines = [*BANNER, first, "Error in rule train:", *map(str, range(1000))]
    assert reason(lines) == lines[-REASON_LINES:]
