"""The progress of a run, by what Snakemake's logger plugin tells of a small workflow."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from repository_paths import ROOT

from patch2loc.watching.progress import RunProgress
from patch2loc.watching.stage_times import Job

SCRIPTS = ROOT / "workflow/scripts"
WORKFLOW = """
from snakemake.logging import logger

logger.warning("Note: look\\n  twice at \\x1b[31m", extra={"event": "note"})

rule all:
    input: "a b.txt", "broken.txt"

rule first:
    output: "{name}.txt"
    benchmark: "times/{name}.tsv"
    threads: 2
    shell: "echo said; test '{wildcards.name}' != broken && touch '{output}'"
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Folder of a run with two jobs, of which one fails."""
    folder = tmp_path_factory.mktemp("told")
    (folder / "Snakefile").write_text(WORKFLOW)
    command = [sys.executable, "-m", "snakemake_logger_plugin_patch2loc", "--cores", "2", "--keep-going"]
    command += ["--quiet", "host", "--logger", "patch2loc", "--logger-patch2loc-events", "events"]
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "Error in rule first" in result.stderr  # what Snakemake prints stays
    return folder


def looked(events, parts, monkeypatch):
    """The progress that a run shows whose events arrive in parts, and what it has written."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    progress = RunProgress(events)
    with events.open("a") as stream:
        for part in parts:
            stream.write(part)
            stream.flush()
            progress.look()
    progress.close()
    return progress, sys.stderr.getvalue()


def test_jobs_errors_and_notes_are_those_of_the_run(told, tmp_path, monkeypatch):
    text = (told / "events").read_text()
    halves = text[: len(text) // 2], text[len(text) // 2 :]
    progress, said = looked(tmp_path / "events", halves, monkeypatch)
    assert progress.jobs == {Path(f"times/{name}.tsv"): Job("first", 2) for name in ("a b", "broken")}
    assert progress.has_work
    assert any("returned non-zero exit status 1" in error for error in progress.errors)
    assert "Note: look\n  twice at \ufffd[31m\n" in said
    assert "first:  33%" in said


def test_a_run_without_jobs_has_no_work(tmp_path, monkeypatch):
    event = json.dumps({"event": "error", "message": f"no file {Path.home()}/x"})
    progress, said = looked(tmp_path / "events", [f"{event}\n"], monkeypatch)
    assert not progress.has_work
    assert progress.errors == ["no file ~/x"]
    assert said.startswith("\rplanning: 0step")
