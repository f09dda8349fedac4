"""Scoring on a GPU, without one: nothing is computed on the wrong device, and the host waits for nothing."""

import warnings

import numpy as np
import pytest
import torch
from networks import randomized, relative
from scans import noise_scan
from stand_in_graph import StandInGraph
from torch import nn
from valueless_gpu import convolution_add_relu, convolution_relu, valueless_gpu

from patch2loc.engine import cuda_graph
from patch2loc.methods.patch2loc.model import network_score
from patch2loc.methods.patch_vae.model import measure_score
from patch2loc.methods.reconstruction.residual import residual_score
from patch2loc.network import inference
from patch2loc.network.fused_convolution import with_fused_convolutions
from patch2loc.network.inference import DenseNetwork
from patch2loc.network.location import LocationNetwork, for_inference
from patch2loc.network.patch_vae import PatchVAE
from patch2loc.network.patch_vae_inference import ReadyPatchVAE
from patch2loc.network.prediction import predict
from patch2loc.network.unpadded import ReadyUnpadded, UnpaddedNetwork
from patch2loc.score.postprocessing import as_published, median_filtered

PATCH, WIDTHS = 12, (8, 8, 16, 16)


@pytest.fixture
def recorded(monkeypatch):
    """Stands for a CUDA graph: work is recorded when it is done first, and done again in the same memory."""
    works = []

    def record(work):
        works.append(work)
        return work

    monkeypatch.setattr(inference, "recorded", record)
    return works


def brain(slices, part=np.s_[3:25, 4:22]):
    return noise_scan(1, (30, 26, slices + 2), (*part, slice(1, -1)))


def padded():
    network = LocationNetwork(WIDTHS).eval()
    return lambda: network_score(DenseNetwork(network, PATCH, "cuda", "bfloat16"), 1)


def unpadded():
    network = UnpaddedNetwork(PATCH, WIDTHS).eval()
    return lambda: network_score(ReadyUnpadded(network, "cuda", "bfloat16"), 1)


def vae_of_patches():
    network = PatchVAE(PATCH, WIDTHS, 4).eval()
    return lambda: measure_score(
        ReadyPatchVAE.reconstruction_error, ReadyPatchVAE(network, "cuda", "bfloat16"), 1
    )


def slices():
    return lambda: residual_score(nn.Conv2d(1, 1, 3, padding=1).to("cuda"), "cuda", 2.0, "bfloat16", batch=4)


def waits_of(scorer, volume, mask, monkeypatch):
    """What the host waits for when a scan is scored and filtered, after the network is ready."""
    ready = scorer()
    with valueless_gpu(monkeypatch) as waits:
        score = ready()
        waits.found.clear()
        maps = {}

        def scores_at(region):
            maps.update(score(volume, mask, region))
            return maps["score"]

        found = [median_filtered(scores_at, mask, 3)]
        if "as_published" in maps:
            found.append(as_published(maps["as_published"], mask, 2.0, erosion=1, median=3))
        for heatmap in found:
            assert (heatmap.device.type, heatmap.dtype, heatmap.shape) == ("cuda", torch.float32, mask.shape)
        return waits.found


@pytest.mark.parametrize("scorer", [padded, unpadded, vae_of_patches, slices])
def test_the_host_waits_for_no_slice(scorer, recorded, monkeypatch):
    few, many = (waits_of(scorer, *brain(count), monkeypatch) for count in (3, 12))
    assert len(few) == len(many)
    assert [
        wait for wait in many if "at engine/transfer.py" not in wait
    ] == []  # copies of pinned memory are queued


@pytest.mark.parametrize("scorer", [padded, unpadded])
def test_the_host_does_not_wait_where_few_patches_are_scored(scorer, recorded, monkeypatch):
    volume, mask = brain(3, np.s_[3:5, 4:6])
    waits = waits_of(scorer, volume, mask, monkeypatch)
    assert [wait for wait in waits if "at engine/transfer.py" not in wait] == []


