"""The engine gives the numbers of the plain network, in bounded memory, and goes on where it was killed."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import GOLDEN, golden_weights, needs_golden
from networks import SETTINGS, Killed, cohort, patch_by_patch, randomized, relative, same_training
from scipy.stats import spearmanr

from patch2loc.engine import training_loop
from patch2loc.heatmap import abnormality
from patch2loc.network import inference, training
from patch2loc.network.inference import DenseNetwork
from patch2loc.network.location import LocationNetwork
from patch2loc.network.prediction import predict
from patch2loc.network.stem import pool_windows

WIDTHS = (8, 8, 16, 16)


def test_pool_windows_of_a_patch_of_8():
    # Places of the first convolution begin at -3, -1, 1, 3, 5, 7 of the patch: (), (1, 2), all, all, all, (0,).
    everything = (0, 1, 2)
    assert pool_windows(8) == [
        (None, (), (1, 2)),
        ((1, 2), everything, everything),
        (everything, everything, (0,)),
    ]


@pytest.mark.parametrize("density", [0.02, 0.6], ids=["few voxels", "many voxels"])
@pytest.mark.parametrize("patch", [8, 10, 12, 22, 24, 32])
def test_the_engine_equals_patch_by_patch(patch, density):
    network = randomized(LocationNetwork(WIDTHS))
    rng = np.random.default_rng(patch)
    volume = rng.random((37, 30, 3)).astype(np.float32)
    voxels = np.argwhere(rng.random(volume.shape) < density)
    expected = patch_by_patch(volume, voxels, network, patch)
    for found, wanted in zip(predict(volume, voxels, DenseNetwork(network, patch)), expected, strict=True):
        assert relative(found, wanted) < 1e-5


@needs_golden
@pytest.mark.parametrize(
    ("precision", "bound", "count"),
    [("float32", 1e-5, 1500), ("bfloat16", 3e-2, 150), ("float16", 1e-2, 150)],
)
def test_the_engine_meets_the_published_network_on_a_real_slice(precision, bound, count):
    golden = np.load(GOLDEN)
    volume = np.zeros((192, 192, int(golden["n_slices"])), np.float32)
    volume[:, :, golden["slice_index"]] = golden["image"].transpose(1, 2, 0)
    place = np.argwhere(golden["mask"])
    place = place[np.random.default_rng(0).choice(len(place), count, replace=False)]
    voxels = np.c_[place[:, 1:], golden["slice_index"][place[:, 0]]]
    ready = DenseNetwork(golden_weights(LocationNetwork()), precision=precision)
    mean, log_variance = predict(volume, voxels, ready)
    reference = [golden[name][tuple(place.T)] for name in ("mean", "logvar")]
    assert relative(mean, reference[0]) < bound
    assert relative(log_variance, reference[1]) < bound
    score, exact = (
        abnormality(*outputs, voxels, volume.shape)["score"] for outputs in ((mean, log_variance), reference)
    )
    assert spearmanr(score, exact).statistic > 0.999


def test_the_engine_computes_fewer_patches_at_once_where_memory_is_short(monkeypatch):
    network = randomized(LocationNetwork(WIDTHS))
    volume = np.random.default_rng(0).random((30, 30, 2)).astype(np.float32)
    voxels = np.argwhere(volume > 0)
    enough, short = DenseNetwork(network, 8), DenseNetwork(network, 8)
    expected = predict(volume, voxels, enough)
    located = inference.DenseNetwork._located

    def limited(self, pooled, code):
        if len(pooled) > 100:
            raise torch.OutOfMemoryError("more than 100 patches")
        return located(self, pooled, code)

    monkeypatch.setattr(inference.DenseNetwork, "_located", limited)
    for found, wanted in zip(predict(volume, voxels, short), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert 50 < short.batch <= 100


def test_the_numbers_do_not_depend_on_the_threads():
    network = DenseNetwork(randomized(LocationNetwork(WIDTHS)), 8, memory_mb=0.5)
    volume = np.random.default_rng(0).random((30, 30, 4)).astype(np.float32)
    voxels = np.argwhere(volume > 0)
    assert network.batch < len(voxels) / 8
    threads = torch.get_num_threads()
    try:
        outputs = []
        for count in (1, 3):
            torch.set_num_threads(count)
            outputs.append(predict(volume, voxels, network))
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(*outputs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
def test_the_engine_holds_its_memory_budget():
    program = """
