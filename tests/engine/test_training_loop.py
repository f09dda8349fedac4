"""The loop of a training: memory that is short, and checkpoints that are written beside it."""

import errno
import os
import threading
import time

import numpy as np
import pytest
import torch
from small_fits import small_fit
from torch import nn

from patch2loc.engine import checkpoints, training_loop
from patch2loc.engine.training_loop import train_in_steps
from patch2loc.methods.reconstruction import autoencoder

SAMPLES, STEPS = 6, 5


class Small(nn.Module):
    """A network with or without normalization over a batch."""

    def __init__(self, batch_norm):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, 8), nn.BatchNorm1d(8) if batch_norm else nn.Tanh(), nn.Linear(8, 1)
        )


def trained(
    batch_norm=False, limit=None, checkpoint=None, said=None, before_loss=lambda step: None, seen=None
):
    """Train for some steps on a GPU that has room for so many samples, or what is saved elsewhere."""
    torch.manual_seed(0)
    network = Small(batch_norm)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    taken = []

    def draw(step):
        if seen is not None:
            seen[step - 1] = {name: value.clone() for name, value in network.state_dict().items()}
        generator = torch.Generator().manual_seed(step)
        return tuple(torch.randn(SAMPLES, size, generator=generator) for size in (3, 1))

    def losses_of(x, y):
        taken.append(len(x))
        before_loss(len(taken))
        predicted = network.layers(x)
        if limit is not None and len(x) > limit and not training_loop_saves():
            raise torch.OutOfMemoryError("no room")
        return [(predicted - y).square().mean()]

    def training_loop_saves():
        return torch._C._autograd._top_saved_tensors_default_hooks(False) is not None

    def validate(rate):
        return {"validation_loss": network.layers[0].weight.abs().sum().item(), "learning_rate": rate}

    history = train_in_steps(
        network, [optimizer], None, draw, losses_of, validate=validate, steps=STEPS, batch=SAMPLES, validations=2,
        unit="slices", checkpoint=checkpoint, progress=(said if said is not None else []).append, clip=1.0,
    )  # fmt: skip
    return network, history, taken


@pytest.mark.parametrize(("limit", "parts"), [(3, [3, 3]), (2, [2, 2, 2]), (1, [1] * 6)])
def test_a_batch_that_does_not_fit_is_taken_in_parts(limit, parts):
    network, history, _ = trained()
    said = []
    in_parts, its_history, taken = trained(limit=limit, said=said)
    assert taken[-len(parts) :] == parts
    assert any("does not fit the GPU" in line for line in said)
    for value, expected in zip(in_parts.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)  # sums of parts, after some steps
    for row, expected in zip(its_history, history, strict=True):
        assert row["training_loss"] == pytest.approx(expected["training_loss"], rel=1e-5)


def test_where_samples_depend_on_each_other_what_is_saved_waits_in_main_memory():
    network, history, _ = trained(batch_norm=True)
    said = []
    spilled, its_history, taken = trained(batch_norm=True, limit=2, said=said)
    assert set(taken) == {SAMPLES}
    assert "in main memory" in said[0]
    # The statistics of the pass that failed are taken back, too.
    for name, value in spilled.state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name
    assert [row["training_loss"] for row in its_history] == [row["training_loss"] for row in history]


def test_memory_that_is_short_later_goes_back_to_the_last_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(training_loop, "CHECKPOINT_SECONDS", -1)  # at every step
    network, history, _ = trained(batch_norm=True)
    failed, said = [], []

    def once(call):
        if call == 4 and not failed:
            failed.append(call)
            raise torch.OutOfMemoryError("another program took it")

    found, its_history, taken = trained(
        batch_norm=True, checkpoint=tmp_path / "checkpoint.pt", said=said, before_loss=once
    )
    assert len(taken) == STEPS + 1
    for name, value in found.state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name
    assert [row["training_loss"] for row in its_history] == [row["training_loss"] for row in history]


def test_one_sample_that_does_not_fit_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        trained(limit=0)


