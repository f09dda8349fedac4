"""What pyproject.toml asks for: scoring a scan needs no more, and both locks hold tested versions of all of it."""

import re
import shutil
import socket
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions

import pytest
import yaml
from dependencies import (
    LOCKS,
    SCRIPTS,
    canonical,
    declared,
    declared_names,
    installed_with,
    locked,
    pinned_version,
    pins,
    third_party,
    used_packages,
)
from packaging.requirements import Requirement
from packaging.version import Version
from repository_paths import LIBRARY, ROOT

GPU_LIBRARY = re.compile(r"(nvidia|cuda)-.+|triton")
TORCH = {"torch", "torchvision"}
CPU_INDEX = "download.pytorch.org"
# Some packages are not found, as after `pip install patch2loc`, while a scan is scored.
SCORE_WITHOUT = """
import sys
from importlib.machinery import PathFinder

ABSENT = set(sys.argv[4].split())
sys.path[:0] = sys.argv[5:]

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in ABSENT else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder

import nibabel as nib
import torch
from contrasts import IN_ATLAS_SPACE
from poses import moved_brain
from written_models import write_model

from patch2loc.engine.device import select_device
from patch2loc.network.location import LocationNetwork
from patch2loc.own_scan import load_scorer, score_own_scan
from patch2loc.preprocess.atlas import load_atlas
from patch2loc.report import page
from patch2loc.report.viewer import server

scan, model, folder = sys.argv[1:4]
atlas = load_atlas("icbm152", "T1")
nib.save(nib.Nifti1Image(*moved_brain(atlas, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])), scan)
weights = {name: value.numpy() for name, value in LocationNetwork((4, 4, 8, 8)).state_dict().items()}
state = {"weights": weights, "widths": [4, 4, 8, 8], "patch": 6}
preprocess = {key: IN_ATLAS_SPACE[key] for key in ("registration", "bias_correction")}
write_model(model, atlas, method="patch2loc", state=state, preprocess=preprocess)
summary = score_own_scan(load_scorer(model, select_device("cpu")), scan, folder, skull_strip="none")
print(summary["heatmap_atlas"]["voxels"])
import pyarrow
"""


def roots_of_own_scans():
    """Modules that the command starts with for scans of one's own: all of it that is not the workflow's."""
    starts = [
        LIBRARY / "own_scan.py",
        *(LIBRARY / "own_scan").glob("*.py"),
        *(LIBRARY / "commands").glob("*.py"),
    ]
    starts += [*(LIBRARY / "report").rglob("*.py"), *(LIBRARY / "methods").glob("patch2loc*.py")]
    starts += [LIBRARY / "methods" / "zscore.py", *(LIBRARY / "score").glob("*.py"), LIBRARY / "models.py"]
    return [path for path in starts if path.is_file() and path != LIBRARY / "commands" / "train.py"]


def test_own_scans_need_nothing_but_what_everybody_installs():
    beyond = {
        str(path.relative_to(LIBRARY)): sorted(third_party(path) - declared_names())
        for path in roots_of_own_scans()
    }
    assert len(beyond) > 20
    assert {path: names for path, names in beyond.items() if names} == {}


def test_a_scan_is_scored_where_only_those_packages_are_installed(tmp_path):
    there = installed_with(declared_names())
    absent = {
        module
        for module, names in packages_distributions().items()
        if not {canonical(name) for name in names} & (there | {"patch2loc"})
    }
    assert {"pyarrow", "snakemake", "jsonschema", "yaml", "diffusers", "kornia", "pytest"} <= absent
    paths = [tmp_path / "head.nii.gz", tmp_path / "model.safetensors", tmp_path / "out"]
    words = [*map(str, paths), " ".join(sorted(absent)), str(SCRIPTS), str(ROOT / "tests" / "support")]
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCORE_WITHOUT, *words],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"},
        check=False,
    )
    assert result.stderr.strip().endswith("ModuleNotFoundError: No module named 'pyarrow'"), result.stderr[
        -3000:
    ]
    assert int(result.stdout.split()[-1]) > 10_000
    assert (tmp_path / "out" / "heatmap.nii.gz").is_file()


def test_every_import_is_asked_for_by_a_group_that_users_can_name():
    named = declared_names("train", "diffusion", "saliency")
    absent = {
        str(path.relative_to(ROOT)): sorted(third_party(path) - named)
        for path in [*SCRIPTS.rglob("*.py"), ROOT / "workflow" / "run.py"]
    }
    assert {path: names for path, names in absent.items() if names} == {}


def test_what_the_code_imports_or_runs_is_asked_for_and_nothing_else():
    used = used_packages([*SCRIPTS.rglob("*.py"), ROOT / "workflow" / "run.py"])
    assert declared_names("train", "diffusion", "saliency") == used


