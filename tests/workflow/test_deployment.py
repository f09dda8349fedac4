"""The workflow as users of the workflow catalog have it: a version in git, deployed into an empty folder.

A folder stands in for github.com, and git is told to go there: `github(...)`, the clone that Snakemake keeps and
snakedeploy do what they do with a repository on that server.
"""

import os
import re
import shutil
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import forks
import pandas as pd
import pytest
from repository_paths import ROOT

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(
        not (shutil.which("git") and (ROOT / ".git").exists()), reason="git knows no files of this version"
    ),
]
SMALL = ROOT / "tests/slurm/small.yaml"
FROM_GITHUB = 'github("owner/patch2loc", path="workflow/Snakefile", tag="{tag}")'
SNAKEFILE = """
configfile: "config/config.yaml"


module patch2loc:
    snakefile:
        {source}
    config:
        config


use rule * from patch2loc
"""


def git(folder, *arguments):
    person = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
    result = subprocess.run(
        ["git", *person, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return result.stdout


def release(repository, tag):
    git(repository, "add", "--all", "--force")
    git(repository, "commit", "--quiet", "--message", tag)
    git(repository, "tag", tag)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Folder with the repository owner/patch2loc: v1 has the files as they are here and now; v2 and v3 change one."""
    folder = tmp_path_factory.mktemp("server")
    repository = folder / "owner/patch2loc"
    for path in git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if (ROOT / path).is_file():
            (repository / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, repository / path)
    git(repository, "init", "--quiet")
    release(repository, "v1")
    for tag, path in (("v2", "README.md"), ("v3", "workflow/scripts/result.py")):
        with open(repository / path, "a") as file:
            file.write("ANOTHER = True\n")
        release(repository, tag)
    return folder


@pytest.fixture(scope="module")
def environment(server, tmp_path_factory):
    """Variables by which git finds the server, and a cache of Snakemake's own."""
    return {
        **os.environ,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{server.as_uri()}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
        "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),
    }


def deploy(server, folder, source):
    """Write what `snakedeploy deploy-workflow https://github.com/owner/patch2loc FOLDER --tag TAG` writes."""
    for name in ("config", "profiles"):
        shutil.copytree(server / "owner/patch2loc" / name, folder / name)
    shutil.copy(server / "owner/patch2loc/LICENSE", folder)
    (folder / "workflow").mkdir()
    (folder / "workflow/Snakefile").write_text(SNAKEFILE.format(source=source))
    return folder


def snakemake(folder, environment, *arguments):
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    return forks.run(command, folder, environment)


def plan(folder, environment, *arguments):
    return snakemake(folder, environment, "--dry-run", *arguments)


@pytest.fixture(scope="module")
def deployed(server, environment, tmp_path_factory):
    """Folder in which v1, deployed with a small configuration, has made Table 1."""
    folder = deploy(server, tmp_path_factory.mktemp("deployed"), FROM_GITHUB.format(tag="v1"))
    shutil.copy(SMALL, folder / "config/config.yaml")
    result = snakemake(folder, environment, "table1")
    assert result.returncode == 0, result.stderr[-6000:]
    return folder


@pytest.mark.skipif(
    not shutil.which("snakedeploy"), reason="snakedeploy is not installed: its copy is written out"
)
def test_snakedeploy_writes_what_these_tests_write(server, environment, tmp_path):
    expected, found = tmp_path / "expected", tmp_path / "found"
    expected.mkdir()
    deploy(
        server, expected, FROM_GITHUB.format(tag="v3")
    )  # the newest, which the folder of the repository has
    command = [
        "snakedeploy",
        "deploy-workflow",
        "https://github.com/owner/patch2loc",
        str(found),
        "--tag",
        "v3",
    ]
    subprocess.run(command, env=environment, check=True)
    files = {path.relative_to(expected) for path in expected.rglob("*") if path.is_file()}
    assert {path.relative_to(found) for path in found.rglob("*") if path.is_file()} == files
    for path in files - {Path("workflow/Snakefile")}:
        assert (found / path).read_bytes() == (expected / path).read_bytes()
    written = re.sub(
        r"^#.*|.*min_version.*", "", (found / "workflow/Snakefile").read_text(), flags=re.MULTILINE
    )
    assert written.split() == (expected / "workflow/Snakefile").read_text().split()


@pytest.mark.parametrize("kind", ["github", "git+file", "gitfile"])
def test_the_paper_is_planned_in_an_empty_folder(kind, server, environment, tmp_path):
    repository = server / "owner/patch2loc"
    sources = {
        "github": FROM_GITHUB.format(tag="v1"),
        "git+file": f'"git+file://{repository}/workflow/Snakefile@v1"',
        "gitfile": f'gitfile("{repository}", path="workflow/Snakefile", tag="v1")',
    }
    result = plan(deploy(server, tmp_path, sources[kind]), environment)
    said = result.stdout + result.stderr
    assert result.returncode == 1
    assert "Data are missing: of 6 of 6 datasets and the atlas." in said
    assert "brats21: none of 1,251 subjects is there" in said  # its list has been read
    assert "data/brats21/BraTS2021_00000/BraTS2021_00000_t2.nii.gz" in said
    assert "TypeError" not in said


def test_a_page_of_the_web_is_refused(server, environment, tmp_path):
    """It has no other files of the workflow."""
    pages = partial(SimpleHTTPRequestHandler, directory=str(server / "owner/patch2loc"))
    with ThreadingHTTPServer(("127.0.0.1", 0), pages) as web:
        Thread(target=web.serve_forever).start()
        source = f'"http://127.0.0.1:{web.server_port}/workflow/Snakefile"'
        result = plan(deploy(server, tmp_path, source), environment)
        web.shutdown()
    assert result.returncode == 1
    assert "a folder or a version in git expected" in result.stdout + result.stderr


@pytest.mark.thorough
def test_table_1_is_made(deployed):
    table = pd.read_csv(deployed / "results/small/tables/table1.csv")
    assert {"patch2loc", "thresh"} <= set(table["method"])
    assert set(table["dataset"]) == {"phantom_stroke"}
    assert table["mean"].between(0, 1).all()


@pytest.mark.thorough
def test_without_a_target_everything_is_made(deployed, environment):
    result = plan(deployed, environment)
    assert result.returncode == 0, result.stderr[-4000:]
    planned = jobs(result.stdout + result.stderr)
    assert {"all", "report_page", "crate"} <= planned
    assert not planned & {"simulate_phantom", "preprocess", "train"}  # as they have been made


@pytest.mark.thorough
def test_a_job_needs_no_repository(deployed, environment, tmp_path):
    """As on a node without network: Snakemake's cache has the entry of the workflow, git is not there."""
    folder = shutil.copytree(deployed, tmp_path / "deployed")
    without_git = {**environment, "GIT_PYTHON_GIT_EXECUTABLE": "", "GIT_CONFIG_COUNT": "0"}
    table = folder / "results/small/tables/table1.csv"
    table.unlink()
    result = snakemake(
        folder,
        without_git,
        "--mode",
        "subprocess",
        "--nolock",
        "--target-jobs",
        "table1:",
        "--allowed-rules",
        "table1",
    )
    assert result.returncode == 0, result.stderr[-4000:]
    assert table.read_bytes() == (deployed / "results/small/tables/table1.csv").read_bytes()


@pytest.mark.thorough
def test_a_new_version_runs_again_what_it_has_changed(deployed, environment):
    for tag, planned in (("v2", set()), ("v3", {"table1"})):
        (deployed / "workflow/Snakefile").write_text(SNAKEFILE.format(source=FROM_GITHUB.format(tag=tag)))
        result = plan(deployed, environment, "table1")
        assert result.returncode == 0, result.stderr[-4000:]
        assert jobs(result.stdout + result.stderr) == planned


def jobs(said):
    """Rules of the jobs that a plan lists."""
    return set(re.findall(r"^(?:local)?rule (\w+):$", said, re.MULTILINE))
