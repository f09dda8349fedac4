"""The folder of results is the run's own: it holds no data, nothing of the workflow, and nothing of another run."""

import shutil
import subprocess

import pytest
from planned_runs import configuration, dataset
from repository_paths import ROOT

from patch2loc.configuration.check import check_paths
from patch2loc.configuration.results_folder import REPOSITORY_FOLDERS, check_results_folder
from patch2loc.errors import InputError

HEALTHY = {"results": "results", "data": "data"}


def table(path, **keys):
    return {"datasets": {"own": dataset("lesion", source={"kind": "table", "table": path, **keys})}}


# What is there besides, {path: content, None for a folder}; the configuration; what the message says.
REFUSED = {
    "data": ({}, {"results": "data"}, r"results: data found, which is or contains data, the folder `data`"),
    "above data": ({}, {"results": "data/..", "data": "data"}, r"contains data, the folder `data`"),
    "data by a link": (
        {"data": None},
        {"results": "link"},
        r"results: link found, which is or contains data",
    ),
    "a root": (
        {},
        {"results": "data/clinic", "datasets": {"own": {"source": {"kind": "folder", "root": "clinic/t1"}}}},
        r"contains data/clinic/t1, the `root` of the dataset own",
    ),
    "in a folder of scans": (
        {},
        {"results": "data/t1/run", "datasets": {"own": {"source": {"kind": "folder", "root": "t1"}}}},
        r"lies in data/t1, the `root` of the dataset own, where scans are looked for",
    ),
    "in a BIDS dataset that is `data`": (
        {},
        {"results": "data/run", "datasets": {"own": {"source": {"kind": "bids"}}}},
        r"lies in data, the `root` of the dataset own, .* or in its derivatives expected",
    ),
    "a table": (
        {},
        {"results": "mine", **table("mine/list.csv")},
        r"contains mine/list.csv, the `table` of the dataset own",
    ),
    "a list": (
        {},
        {"results": "mine", "datasets": {"own": {"split": {"clean": "mine/lists/clean.csv"}}}},
        r"contains mine/lists/clean.csv, the `split` of the dataset own",
    ),
    "the repository": ({}, {"results": str(ROOT)}, r"contains or lies in /.*/patch2loc, the workflow itself"),
    "its sources": ({}, {"results": str(ROOT / "workflow")}, r"lies in /.*/patch2loc, the workflow itself"),
    "in its tests": ({}, {"results": str(ROOT / "tests/run")}, r"lies in /.*/tests, the workflow itself"),
    "in a hidden one": (
        {},
        {"results": str(ROOT / ".github/x")},
        r"lies in /.*/\.github, the workflow itself",
    ),
    "around another run": (
        {"results/inner/.run.lock": ""},
        {},
        r"results: results found, in which another run works \(/.*/results/inner/\.run\.lock is there\)",
    ),
    "around another working folder": ({"results/a/b/.snakemake": None}, {}, r"another run works \(/.*/a/b/"),
    "in another run": (
        {"outer/.run.json": "{}"},
        {"results": "outer/metrics/mine"},
        r"which lies in the results of another run \(/.*/outer/\.run\.json is there\)",
    ),
    "beside another workflow": (
        {"results/workflow/Snakefile": "rule all:"},
        {},
        r"whose folder results/workflow is not of a run \(without configuration\.json\) and would be replaced",
    ),
    "beside another report": (
        {"results/report/thesis.tex": "x"},
        {},
        r"whose folder results/report is not of a run \(without viewer\.html\)",
    ),
    "a file": ({"results": "x"}, {}, r"results: results found, but results is a file"),
}
ALLOWED = {
    "nothing there": ({}, {}),
    "of an earlier run": (
        {
            "results/.run.lock": "",
            "results/report/viewer.html": "",
            "results/workflow/configuration.json": "",
            "results/notes.txt": "",
        },
        {},
    ),
    "beside another run": ({"results/a/.run.lock": ""}, {"results": "results/b"}),
    "in the folder of the data": ({}, {"results": "bids/derivatives/patch2loc", "data": "bids"}),
    "in the derivatives of a BIDS dataset": (
        {},
        {
            "results": "bids/derivatives/patch2loc",
            "data": "bids",
            "datasets": {"own": {"source": {"kind": "bids"}}},
        },
    ),
    "in the folder that Snakemake runs in": ({".snakemake": None}, {}),
    "in the repository": ({}, {"results": str(ROOT / "results/demo")}),
    "before the rest is checked": (
        {},
        {"datasets": {"a": None, "b": {"source": 5, "split": 7}, "c": {"source": {"root": []}}}},
    ),
    "datasets of any type": ({}, {"datasets": [1], "data": ["x"]}),
}


def prepare(folder, files):
    (folder / "link").symlink_to("data")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if content is None else path.write_text(content)


@pytest.mark.parametrize("name", REFUSED)
def test_results_that_hold_anything_else_are_refused(name, tmp_path, monkeypatch):
    files, changes, message = REFUSED[name]
    prepare(tmp_path, files)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message):
        check_results_folder(HEALTHY | changes)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ALLOWED)
def test_a_folder_of_its_own_is_taken(name, tmp_path, monkeypatch):
    files, changes = ALLOWED[name]
    prepare(tmp_path, files)
    monkeypatch.chdir(tmp_path)
    check_results_folder(HEALTHY | changes)


def test_planning_checks_the_folder(tmp_path):
    config = configuration(tmp_path)
    check_paths(config)
    with pytest.raises(InputError, match="which is or contains"):
        check_paths(config | {"results": str(tmp_path)})


def test_every_folder_of_the_repository_is_named():
    if not ((ROOT / ".git").exists() and shutil.which("git")):
        pytest.skip("not a clone of the repository")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    folders = {name.partition("/")[0] for name in listed.stdout.split() if "/" in name}
    assert {name for name in folders if not name.startswith(".")} == set(REPOSITORY_FOLDERS)
