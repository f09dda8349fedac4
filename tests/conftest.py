"""What is expensive to make and read by several files of tests: made once."""

import shutil
import threading

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark the tests of the finished run: one process makes it and does all of them, another one the rest."""
    for item in items:
        if "finished" in item.fixturenames:
            item.add_marker(pytest.mark.finished)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Folder in which the workflow has run to its end."""
    from workflow_runs import run

    folder = tmp_path_factory.mktemp("workflow")
    result = run(folder)
    assert result.returncode == 0, result.stderr[-6000:]
    assert str(folder / "results/tiny/report.html") in result.stdout
    shutil.copy2(folder / "results/tiny/snakemake.log", folder / "run.log")  # the next run writes another one
    return folder


@pytest.fixture(scope="session")
def results(finished):
    """Results of the workflow."""
    return finished / "results/tiny"


@pytest.fixture(scope="session")
def detector_path(tmp_path_factory):
    """A small detector, trained on simulated brains."""
    from small_detector import write_detector

    return write_detector(tmp_path_factory.mktemp("detector") / "small.safetensors")


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
