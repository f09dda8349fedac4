"""The same seed and the same numbers: bit by bit on a CPU, within stated bounds elsewhere (docs/provenance.md)."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fitted import SETTINGS, write_scan

from patch2loc.engine import device
from patch2loc.files import write_json
from patch2loc.models import load_model
from patch2loc.score.scoring import heatmap_of
from patch2loc.standardize import fit_landmarks
from patch2loc.train import FitJob, fit_model, write_model

# On one GPU, as its library may add up in another order: share of the norm of the weights.
SAME_GPU = 1e-3
# One model, heatmap of a GPU beside that of a processor, in float32: share of the norm.  Convolutions on a GPU take
# 10 bits of each factor (TF32).
GPU_SCORE = 1e-2
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
sys.path[:0] = sys.argv[1:4]
import test_repeat
test_repeat.fit(Path(sys.argv[4]), "again")
"""


def fit(folder, name, where="cpu", threads=1):
    """Train on scans in a folder, as the script of the rule does; the model's file, in the folder `name`."""
    before = torch.get_num_threads()
    where = device.select_device(where, threads)
    scans = [write_scan(folder, f"s{number}", number) for number in range(4)]
    write_json(folder / "landmarks.json", fit_landmarks(scans[:3]))
    settings = {**SETTINGS, "spacing": 2.0, "precision": "float32"}
    fitted = fit_model(
        FitJob("patch2loc", "T1", 0, settings, {"atlas": "icbm152", "preprocess": {}}, "code", where),
        training=scans[:3],
        validation=scans[3:],
        landmarks_path=folder / "landmarks.json",
        checkpoint_folder=folder / name,
    )
    write_model(fitted, folder / name / "model.safetensors", folder / name / "history.csv")
    torch.set_num_threads(before)
    return folder / name / "model.safetensors"


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
    return fit(tmp_path_factory.mktemp("repeat"), "first")


@pytest.fixture
def threads():
    """Give back the number of threads that a test changes."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_training_again_in_another_process_gives_the_same_bytes(first):
    tests = Path(__file__).parent
    folders = [tests, tests.parent / "support", tests.parents[1] / "workflow/scripts"]
    given = [sys.executable, "-c", PROGRAM, *folders, first.parents[1]]
    result = subprocess.run(list(map(str, given)), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    again = first.parents[1] / "again" / first.name
    assert again.read_bytes() == first.read_bytes()


def test_training_with_more_threads_ends_where_one_thread_does(first):
    more = fit(first.parents[1], "more", threads=2)
    assert off(validation(more), validation(first)) < THREADS_TRAINING


def test_scores_do_not_depend_on_the_threads(first, tmp_path, threads):
    found = []
    for count in (1, 2, 1):
        threads(count)
        found.append(heatmap(first, tmp_path))
    assert off(found[1], found[0]) < THREADS_SCORE
    assert np.array_equal(found[2], found[0])


@needs_gpu
def test_a_gpu_trains_twice_to_the_same_weights_within_a_bound(tmp_path):
    one, two = (weights(fit(tmp_path, name, "cuda")) for name in ("one", "two"))
    assert off(two, one) < SAME_GPU


@needs_gpu
def test_a_gpu_scores_as_a_processor_does(first, tmp_path):
    where = device.select_device("cuda")
    on_gpu = heatmap(first, tmp_path, where)
    assert off(on_gpu, heatmap(first, tmp_path)) < GPU_SCORE
    assert np.array_equal(heatmap(first, tmp_path, where), on_gpu)
