"""What workflow/run.py says of wrong arguments, and of a run that fails before its first job."""

import importlib.util
import re
import runpy
import sys
from pathlib import Path

import pytest
from repository_paths import ROOT
from workflow_runs import TINY, run

from patch2loc.engine import gpus

WRONG = {
    "no file": (None, "No such file or directory found, a configuration expected; give its path"),
    "empty": (b"", "nothing found, keys with values expected, as in config/demo.yaml; correct the file"),
    "list": (b"- a", "a list found, keys with values expected"),
    "text": (b"results", "a single value found, keys with values expected"),
    "open bracket": (
        b"results: x\nseed: [7\natlas: x\n",
        r"line 3: no YAML found \(expected ',' or '\]', but got ':', while parsing .* from line 2\); correct",
    ),
    "tab": (b"a: 1\n\tb: 2\n", r"line 2: no YAML found \(found character '\\t' that cannot start"),
    "zero byte": (b"a: \0\n", r"no YAML in UTF-8 found \(unacceptable character .*, position 3\)"),
    "Latin-1": (b"a: \xe9\n", r"no YAML in UTF-8 found \('utf-8' codec can't decode byte 0xe9"),
    "no such day": (b"a: 2020-99-99\n", r"no YAML in UTF-8 found \(month must be in 1..12\); save"),
    "picture": (b"\x89PNG\r\n\x1a\n\0", r"no YAML in UTF-8 found \('utf-8' codec can't decode byte 0x89"),
    "key twice": (
        b"results: x\nseed: 1\ndata: d\nseed: 2\n",
        "seed found twice, in line 2 and in line 4, every key once expected; remove one of them, or rename it",
    ),
    "no results": (b"seed: 1\n", "results: no such key found, a folder .* expected .*; add it"),
    "misspelt results": (b"rezults: r\n", "rezults: unknown key found, results or another key"),
    "number of results": (b"results: 5\n", "results: 5 found, a folder .* expected; put it in quotes"),
    "URL of results": (b"results: s3://x/y\n", 'results: "s3://x/y" found, a folder without ://, '),
}


