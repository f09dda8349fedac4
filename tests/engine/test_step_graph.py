"""Training steps as one CUDA graph, with a stand-in for the graph where there is no GPU."""

from dataclasses import replace

import pytest
import torch
from networks import SETTINGS, Killed, cohort, same_training
from stand_in_graph import StandInGraph

from patch2loc.engine import step_graph, training_loop
from patch2loc.methods.patch2loc_unpadded.model import unpadded
from patch2loc.network import training
from patch2loc.network.training import paper_network, train

# On a GPU learning rates are float32: with those that it holds exactly all numbers are the same.
EXACT = replace(SETTINGS, learning_rate=2**-6, schedule="constant")


def halving(optimizer, settings):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 ** (step // 2))


@pytest.fixture
def graphs(monkeypatch):
    """Let a processor have graphs, too, and the learning rate change at every second step."""
    monkeypatch.setattr(training, "schedule_of", halving)
    monkeypatch.setattr(step_graph, "DEVICES", {"cpu"})
    monkeypatch.setattr(step_graph, "CudaGraph", StandInGraph)
    monkeypatch.setattr(StandInGraph, "captures", 0)
    monkeypatch.setattr(StandInGraph, "replays", 0)
    return StandInGraph


@pytest.mark.parametrize("build", [paper_network, unpadded])
@pytest.mark.parametrize(
    "settings",
    [EXACT, replace(EXACT, averaging=0.9), replace(EXACT, precision="bfloat16")],
    ids=["float32", "averaging", "bfloat16"],
)
def test_replayed_steps_train_to_the_same_weights(graphs, monkeypatch, settings, build):
    replayed = train(cohort(3), cohort(2, seed=9), settings, build=build)
    assert graphs.captures == 1
    assert graphs.replays == settings.steps - step_graph.WARM_UP_STEPS
    monkeypatch.setattr(step_graph, "DEVICES", {"cuda"})
    same_training(train(cohort(3), cohort(2, seed=9), settings, build=build), replayed)


@pytest.mark.parametrize("stop_after", [2, 7])  # before the capture and after it
def test_a_killed_training_goes_on_with_a_graph_of_its_own(tmp_path, graphs, monkeypatch, stop_after):
    settings = replace(EXACT, averaging=0.9)
    whole = train(cohort(3), cohort(2, seed=9), settings)
    monkeypatch.setattr(training_loop, "CHECKPOINT_SECONDS", -1)  # at every step
    drawn = training.PatchPool.draw

    def killed(pool, generator, count, slices=None):
        killed.calls += 1
        if killed.calls == 2 + stop_after:  # the first call draws the validation's patches
            raise Killed
        return drawn(pool, generator, count, slices)

    killed.calls = 0
    with monkeypatch.context() as patched:
        patched.setattr(training.PatchPool, "draw", killed)
        with pytest.raises(Killed):
            train(cohort(3), cohort(2, seed=9), settings, tmp_path / "checkpoint.pt")
    said = []
    resumed = train(cohort(3), cohort(2, seed=9), settings, tmp_path / "checkpoint.pt", progress=said.append)
    assert said[0] == f"going on from step {stop_after} of {settings.steps}"
    same_training(resumed, whole)


def test_a_step_that_cannot_be_captured_is_launched_kernel_by_kernel(graphs, monkeypatch):
    plain = train(cohort(3), cohort(2, seed=9), EXACT)
    loss = training.beta_nll

    def reading(mean, log_variance, target, beta):
        mean.sum().item()  # which waits for the device
        return loss(mean, log_variance, target, beta)

    said = []
    monkeypatch.setattr(training, "beta_nll", reading)
    same_training(train(cohort(3), cohort(2, seed=9), EXACT, progress=said.append), plain)
    (warning,) = (line for line in said if "kernel by kernel" in line)
    assert "not permitted when stream is capturing" in warning
    assert graphs.captures == 2  # one in the first, plain training


def test_the_learning_rate_is_a_number_wherever_it_is_read(graphs, tmp_path):
    _, history = train(cohort(3), cohort(2, seed=9), EXACT, tmp_path / "checkpoint.pt")
    rates = [row["learning_rate"] for row in history]
    assert all(isinstance(rate, float) for rate in rates)
    assert rates[0] > rates[-1]
    (group,) = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["optimizers"][0]["param_groups"]
    assert isinstance(group["lr"], float)
    assert group["capturable"] is False
