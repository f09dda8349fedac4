"""Which GPUs a process may use, and its claim of one of several, with a stand-in for the driver."""

import os
import pwd
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from stand_in_driver import install_driver, several

from patch2loc.engine import gpus

LIBRARY = str(Path(gpus.__file__).parents[2])
SECOND, PART = "GPU-8932f937-d72c", "MIG-c6d4f1ef-42e4"
# Claims again and again, also in another thread, and says what it has; then it holds its claim until it is killed.
CLAIM = """
import os, sys, threading
from patch2loc.engine.gpus import claim_gpu
seen = []
def claim():
    claim_gpu(sys.argv[1])
    seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
claim()
thread = threading.Thread(target=claim)
thread.start()
thread.join()
claim()
print(*sorted(set(seen)), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """A process that nothing is chosen for, and that has not asked the driver yet; what it claims is given back."""
    monkeypatch.setenv(gpus.VISIBLE, "")  # so that it is removed again in the end, whatever is set meanwhile
    monkeypatch.delenv(gpus.VISIBLE)
    monkeypatch.setattr(gpus, "_claims", [])
    gpus._gpu_count.cache_clear()
    yield
    gpus._gpu_count.cache_clear()


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Let the driver's tool print something."""

    def installed(printed, status=0):
        monkeypatch.setenv("PATH", str(install_driver(tmp_path / "bin", printed, status)))

    return installed


@pytest.mark.parametrize(
    ("chosen", "visible"),
    [
        (None, ["0", "1"]),
        ("1", ["1"]),
        (" 1, 0", ["1", "0"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        (SECOND, [SECOND]),
        (PART, [PART]),
    ],
)
def test_visible_gpus_are_those_that_are_chosen_or_all_of_the_driver(chosen, visible, driver, monkeypatch):
    driver(several(2))
    if chosen is not None:
        monkeypatch.setenv(gpus.VISIBLE, chosen)
    assert gpus.visible_gpus() == visible


def test_without_a_driver_that_answers_there_is_no_gpu(driver, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus.visible_gpus() == []
    gpus._gpu_count.cache_clear()
    driver("Failed to initialize NVML: Driver/library version mismatch", status=18)
    assert gpus.visible_gpus() == []
    monkeypatch.setenv(gpus.VISIBLE, "0")
    assert gpus.visible_gpus() == []


@pytest.fixture
def claim(tmp_path):
    """Start a process that claims one of the GPUs of a driver and holds it until it is killed."""
    running = []

    def start(count=2, **environment):
        path = install_driver(tmp_path / "bin", several(count))
        process = subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": LIBRARY, "PATH": str(path), **environment},
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


def claimed_by(process):
    return process.stdout.readline().strip()


def test_every_process_claims_one_gpu_however_often_it_asks_and_gives_it_back_when_killed(claim):
    first, second = claim(), claim()
    assert {claimed_by(first), claimed_by(second)} == {"0", "1"}
    third = claim()
    third.stderr.readline()  # it waits
    first.kill()
    first.wait()
    assert claimed_by(third) in "01"


def test_a_process_says_once_what_it_waits_for_and_how_to_end_the_wait(claim, tmp_path):
    first, second = claim(), claim()
    assert {claimed_by(first), claimed_by(second)} == {"0", "1"}
    third = claim()
    message = third.stderr.readline()
    paths = ", ".join(f"{tmp_path}/patch2loc-{os.getuid()}-gpu-{number}.lock" for number in range(2))
    assert message.startswith(
        f"waiting for a GPU: all that are visible are claimed ({paths}). A claim ends with"
    )
    assert gpus.VISIBLE in message
    assert "device: cpu" in message
    third.stdin.close()
    first.kill()
    claimed_by(third)
    third.wait()
    assert third.stderr.read() == ""


def test_processes_claim_among_the_gpus_that_are_chosen_for_all_of_them(claim):
    chosen = {gpus.VISIBLE: "2,3"}
    assert {claimed_by(claim(4, **chosen)), claimed_by(claim(4, **chosen))} == {"2", "3"}


def test_a_single_gpu_is_shared(claim):
    assert [claimed_by(claim(4, **{gpus.VISIBLE: "3"})) for _ in range(2)] == ["3", "3"]


def test_nothing_is_claimed_where_there_is_one_gpu_or_none(driver, tmp_path):
    for count in (0, 1):
        gpus._gpu_count.cache_clear()
        driver(several(count))
        gpus.claim_gpu(tmp_path / "locks")
        assert gpus.VISIBLE not in os.environ


def test_a_user_without_a_name_claims_a_gpu(driver, tmp_path, monkeypatch):
    def unknown(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    driver(several(2))
    gpus.claim_gpu(tmp_path)
    assert os.environ[gpus.VISIBLE] == "0"


def test_threads_that_ask_at_once_get_one_gpu(driver, tmp_path):
    driver(several(8))
    threads = [threading.Thread(target=gpus.claim_gpu, args=[tmp_path]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(gpus._claims) == 1
    assert len(list(tmp_path.glob("*.lock"))) == 1
