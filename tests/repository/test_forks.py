"""A fork that runs a program for tests begins and ends as a process of its own does."""

import json
import os
import subprocess
import sys
import time

import forks
import psutil
import pytest
import time_spent

pytestmark = pytest.mark.workflow
SEEN = """
import json, os, sys
seen = {
    "name": __name__,
    "arguments": sys.argv,
    "path": [entry for entry in sys.path if not entry.endswith("in_forks")],
    "folder": os.getcwd(),
    "environment": {
        name: value for name, value in os.environ.items() if name != "PYTHONPATH" and "_FORKS" not in name
    },
    "not a library": [name for name in ("patch2loc", "forks", "time_spent") if name in sys.modules],
}
print(json.dumps(seen))
print("said", file=sys.stderr)
"""


def both(arguments, folder):
    """The process and the fork that run the same program: what each said, and how it ended."""
    command = [sys.executable, *map(str, arguments)]
    alone = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True)
    return alone, forks.run(command, folder)


@pytest.mark.parametrize("kind", ["-c", "-m", "file"])
def test_a_fork_has_the_arguments_path_folder_and_environment_of_a_process(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("ANSWER", "42 %")
    (tmp_path / "below").mkdir()
    (tmp_path / "below/program.py").write_text(SEEN)
    (tmp_path / "module.py").write_text(SEEN)
    program = {"-c": ["-c", SEEN], "-m": ["-m", "module"], "file": ["below/program.py"]}[kind]
    alone, fork = both([*program, "--one", "two words"], tmp_path)
    assert (fork.stderr, fork.returncode) == (alone.stderr, 0)
    assert json.loads(fork.stdout) == json.loads(alone.stdout)
    assert json.loads(fork.stdout)["name"] == "__main__"
    assert json.loads(fork.stdout)["not a library"] == []


@pytest.mark.parametrize(
    "end",
    [
        "sys.exit(3)",
        "sys.exit('InputError: no scan')",
        "sys.exit()",
        "os._exit(4)",
        "os.kill(os.getpid(), 9)",
        "1 / 0",
    ],
)
def test_a_fork_ends_as_a_process_does(end, tmp_path):
    alone, fork = both(["-c", f"import os, sys; print('begun', flush=True); {end}"], tmp_path)
    assert (fork.returncode, fork.stdout) == (alone.returncode, "begun\n")
    assert fork.stderr.splitlines()[-1:] == alone.stderr.splitlines()[-1:]


def test_what_a_fork_starts_is_a_fork_and_its_time_is_counted(tmp_path):
    inner = "import sys, time\nwhile time.process_time() < 1: pass\nsys.exit('torch' in sys.modules)"
    outer = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {inner!r}]).returncode)"
    before = time_spent.of_forks
    assert forks.run([sys.executable, "-c", outer], tmp_path).returncode == 1
    assert 1 < time_spent.of_forks - before < 3


def test_a_fork_is_killed_with_the_process_that_waits_for_it(tmp_path):
    program = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", program], env=forks.environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        fork = int(process.stdout.readline())
        assert fork != process.pid
        assert psutil.pid_exists(fork)
        process.kill()
    deadline = time.monotonic() + 20
    while psutil.pid_exists(fork):
        assert time.monotonic() < deadline
        time.sleep(0.05)
