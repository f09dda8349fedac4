"""What an installation holds, and that no installed copy stands before the code of a checkout."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from importlib import import_module
from importlib.metadata import version

import pytest
from dependencies import LOCKS, SCRIPTS, canonical, declared
from packaging.requirements import Requirement
from packaging.version import Version
from repository_paths import LIBRARY, ROOT

import patch2loc

# Files that `pip install .` reads, of which a copy is built: building writes beside them.
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE")
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("config/**/*.md"),
]


def package_files():
    """Files of the package as a checkout has them, relative to the folder that it is in."""
    return {
        path.relative_to(SCRIPTS).as_posix()
        for path in LIBRARY.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A wheel and a source distribution: {kind: path}."""
    if Version(version("setuptools")) < Version("77"):
        pytest.skip(f"setuptools {version('setuptools')} found, 77 or newer expected: no wheel is built here")
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in BUILT_FROM:
        shutil.copy2(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(LIBRARY, source / LIBRARY.relative_to(ROOT), ignore=ignored)
    # A model that ships, whether or not one is in the checkout.
    trained = source / LIBRARY.relative_to(ROOT) / "trained"
    trained.mkdir(exist_ok=True)
    for name in ("__init__.py", "another.safetensors", "another.md"):
        (trained / name).touch()
    made = {}
    for kind in ("wheel", "sdist"):
        command = [sys.executable, "-W", "ignore", "-c", BUILD, f"build_{kind}", str(output)]
        result = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr[-3000:]
        made[kind] = output / result.stdout.splitlines()[-1]
    return made


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The folder in which the wheel's files are, as pip lays them out."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(built["wheel"]) as wheel:
        wheel.extractall(folder)
    return folder


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(installed):
    files = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    metadata = {path for path in files if path.split("/")[0].endswith(".dist-info")}
    added = {f"patch2loc/trained/{name}" for name in ("__init__.py", "another.safetensors", "another.md")}
    assert files - metadata == package_files() | added
    assert {"patch2loc/py.typed", "patch2loc/report/viewer/viewer.js"} < files
    assert {"LICENSE", "METADATA", "entry_points.txt"} <= {path.split("/")[-1] for path in metadata}


def test_the_source_distribution_holds_what_the_wheel_is_built_from(built, tmp_path):
    shutil.unpack_archive(built["sdist"], tmp_path)
    (folder,) = tmp_path.iterdir()
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    prefix = SCRIPTS.relative_to(ROOT).as_posix()
    assert {*BUILT_FROM, *(f"{prefix}/{path}" for path in package_files())} <= there


def test_the_wheel_says_what_pyproject_says(installed):
    (folder,) = installed.glob("*.dist-info")
    metadata = message_from_string((folder / "METADATA").read_text(encoding="utf-8"))
    assert metadata["Version"] == patch2loc.__version__
    assert metadata["License-Expression"] == "MIT AND CC-BY-SA-3.0"
    for name in ("LICENSE", "workflow/scripts/patch2loc/trained/LICENSE"):
        assert (folder / "licenses" / name).read_bytes() == (ROOT / name).read_bytes()
    assert sorted(metadata.get_all("License-File")) == [
        "LICENSE",
        "workflow/scripts/patch2loc/trained/LICENSE",
    ]
    assert set(metadata.get_all("Provides-Extra")) == set(declared()) - {""}
    asked = [Requirement(entry) for entry in metadata.get_all("Requires-Dist")]
    everybody = {canonical(entry.name) for entry in asked if entry.marker is None}
    assert everybody == {canonical(entry.name) for entry in declared()[""]}
    script = (folder / "entry_points.txt").read_text(encoding="utf-8")
    assert script.split() == ["[console_scripts]", "patch2loc", "=", "patch2loc.commands:main"]


def test_the_command_is_a_function_that_takes_no_argument_and_says_its_help(capsys, monkeypatch):
    main = import_module("patch2loc.commands").main
    monkeypatch.setattr(sys, "argv", ["patch2loc", "--help"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert "usage: patch2loc " in capsys.readouterr().out


def test_the_installed_package_runs_without_the_repository(installed, tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", "import patch2loc; print(patch2loc.__file__, patch2loc.__version__)"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == [str(installed / "patch2loc" / "__init__.py"), patch2loc.__version__]


@pytest.mark.parametrize("code", ["import rule_log", "import runpy; runpy.run_path('workflow/run.py')"])
def test_the_workflow_imports_the_code_beside_it_and_no_installed_copy(code, tmp_path):
    """rules/common.smk does as these do (tests/workflow/test_module.py runs it from elsewhere)."""
    other = tmp_path / "patch2loc"
    other.mkdir()
    (other / "__init__.py").write_text("raise RuntimeError('the installed copy')\n")
    # The script's own folder is the first of the path, as it is when Python or Snakemake runs it.
    start = (
        f"import sys; sys.path.append({str(SCRIPTS)!r}); {code}; import patch2loc; print(patch2loc.__file__)"
    )
    result = subprocess.run(
        [sys.executable, "-c", start],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.strip() == str(LIBRARY / "__init__.py"), result.stderr[-2000:]


def planned(folder, *words):
    """What make would do there."""
    result = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def fresh_clone(tmp_path):
    """What make reads of a clone in which nothing was made."""
    for path in (ROOT / "Makefile", ROOT / "pyproject.toml", *LOCKS.values()):
        shutil.copy2(path, tmp_path)
    return tmp_path


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_sets_up_the_environment_with_the_package(fresh_clone):
    for words, lock in [((), "requirements.txt"), (("TORCH=cpu",), "requirements-cpu.txt")]:
        text = planned(fresh_clone, *words)
        assert re.findall(r"pip install .*-r (\S+)", text) == [lock]
        assert re.findall(r"pip install .*--no-deps .*--editable (\S+)", text) == ["."]
        assert text.index(lock) < text.index("--editable")


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_keeps_the_build_of_torch_until_another_is_named(fresh_clone):
    (fresh_clone / ".venv").mkdir()
    (fresh_clone / ".venv" / ".locked").write_text("cpu\n")
    (fresh_clone / ".venv" / ".complete").touch()
    assert "pip install" not in planned(fresh_clone)
    assert "pip install" not in planned(fresh_clone, "TORCH=cpu")
    assert "-r requirements.txt" in planned(fresh_clone, "TORCH=cuda")
    later = (fresh_clone / ".venv" / ".complete").stat().st_mtime + 10
    os.utime(fresh_clone / "pyproject.toml", (later, later))
    text = planned(fresh_clone)  # the package once more, without its dependencies
    assert "--editable" in text
    assert "-r requirements" not in text
    os.utime(fresh_clone / "requirements-cpu.txt", (later, later))
    assert "-r requirements-cpu.txt" in planned(fresh_clone)


def test_no_page_and_no_target_names_the_path_of_the_package():
    for path in [*PAGES, ROOT / "Makefile"]:
        text = path.read_text(encoding="utf-8")
        assert "PYTHONPATH=workflow" not in text, path
        # A method of one's own may lie anywhere.
        assert "PYTHONPATH" not in text or path.name == "add-a-method.md", path