@pytest.mark.parametrize("name", ["dae", "ddpm", "pddpm"])
def test_slice_methods_without_batch_normalization_train_in_parts(name, monkeypatch):
    if name != "dae":
        for package in ("diffusers", "opensimplex"):
            pytest.importorskip(package)
    backward, step, parts, gradients = training_loop._Steps._backward, torch.optim.Adam.step, [], []

    def recorded(optimizer, *given):
        found = [value.grad.clone() for group in optimizer.param_groups for value in group["params"]]
        gradients.append(torch.cat([gradient.flatten() for gradient in found]))
        return step(optimizer, *given)

    def limited(steps, loss, share):
        parts.append(share)
        if share > 0.5:
            raise torch.OutOfMemoryError("no room for more than half of the batch")
        backward(steps, loss, share)

    monkeypatch.setattr(torch.optim.Adam, "step", recorded)
    _, history = small_fit(name, 1)
    monkeypatch.setattr(training_loop._Steps, "_backward", limited)
    _, its_history = small_fit(name, 1)
    assert parts == [1.0, 0.5, 0.5]
    whole, in_parts = gradients
    assert (in_parts - whole).norm() < 1e-4 * whole.norm()  # rounding of float32
    np.testing.assert_allclose(its_history["training_loss"], history["training_loss"], rtol=1e-5)


def test_an_autoencoder_with_batch_normalization_trains_to_the_same_weights_where_memory_is_short(
    monkeypatch,
):
    whole, _ = small_fit("ae", 3)
    loss, failed = autoencoder.loss, []

    def limited(network, *batch):
        value = loss(network, *batch)
        if network.training and not failed:
            failed.append(True)
            raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
        return value

    monkeypatch.setattr(autoencoder, "loss", limited)
    state, _ = small_fit("ae", 3)
    assert failed
    for key, value in whole["weights"].items():
        np.testing.assert_array_equal(value, state["weights"][key], err_msg=key)


def test_checkpoints_are_written_one_at_a_time_beside_the_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(training_loop, "CHECKPOINT_SECONDS", -1)  # at every step
    write, threads, at_once = checkpoints._write, [], []

    def slow(path, saved):
        threads.append(threading.current_thread())
        at_once.append(1)
        assert len(at_once) == 1
        time.sleep(0.05)
        write(path, saved)
        at_once.pop()

    monkeypatch.setattr(checkpoints, "_write", slow)
    network, history, _ = trained(checkpoint=tmp_path / "checkpoint.pt")
    assert len(threads) == STEPS
    assert threading.main_thread() not in threads
    # The last one is complete, and what is in it is the state after the last step.
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["step"] == STEPS
    assert saved["history"] == history
    for name, value in saved["best"]["state"].items():
        assert torch.equal(value, network.state_dict()[name])


def test_a_checkpoint_holds_the_state_of_its_step_although_the_training_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(training_loop, "CHECKPOINT_SECONDS", -1)  # at every step
    write, written = checkpoints._write, {}

    def late(path, saved):
        time.sleep(0.05)  # the next step is done meanwhile
        written[saved["step"]] = {name: value.clone() for name, value in saved["network"].items()}
        write(path, saved)

    monkeypatch.setattr(checkpoints, "_write", late)
    seen = {}
    trained(checkpoint=tmp_path / "checkpoint.pt", seen=seen)
    assert written.keys() == set(range(1, STEPS + 1))
    for step in range(1, STEPS):
        for name, value in written[step].items():
            assert torch.equal(value, seen[step][name]), (step, name)


def test_between_validations_no_checkpoint_is_due_for_minutes(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(checkpoints, "_write", lambda path, saved: written.append(saved["step"]))
    trained(checkpoint=tmp_path / "checkpoint.pt")
    assert written == [STEPS]


def test_a_full_disk_ends_the_training_with_the_name_of_the_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(training_loop, "CHECKPOINT_SECONDS", -1)  # at every step

    def full(path, descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match=r"No space left on device: .*checkpoint\.pt"):
        trained(checkpoint=tmp_path / "checkpoint.pt")