@pytest.fixture(scope="module")
def runner():
    spec = importlib.util.spec_from_file_location("runner", ROOT / "workflow/run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def said(runner, monkeypatch, *arguments):
    """The message that run.py ends with."""
    monkeypatch.setattr(sys, "argv", ["run.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runner.main()
    return end.value.code


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_no_configuration_is_named_with_what_is_wrong(name, runner, tmp_path, monkeypatch):
    content, message = WRONG[name]
    path = tmp_path / "own.yaml"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.chdir(tmp_path)
    assert re.match(f"{re.escape(str(path))}: {message}", said(runner, monkeypatch, path))
    assert set(tmp_path.iterdir()) <= {path}


def test_a_folder_is_no_configuration(runner, tmp_path, monkeypatch):
    assert said(runner, monkeypatch, tmp_path).startswith(
        f"{tmp_path}: Is a directory found, a configuration"
    )


def test_results_may_be_named_on_the_command_line_alone(runner, tmp_path, monkeypatch):
    (tmp_path / "own.yaml").write_text("datasets: {}\ntraining_data: {}\n")
    assert str(runner._results([tmp_path / "own.yaml"], ["results=elsewhere"])) == "elsewhere"
    message = said(runner, monkeypatch, tmp_path / "own.yaml", "--config", "results=")
    assert "results: null found, a folder" in message


def test_every_key_on_the_command_line_counts(runner, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys,
        "argv",
        ["run.py", str(TINY), "--config", "seed=1", "data=d", "--config", "results=r", "--cores=1"],
    )
    assert runner._arguments().config == ["seed=1", "data=d", "results=r"]
    assert said(runner, monkeypatch, TINY, "--config", "seed=1", "--config", "seed=2") == 2
    assert "--config: seed found twice, every key once expected; leave one out" in capsys.readouterr().err
    assert "x: unknown key found, one of preset, " in said(runner, monkeypatch, TINY, "--config", "x=1")


@pytest.mark.parametrize(
    ("content", "pairs", "message"),
    [
        ("results: data\n", [], "data found, which is or contains data, the folder `data`"),
        ("results: mine\n", ["data=mine/scans"], "contains mine/scans, the folder `data`"),
        (
            "results: mine\ndatasets: {own: {source: {kind: table, table: mine/own.csv}}}\n",
            [],
            "contains mine/own.csv, the `table` of the dataset own",
        ),
        ("results: outer\n", [], r"in which another run works \(/.*/outer/inner/\.run\.lock is there\)"),
        ("results: outer/inner/x\n", [], r"in the results of another run \(/.*/outer/inner/\.run\.lock"),
    ],
)
def test_results_with_anything_else_in_them_are_refused_before_anything_is_written(
    content, pairs, message, runner, tmp_path, monkeypatch
):
    (tmp_path / "outer/inner").mkdir(parents=True)
    (tmp_path / "outer/inner/.run.lock").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "own.yaml").write_text(content)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    arguments = ["own.yaml", *(["--config", *pairs] if pairs else [])]
    assert re.search(f"^own.yaml: results: .*{message}", said(runner, monkeypatch, *arguments))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("pairs", [["seed"], ["seed=1", "table1"], ["=1"]])
def test_what_is_no_pair_is_named_with_the_place_of_targets(pairs, runner, monkeypatch, capsys):
    assert said(runner, monkeypatch, TINY, "--config", *pairs) == 2
    message = f"{pairs[-1]!r} found, KEY=VALUE expected; give targets before --config, or after --"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["table1", "--config", "seed=1"],
        ["--config", "seed=1", "--", "table1"],
        ["--config", "seed=1", "--cores", "2", "table1"],
    ],
)
def test_targets_go_before_or_after_the_keys(arguments, runner, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py", "own.yaml", *arguments])
    found = runner._arguments()
    assert (found.targets, found.config) == (["table1"], ["seed=1"])
    assert found.configfiles == [Path("own.yaml")]


def test_a_result_in_json_is_a_target(runner, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py", "base.yaml", "x/fold0.json", "table1"])
    found = runner._arguments()
    assert (found.configfiles, found.targets) == ([Path("base.yaml")], ["x/fold0.json", "table1"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["base.json", "one.yaml", "two.yml", "table1", "x/fold0.json"],
        ["base.json", "--config", "seed=1", "--cores", "2", "one.yaml", "two.yml", "table1", "x/fold0.json"],
    ],
)
def test_files_of_yaml_after_the_first_one_are_configurations_on_top_of_it(arguments, runner, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    found = runner._arguments()
    assert found.configfiles == [Path("base.json"), Path("one.yaml"), Path("two.yml")]
    assert found.targets == ["table1", "x/fold0.json"]


def test_the_results_are_those_of_all_configurations_together(runner, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = "results: first\ndatasets: {a: {source: {kind: table, table: t.csv}}}\ntraining_data: {}\n"
    (tmp_path / "whole.yaml").write_text(whole)
    (tmp_path / "results.yaml").write_text("results: second\n")
    (tmp_path / "source.yaml").write_text("datasets: {a: {source: {table: second/t.csv}}}\n")
    files = [Path("whole.yaml"), Path("results.yaml")]
    assert runner._results(files, []) == Path("second")
    assert runner._results(files, ["results=third"]) == Path("third")
    with pytest.raises(SystemExit, match=r"contains second/t\.csv, the `table` of the dataset a"):
        runner._results([*files, Path("source.yaml")], [])
    with pytest.raises(SystemExit, match=r"contains second/t\.csv, the `table` of the dataset a"):
        runner._results(files, ["datasets={a: {source: {table: second/t.csv}}}"])


def test_a_part_of_a_configuration_is_read_on_top_of_the_papers(runner, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("results: results/paper\ndatasets: {}\ntraining_data: {}\n")
    (tmp_path / "part.yaml").write_text("datasets: {mslub: {split: null}}\n")
    part = Path("part.yaml")
    assert runner._results([part], ["seed=1"]) == Path("results/paper")
    message = "part.yaml: no `training_data` found; read on top of config/config.yaml\n"
    assert capsys.readouterr().err == message
    assert runner._results([part], ["results=small"]) == Path("small")
    with pytest.raises(SystemExit, match="results: no such key found"):
        runner._results([part], ["training_data={T1: own}"])
    capsys.readouterr()
    assert runner._results([TINY], []) == Path("results/tiny")
    assert capsys.readouterr().err == ""


@pytest.mark.workflow
def test_a_run_that_cannot_be_planned_says_why(tmp_path):
    config = tmp_path / "own.yaml"
    config.write_text(TINY.read_text().replace("    role: healthy", "    rolle: healthy", 1))
    result = run(tmp_path, config=config)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) < 10
    assert (
        "\nError: datasets.phantom_healthy_t1.rolle: unknown key found, role or another key" in result.stderr
    )


@pytest.mark.parametrize(
    ("number", "chosen", "jobs"),
    [(8, None, 8), (8, "3,4", 2), (8, "", 5), (0, None, 5)],
)
def test_as_many_jobs_use_a_gpu_at_once_as_the_run_can_see(
    number, chosen, jobs, runner, tmp_path, monkeypatch
):
    started = []

    class Ended(Exception):
        pass

    def start(command, **options):
        started.append(command)
        raise Ended

    monkeypatch.setattr(gpus, "_gpu_count", lambda: number)
    monkeypatch.setattr(runner.psutil, "cpu_count", lambda: 5)
    monkeypatch.setattr(runner.subprocess, "Popen", start)
    monkeypatch.setattr(sys, "argv", ["run.py", str(TINY)])
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    if chosen is not None:
        monkeypatch.setenv(gpus.VISIBLE, chosen)
    with pytest.raises(Ended):
        runner._run(runner._arguments(), tmp_path)
    assert f"gpu={jobs}" in started[0]


def test_what_a_run_costs_is_printed_and_nothing_begins(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    results = tmp_path / "results"
    arguments = ["config/config.yaml", "config/table1.yaml", "--estimate", "--cores", "16", "--gpus", "1"]
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments, "--config", f"results={results}", "methods=all"])
    assert runpy.run_path(str(ROOT / "workflow/run.py"))["main"]() == 0
    said = capsys.readouterr().out
    for expected in ("time on 16 cores and 1 GPU ", "time on a cluster, 50 jobs at once ", "| train random "):
        assert expected in said
    assert not results.exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--cores", "some"], r"argument --cores: 'some' found, all or a number of cores expected"),
        (["--cores", "0"], r"argument --cores: '0' found"),
        (["--gpus", "-1"], r"argument --gpus"),
        (["--gpus", "one"], r"argument --gpus: 'one' found, a whole number expected; correct it"),
    ],
)
def test_an_estimate_for_no_machine_is_refused(arguments, expected, runner, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run.py", str(TINY), "--estimate", *arguments])
    with pytest.raises(SystemExit, match="2"):
        runner.main()
    assert re.search(expected, capsys.readouterr().err)


def test_an_estimate_of_a_wrong_configuration_says_what_is_wrong(runner, monkeypatch, tmp_path):
    config = tmp_path / "own.yaml"
    config.write_text(TINY.read_text().replace("    role: healthy", "    rolle: healthy", 1))
    message = said(runner, monkeypatch, config, "--estimate")
    assert "datasets.phantom_healthy_t1.rolle: unknown key found, role or another key" in message
