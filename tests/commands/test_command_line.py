import os
import subprocess
import sys

import pytest
from repository_paths import LIBRARY, ROOT

from patch2loc import __version__
from patch2loc.commands import main, options
from patch2loc.preprocess.brain_mask import SKULL_STRIP

COMMANDS = {
    "detect": [
        "SCAN [SCAN ...] -o OUT",
        "candidates.csv",
        "--strict",
        "examples: patch2loc detect t1.nii.gz",
    ],
    "models": ["the card of one"],
    "view": ["--no-browser"],
    "train": ["CONFIGURATION [MORE.yaml ...] [TARGET ...]", "-- --dry-run"],
    "watch": ["RESULTS"],
    "trace": ["code, versions, configuration"],
    "simulate": ["to be called simulated"],
    "score": ["SCAN [SCAN ...] --model MODEL --output DIR", "heatmap_atlas.nii.gz", "--landmarks"],
}
HEAVY = ("torch", "numpy", "SimpleITK", "nibabel", "pandas", "matplotlib")  # seconds of import


@pytest.mark.parametrize(
    ("command", "option", "value", "expected"),
    [
        ("simulate", "--workers", "0", "a whole number expected, 1 to 1024"),
        ("simulate", "--subjects", "-1", "a whole number expected, 1 to 100000"),
        ("simulate", "--subjects", "2.5", "a whole number expected, 1 to 100000"),
        ("simulate", "--seed", "-1", "a whole number expected, 0 to 2147483647"),
        ("simulate", "--noise", "nan", "a finite number expected"),
        ("simulate", "--spacing", "x", "a finite number expected"),
        ("view", "--port", "65536", "a whole number expected, 0 to 65535"),
    ],
)
def test_numbers_out_of_bounds_are_refused(command, option, value, expected, capsys, tmp_path):
    with pytest.raises(SystemExit, match="2"):
        main([command, str(tmp_path / "new"), f"{option}={value}"])
    said = capsys.readouterr().err
    assert f"{option}: {value} found, {expected}" in said
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["detect", "a.nii", "-o", "out", "--mask", ""], "--mask"),
        (["detect", "a.nii", "-o", ""], "-o"),
        (["detect", "raw", "out", "participant", "--participant-label="], "--participant-label"),
        (["detect", "", "-o", "out"], "command line"),
        (["score", "a.nii", "--model", "m", "--output", "out", "--landmarks", ""], "--landmarks"),
        (["simulate", ""], "command line"),
        (["train", "demo.yaml", "--gpus="], "--gpus"),
    ],
)
def test_an_empty_value_is_refused(words, option, capsys):
    assert main(words) == 1
    assert f"patch2loc: {option}: an empty value found; give one, or leave it out" in capsys.readouterr().err


def test_every_command_explains_itself(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    listed = capsys.readouterr().out
    assert listed.startswith("usage: patch2loc ")
    for command, words in COMMANDS.items():
        assert f"    {command} " in listed
        with pytest.raises(SystemExit, match="0"):
            main([command, "--help"])
        said = " ".join(capsys.readouterr().out.split())
        assert said.startswith(f"usage: patch2loc {command} ")
        assert [each for each in words if each not in said] == []


def test_every_module_of_a_subcommand_is_listed():
    others = {
        "__init__",
        "bids_app",
        "command_line",
        "completion",
        "memory",
        "numbers",
        "options",
        "scans",
        "terminal",
    }
    assert {path.stem for path in LIBRARY.glob("commands/*.py")} - others == set(COMMANDS)


@pytest.mark.parametrize("words", [["--help"], ["detect", "--help"], ["--version"]])
def test_help_and_version_come_at_once(words):
    """No library that computes is imported for them."""
    code = (
        f"import sys\nfrom patch2loc.commands import main\ntry: main({words})\nfinally: print(*sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    imported = set(result.stdout.splitlines()[-1].split())
    assert "patch2loc.commands.detect" in imported
    assert imported.isdisjoint(HEAVY)


def test_a_missing_converter_is_reported_before_torch_is_loaded(tmp_path):
    (tmp_path / "study").mkdir()
    code = (
        "import sys\nfrom patch2loc.commands import main\nsys.executable = sys.argv[1]\n"
        "print(main(sys.argv[2:]), *sys.modules)"
    )
    words = [str(tmp_path / "python"), "detect", str(tmp_path / "study"), "-o", str(tmp_path / "out")]
    environment = {"PYTHONPATH": str(ROOT / "workflow/scripts"), "PATH": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True
    )
    status, *imported = result.stdout.split()
    assert status == "1", result.stderr
    assert "patch2loc: dcm2niix: not found in PATH" in result.stderr
    assert "torch" not in imported


def test_the_version_names_those_of_torch_and_python(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    (line,) = capsys.readouterr().out.splitlines()
    version = ".".join(map(str, sys.version_info[:3]))
    assert line.startswith(f"patch2loc {__version__} (torch ")
    assert line.endswith(f", Python {version})")
    assert "missing" not in line


def test_skull_stripping_has_the_same_names_everywhere():
    assert set(options.SKULL_STRIP) == set(SKULL_STRIP)