import re, sys
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
from patch2loc.network.inference import DenseNetwork
from patch2loc.network.prediction import predict
from patch2loc.network.location import LocationNetwork
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1000
network = DenseNetwork(LocationNetwork((16, 16, 16, 16)).eval(), 24, memory_mb=float(sys.argv[1]))
voxels = np.argwhere(np.ones((128, 128, 2)))
predict(np.zeros((16, 16, 1), np.float32), voxels[:10] % 16 * (1, 1, 0), network)
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = peak()
predict(np.zeros((128, 128, 2), np.float32), voxels, network)
print(peak() - before)
"""
    environment = {"PYTHONPATH": str(Path(inference.__file__).parents[2]), "PATH": "/usr/bin:/bin"}
    small, large = (
        float(
            subprocess.check_output([sys.executable, "-c", program, str(budget)], env=environment, text=True)
        )
        for budget in (5, 250)
    )
    # A slice's maps, of every kind of place, and the convolutions that they are made of: all else is the budget's.
    maps = 16 * 4 * (16 * 152**2 + 9 * 158**2) / 1e6
    assert small < 2 * maps + 2 * 5
    assert small + 50 < large < 2 * maps + 2 * 250


@pytest.mark.parametrize("stop_after", [1, 3])
def test_the_engine_goes_on_from_a_kill_to_the_same_weights(tmp_path, stop_after, monkeypatch):
    whole = training.train(cohort(3), cohort(2, seed=9), SETTINGS)
    monkeypatch.setattr(training_loop, "CHECKPOINT_SECONDS", -1)  # at every step
    checkpoint, steps, said = tmp_path / "checkpoint.pt", [], []
    one_slice_each = training.PatchPool.one_slice_each

    def killed(self, generator):
        steps.append(1)
        if len(steps) == 3 * stop_after + 2:  # in the middle between two validations
            raise Killed
        return one_slice_each(self, generator)

    with monkeypatch.context() as patched:
        patched.setattr(training.PatchPool, "one_slice_each", killed)
        with pytest.raises(Killed):
            training.train(cohort(3), cohort(2, seed=9), SETTINGS, checkpoint, progress=said.append)
    resumed = training.train(cohort(3), cohort(2, seed=9), SETTINGS, checkpoint, progress=said.append)
    assert f"going on from step {3 * stop_after + 1} of {SETTINGS.steps}" in said
    same_training(resumed, whole)


def test_the_engine_trains_to_the_same_weights_where_memory_is_short(monkeypatch):
    whole = training.train(cohort(3), cohort(2, seed=9), SETTINGS)
    predicted, said, waiting = training._predict, [], []

    class Counted(torch.autograd.graph.save_on_cpu):
        def __enter__(self):
            waiting.append(True)
            super().__enter__()

        def __exit__(self, *error):
            waiting.pop()
            super().__exit__(*error)

    def limited(network, *given):
        if network.training and not waiting:
            raise torch.OutOfMemoryError("no room for a batch")
        return predicted(network, *given)

    monkeypatch.setattr(torch.autograd.graph, "save_on_cpu", Counted)
    monkeypatch.setattr(training, "_predict", limited)
    spilled = training.train(cohort(3), cohort(2, seed=9), SETTINGS, progress=said.append)
    assert said[0].startswith("warning: a batch does not fit")
    assert "in main memory" in said[0]
    same_training(spilled, whole)


def test_half_precision_learns_as_much():
    longer = replace(SETTINGS, patches=64 * 100, validations=1)
    exact, half = (
        training.train(cohort(4), cohort(2, seed=9), replace(longer, precision=precision))[1]
        for precision in ("float32", "bfloat16")
    )
    assert half[-1]["validation_error"] == pytest.approx(exact[-1]["validation_error"], rel=0.25)