def test_both_locks_hold_the_same_versions_but_for_torch_and_the_libraries_of_gpus():
    cuda, cpu = ({(line.name, str(line.marker)): line for line in locked(kind)} for kind in ("cuda", "cpu"))
    without_torch = [
        {
            name: str(line)
            for name, line in lock.items()
            if name[0] not in TORCH and not GPU_LIBRARY.fullmatch(name[0])
        }
        for lock in (cuda, cpu)
    ]
    assert without_torch[0] == without_torch[1]
    assert len(without_torch[0]) > 100
    assert len([name for name, _ in cuda if GPU_LIBRARY.fullmatch(name)]) > 10
    assert not [name for name, _ in cpu if GPU_LIBRARY.fullmatch(name)]
    for name in TORCH:
        version = pinned_version(cuda[name, "None"])
        builds = {str(line.marker): pinned_version(line) for line in cpu.values() if line.name == name}
        assert builds == {'sys_platform == "linux"': f"{version}+cpu", 'sys_platform != "linux"': version}


def test_every_package_of_the_cuda_lock_has_hashes_and_none_of_the_cpu_lock():
    """pip checks the hashes of all packages of a file or of none."""
    text = LOCKS["cuda"].read_text(encoding="utf-8")
    entries = re.findall(r"^[a-z].*(?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?)+$", text, re.MULTILINE)
    assert len(entries) == len(locked("cuda"))
    assert "--hash" not in LOCKS["cpu"].read_text(encoding="utf-8")


def test_libraries_of_gpus_are_for_linux_alone():
    for line in locked():
        if GPU_LIBRARY.fullmatch(line.name):
            assert line.marker.evaluate({"sys_platform": "linux", "platform_machine": "x86_64"}), line
            assert not line.marker.evaluate({"sys_platform": "darwin", "platform_machine": "arm64"}), line


@pytest.mark.parametrize("kind", LOCKS)
def test_a_lock_holds_every_dependency_within_its_bounds(kind):
    versions = {name: Version(version) for name, version in pins(kind).items()}
    for extra, entries in declared().items():
        for entry in entries:
            if canonical(entry.name) != "patch2loc":
                assert entry.specifier.contains(versions[canonical(entry.name)]), f"{extra}: {entry}"


def test_the_environment_of_developers_has_every_extra():
    (everything,) = [entry for entry in declared()["dev"] if entry.name == "patch2loc"]
    assert everything.extras == set(declared()) - {"", "dev"}


def test_what_everybody_installs_has_a_lower_bound_and_none_above():
    for extra, entries in declared().items():
        for entry in entries:
            bounds = [part.operator for part in entry.specifier]
            assert bounds == [">="] or entry.name.startswith(("types-", "patch2loc")), f"{extra}: {entry}"


def reachable(host):
    """Whether a server of packages answers."""
    try:
        socket.create_connection((host, 443), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("kind", LOCKS)
def test_a_lock_satisfies_what_its_packages_ask_for_here(kind):
    """By the packages that are installed, which are those of the lock but for torch's build."""
    versions = pins(kind)
    unmet, read = [], 0
    for name, pinned in versions.items():
        try:
            package = distribution(name)
        except PackageNotFoundError:  # of another system, or another build of torch
            continue
        if package.version != pinned.partition("+")[0]:
            continue
        read += 1
        for entry in map(Requirement, package.requires or ()):
            asked = canonical(entry.name)
            if (kind == "cpu" and GPU_LIBRARY.fullmatch(asked)) or (
                entry.marker and not entry.marker.evaluate({"extra": ""})
            ):
                continue
            if not entry.specifier.contains(versions.get(asked, "0"), prereleases=True):
                unmet.append(f"{name} asks for {entry}, {versions.get(asked, 'nothing')} found")
    assert unmet == []
    assert read > 100


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("kind", LOCKS)
def test_a_lock_resolves_on_the_servers_of_packages(kind):
    for host in ["pypi.org", *([CPU_INDEX] if kind == "cpu" else [])]:
        if not reachable(host):
            pytest.skip(f"{host} cannot be reached: whether {LOCKS[kind].name} resolves is not tested here")
    uv = shutil.which("uv")
    if not uv:
        pytest.skip(
            "uv is not installed, which asks servers for descriptions alone: pip would load all wheels"
        )
    command = [uv, "pip", "install", "--dry-run", "--reinstall", "--python", sys.executable]
    command += ["--index-strategy", "unsafe-best-match", "-r", str(LOCKS[kind])]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert f"torch=={pins(kind)['torch']}" in result.stderr


def test_the_pythons_that_the_package_names_are_those_of_the_matrix():
    matrix = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]["detect"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert matrix["strategy"]["matrix"]["python"] == named
