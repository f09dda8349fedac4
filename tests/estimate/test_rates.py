"""The table of rates: gathered from the benchmarks, measured before estimated, each with its day and its source."""

import csv
import importlib.util
import re
import shutil
import sys
import tomllib

import pytest
from repository_paths import ROOT

from patch2loc.estimate.rates import COLUMNS, TABLE, find_rate, read_rates, required_rate

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def gathering(monkeypatch):
    """The module benchmarks/rates.py, that of the library's name beside it."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])  # as `python benchmarks/rates.py` has it
    spec = importlib.util.spec_from_file_location("gathering", BENCHMARKS / "rates.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_what_the_benchmarks_say_today(gathering):
    with TABLE.open(encoding="utf-8", newline="") as stream:
        stored = list(csv.DictReader(stream))
    assert gathering.gathered() == stored, "run python benchmarks/rates.py"
    assert list(stored[0]) == list(COLUMNS)


def test_every_rate_has_a_day_a_source_and_a_time():
    rates = read_rates()
    assert len(rates) > 50
    for rate in rates.values():
        assert rate.seconds > 0, rate
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", rate.date), rate
        assert rate.status in ("measured", "estimated"), rate
        assert rate.source, rate
        for name in re.findall(r"benchmarks/\S+?\.csv", rate.source):
            assert (ROOT / name).is_file(), rate
        if rate.status == "measured":
            assert rate.machine, rate
            assert rate.device == "cpu" or "cuda" in rate.source, (
                "nobody has measured on a GPU without a table of it"
            )


def test_a_gpu_that_is_measured_takes_the_place_of_an_estimated_one(gathering, tmp_path, monkeypatch):
    for path in BENCHMARKS.glob("*.csv"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(gathering, "FOLDER", tmp_path)
    before = {(row["work"], row["device"]): row for row in gathering.gathered()}
    (tmp_path / "methods_cuda.csv").write_text(
        "method,budget,task,unit,seconds,batch,authors_batch,memory_mb,machine,threads,torch,precision,date\n"
        "dae,paper,training,slice,0.5,16,16,2222,a card,1,2.15.0,bfloat16,2027-01-02\n"
        "dae,smoke,scoring,scan,0.25,8,8,111,a card,1,2.15.0,bfloat16,2027-01-02\n"
    )
    (tmp_path / "engine_cuda.csv").write_text(
        "task,way,precision,value,unit,peak_memory_mb,machine,threads,torch,date\n"
        "training,engine,float32,1000,patches/s,,a card,2,2.15.0,2027-01-02\n"
        "training,engine,bfloat16,2000,patches/s,,a card,2,2.15.0,2027-01-02\n"
        "training,straightforward,float32,10,patches/s,,a card,2,2.15.0,2027-01-02\n"
    )
    after = {(row["work"], row["device"]): row for row in gathering.gathered()}
    assert before["train dae", "cuda"]["status"] == "estimated"
    changed = after["train dae", "cuda"]
    assert (changed["seconds"], changed["gpu_memory_mb"], changed["status"]) == ("0.5", "2222", "measured")
    assert (changed["date"], changed["machine"]) == ("2027-01-02", "a card")
    assert (
        changed["memory_mb"] == before["train dae", "cuda"]["memory_mb"]
    )  # of the process: not in the table
    assert after["score dae (small)", "cuda"]["seconds"] == "0.25"
    assert float(after["train location network", "cuda"]["seconds"]) == 1 / 2000
    # Of other devices and works nothing has changed.
    touched = {("train dae", "cuda"), ("score dae (small)", "cuda"), ("train location network", "cuda")}
    assert {key: row for key, row in after.items() if key not in touched} == {
        key: row for key, row in before.items() if key not in touched
    }


def test_an_installed_copy_has_the_table():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["package-data"]["patch2loc.estimate"] == [TABLE.name]


def test_a_rate_that_is_missing_is_none_or_named():
    assert find_rate("train nothing") is None
    assert find_rate("evaluate", "cuda") is None
    with pytest.raises(KeyError, match=r"rates\.csv: no rate of train nothing found"):
        required_rate("train nothing")
