import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from stand_in_driver import install_driver, several

from patch2loc.engine import device
from patch2loc.errors import InputError

# Selects a GPU again and again, in several threads, where torch is made to believe in two of them; says what is chosen.
SELECT = """
import os, sys, threading
import torch
torch.cuda.is_available, torch.cuda.device_count = lambda: True, lambda: 2
torch.cuda.set_device = print
from patch2loc.engine.device import select_device
for name in ("cuda", "auto", "cuda"):
    thread = threading.Thread(target=select_device, args=[name])
    thread.start()
    thread.join()
    print(select_device(name), os.environ["CUDA_VISIBLE_DEVICES"])
"""


def test_a_process_that_selects_a_gpu_again_stays_on_it(tmp_path):
    path = install_driver(tmp_path / "bin", several(2))
    environment = {"PYTHONPATH": str(Path(device.__file__).parents[2]), "TMPDIR": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", SELECT],
        capture_output=True,
        text=True,
        timeout=60,
        env={**environment, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["cuda 0"] * 3


@pytest.fixture
def believed_gpu(monkeypatch):
    """One GPU, as far as torch is asked for it; its settings are put back."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    settings = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [setting.allow_tf32 for setting in settings]
    for setting in settings:
        setting.allow_tf32 = True
    yield
    for setting, allowed in zip(settings, before, strict=True):
        setting.allow_tf32 = allowed


def test_float32_on_a_gpu_is_float32(believed_gpu):
    assert device.select_device("auto") == "cuda"
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"


def test_training_alone_asks_for_operations_that_repeat(believed_gpu, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    device.select_device("cuda")
    assert not torch.are_deterministic_algorithms_enabled()
    with device.repeatable("cuda"):
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.are_deterministic_algorithms_enabled()
    with device.repeatable("cpu"):
        assert not torch.are_deterministic_algorithms_enabled()


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
