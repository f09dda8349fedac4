"""What went wrong in a run, by its output and Snakemake's messages."""

import errno
import os

import pytest

from patch2loc.watching.problems import REASON_LINES, problems, reason, restated


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
    (told,) = problems([], [f"RuleException:\n{line}\nsomething else", line])
    assert told.startswith(expected)


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


def test_problems_of_jobs_are_told_once_with_all_of_their_lines():
    log = [
        "rule a:",
        "InputError: x",
        "  y",
        "rule b:",
        "    input: z",
        "InputError: x",
        "StorageError: disk",
        "end",
    ]
    assert problems(log, []) == ["InputError: x", "  y", "StorageError: disk"]


def test_an_error_in_planning_is_shown_without_the_lines_of_the_rules():
    error = "WorkflowError:\n    Data are missing\nWildcards:\n  dataset=own"
    places = '\nTraceback:\n  File "/x/rules/common.smk", line 109, in <lambda>'
    assert reason([error + places], ["log"]) == error.splitlines()


def test_without_a_message_the_end_of_the_output_is_shown():
    lines = list(map(str, range(1000)))
    assert reason([], lines) == lines[-REASON_LINES:]
