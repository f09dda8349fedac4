import subprocess
import sys
from pathlib import Path

import pytest
import torch

from patch2loc.engine import device
from patch2loc.errors import InputError

CLAIM = """
import sys
from patch2loc.engine.device import claim_gpu
print(claim_gpu(2, sys.argv[1]), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def claim(tmp_path):
    """Start a process that claims one of two GPUs and holds it until its input is closed."""
    running = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(Path(device.__file__).parents[2])},
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


def test_every_process_claims_a_gpu_of_its_own_and_gives_it_back_when_killed(claim):
    first, second = claim(), claim()
    numbers = {process.stdout.readline().strip() for process in (first, second)}
    assert numbers == {"0", "1"}
    third = claim()
    first.kill()
    first.wait()
    assert third.stdout.readline().strip() in numbers  # waited for the killed one's


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({}, "float32"),
        ({"amx_bf16": True}, "bfloat16"),
        ({"avx512_bf16": True, "amx_bf16": False}, "bfloat16"),
    ],
)
def test_half_precision_is_chosen_where_a_processor_multiplies_it(monkeypatch, able, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert device.select_precision("auto", "cpu") == expected
    assert device.select_precision("float32", "cpu") == "float32"
    assert device.select_precision("bfloat16", "cpu") == "bfloat16"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    assert device.select_device("auto") == "cpu"
    with pytest.raises(InputError, match=r"cuda found, .* expected, .* device: auto or cpu"):
        device.select_device("cuda")
