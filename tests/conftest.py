"""What is expensive to make and read by several files of tests: made once."""

import os
import shutil
import signal
import threading

import pytest
from filelock import FileLock

pytest_plugins = ["time_spent"]

MAKES_THE_RUN = "test_workflow.py"


def pytest_configure():
    """What tests start can be interrupted, also where a shell has started them in the background."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config, items):
    """Order for processes that take one file of tests after another: the longest first, so that all end together.

    The finished run is made by the first file.  Other files that look at it come after the plans: it is there then.
    """
    if not hasattr(config, "workerinput"):
        return
    of_the_run = {item.path for item in items if "finished" in item.fixturenames}
    of_snakemake = {item.path for item in items if item.get_closest_marker("workflow")}

    def place(item):
        if item.path in of_the_run:
            return 0 if item.path.name == MAKES_THE_RUN else 2
        return 1 if item.path in of_snakemake else 3

    items.sort(key=place)


def made_once(name, tmp_path_factory, make):
    """Path of a file or folder that the first process in need of it makes, for all processes that test."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    path = folder / name
    with FileLock(folder / f"{name}.lock"):
        if not path.exists():
            make(tmp_path_factory.mktemp("making")).rename(path)
    return path


def finished_run(folder):
    """The same folder, after a run of the workflow to its end."""
    from workflow_runs import run

    result = run(folder)
    assert result.returncode == 0, result.stderr[-6000:]
    assert str(folder / "results/tiny/report.html") in result.stdout
    shutil.copy2(folder / "results/tiny/snakemake.log", folder / "run.log")  # the next run writes another one
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Folder in which the workflow has run to its end: a copy of one's own."""
    made = made_once("finished", tmp_path_factory, finished_run)
    return shutil.copytree(made, tmp_path_factory.mktemp("workflow") / "run", symlinks=True)


@pytest.fixture(scope="session")
def results(finished):
    """Results of the workflow."""
    return finished / "results/tiny"


@pytest.fixture(scope="session")
def detector_path(tmp_path_factory):
    """A small detector, trained on simulated brains."""
    from small_detector import write_detector

    return made_once(
        "small.safetensors", tmp_path_factory, lambda folder: write_detector(folder / "small.safetensors")
    )


@pytest.fixture
def copied_library(tmp_path, monkeypatch):
    """A copy of the library's sources that can be edited, in the place of the library when code is hashed."""
    from edited_modules import forget_modules

    from patch2loc.provenance import code

    package = tmp_path / "patch2loc"
    shutil.copytree(code.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "PACKAGE", package)
    forget_modules()
    yield package
    forget_modules()


@pytest.fixture(scope="session")
def subjects():
    """Two simulated subjects of each cohort: {cohort: [{modality: Scan}]}."""
    from heads import SETTINGS

    from patch2loc.acquire import phantom

    return {
        name: [phantom.simulate_subject(name, index, 11, SETTINGS) for index in range(2)]
        for name in phantom.COHORTS
    }


@pytest.fixture(scope="session")
def scored_run(tmp_path_factory):
    """Results of a small simulated run, with its viewer."""
    from scored_results import scored_results

    from patch2loc.report.viewer.folder import write_viewer

    folder = tmp_path_factory.mktemp("scored")
    write_viewer(folder / "report", scored_results(folder), count=2, fold=0, color_map="jet")
    return folder


@pytest.fixture(scope="session")
def server(scored_run):
    """The viewer's server of that run."""
    from patch2loc.report.viewer.server import server_of

    with server_of(scored_run, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
