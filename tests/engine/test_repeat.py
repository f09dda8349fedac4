"""The same seed, the same numbers: bit by bit on a CPU, within bounds elsewhere (docs/explanation/provenance.md)."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from repository_paths import ROOT
from small_training import train_small, write_scan

from patch2loc.engine import device
from patch2loc.models import load_model
from patch2loc.score.scoring import heatmap_of

# One model, heatmap of a GPU beside that of a processor, in float32: share of the norm.  Sums have another order, and
# some algorithms of convolutions on a GPU lose a digit.
GPU_SCORE = 1e-4
# One model and another number of threads: another order of sums in float32.
THREADS_SCORE = 1e-5
# A training with another number of threads is another training: loss and error on validation scans, relative.
THREADS_TRAINING = 0.05

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU: what repeats on one is not tested here"
)
PROGRAM = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
from small_training import train_small
train_small(Path(sys.argv[3]), "again")
"""


def off(found, expected):
    """Share of the norm by which arrays differ."""
    found, expected = (np.asarray(values, float) for values in (found, expected))
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def weights(path):
    """All numbers of a trained network."""
    found = []
    waiting = [load_model(path)["state"]]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            found.append(value.ravel())
    assert found
    return np.concatenate(found)


def heatmap(path, folder, where="cpu"):
    scan = write_scan(folder, "test", 17)
    values = heatmap_of(load_model(path), where, median_filter=3)(*scan.read(), "test")
    return values[np.isfinite(values)]


def validation(path):
    return pd.read_csv(path.with_name("history.csv"))[["validation_loss", "validation_error"]]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A model that was trained with one thread."""
    return train_small(tmp_path_factory.mktemp("repeat"), "first")


@pytest.fixture
def threads():
    """Give back the number of threads that a test changes."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_training_again_in_another_process_gives_the_same_bytes(first):
    folders = [ROOT / "tests/support", ROOT / "workflow/scripts"]
    command = [sys.executable, "-c", PROGRAM, *folders, first.parents[1]]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    again = first.parents[1] / "again" / first.name
    assert again.read_bytes() == first.read_bytes()


def test_training_with_more_threads_ends_where_one_thread_does(first):
    more = train_small(first.parents[1], "more", threads=2)
    assert off(validation(more), validation(first)) < THREADS_TRAINING


def test_scores_do_not_depend_on_the_threads(first, tmp_path, threads):
    found = []
    for count in (1, 2, 1):
        threads(count)
        found.append(heatmap(first, tmp_path))
    assert off(found[1], found[0]) < THREADS_SCORE
    assert np.array_equal(found[2], found[0])


@needs_gpu
def test_a_gpu_trains_twice_to_the_same_weights(tmp_path):
    one, two = (weights(train_small(tmp_path, name, "cuda")) for name in ("one", "two"))
    assert np.array_equal(two, one)


@needs_gpu
def test_a_gpu_scores_as_a_processor_does(first, tmp_path):
    where = device.select_device("cuda")
    on_gpu = heatmap(first, tmp_path, where)
    assert off(on_gpu, heatmap(first, tmp_path)) < GPU_SCORE
    assert np.array_equal(heatmap(first, tmp_path, where), on_gpu)