def test_batches_have_one_size_across_slices_and_are_recorded_once(recorded):
    network, (volume, mask) = randomized(LocationNetwork(WIDTHS)), brain(5)
    voxels = np.argwhere(mask)
    expected = predict(volume, voxels, DenseNetwork(network, PATCH))
    ready = DenseNetwork(network, PATCH)
    ready.one_shape, ready.batch, ready.memory = True, 300, 1e9
    shapes = []
    ready.layers.register_forward_hook(lambda layers, inputs, found: shapes.append(tuple(inputs[0].shape)))
    for _ in range(2):
        for found, wanted in zip(predict(volume, voxels, ready), expected, strict=True):
            assert relative(found, wanted) < 1e-5
    assert len(shapes) == 2 * -(-len(voxels) // 300)
    assert len(set(shapes)) == 1
    assert len(recorded) == 1


@pytest.mark.parametrize("permitted", [True, False], ids=["recorded", "not permitted"])
def test_layers_are_computed_by_a_graph_or_where_none_can_be_recorded_as_they_are(permitted, monkeypatch):
    class Graph(StandInGraph):
        def capture(self, work):
            if not permitted:
                raise RuntimeError("operation not permitted when stream is capturing")
            super().capture(work)

    monkeypatch.setattr(cuda_graph, "CudaGraph", Graph)
    monkeypatch.setattr(StandInGraph, "replays", 0)
    network, (volume, mask) = randomized(LocationNetwork(WIDTHS)), brain(5)
    voxels = np.argwhere(mask)
    ready = DenseNetwork(network, PATCH)
    ready.one_shape, ready.batch, ready.memory = True, 300, 1e9
    expected = predict(volume, voxels, DenseNetwork(network, PATCH))
    for found, wanted in zip(predict(volume, voxels, ready), expected, strict=True):
        assert relative(found, wanted) < 1e-5
    assert StandInGraph.replays == permitted * -(-len(voxels) // 300)


@pytest.fixture
def layers():
    """The layers of a network, folded, and maps that they take."""
    encoder = for_inference(randomized(LocationNetwork(WIDTHS))).encoder
    return nn.Sequential(encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4)


MAPS = torch.rand(20, WIDTHS[0], 7, 7)


@torch.inference_mode()
def test_fused_convolutions_change_nothing(layers, monkeypatch):
    monkeypatch.setattr(torch, "cudnn_convolution_relu", convolution_relu)
    monkeypatch.setattr(torch, "cudnn_convolution_add_relu", convolution_add_relu)
    expected = layers(MAPS)
    with_fused_convolutions(layers)
    torch.testing.assert_close(layers(MAPS), expected)
    assert not any(isinstance(part, nn.ReLU) for part in layers.modules())


@torch.inference_mode()
@pytest.mark.parametrize("refused", ["cudnn_convolution_relu", "cudnn_convolution_add_relu"])
@pytest.mark.parametrize(
    "message", ["GET was unable to find an engine to execute this computation", "cuDNN error: 9"]
)
def test_what_cudnn_does_not_fuse_is_computed_in_steps_with_a_word(layers, refused, message, monkeypatch):
    asked = []

    def refusing(*given):
        asked.append(given)
        raise RuntimeError(message)

    monkeypatch.setattr(torch, "cudnn_convolution_relu", convolution_relu)
    monkeypatch.setattr(torch, "cudnn_convolution_add_relu", convolution_add_relu)
    monkeypatch.setattr(torch, refused, refusing)
    expected = layers(MAPS)
    with_fused_convolutions(layers)
    with pytest.warns(RuntimeWarning, match=f"{message}.*the same numbers but for rounding"):
        torch.testing.assert_close(layers(MAPS), expected)
    tried = len(asked)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(layers(MAPS), expected)
    assert len(asked) == tried > 0


@torch.inference_mode()
def test_too_little_memory_for_a_fused_convolution_is_no_refusal(layers, monkeypatch):
    def short(*given):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch, "cudnn_convolution_relu", short)
    with_fused_convolutions(layers)
    with pytest.raises(torch.OutOfMemoryError):
        layers(MAPS)
    assert all(block.is_fused for layer in layers for block in layer)
