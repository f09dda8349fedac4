"""A GPU that there is not: tensors on it have shapes, types and a device, but no values."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from synchronizations import Synchronizations
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.nn import functional

from patch2loc.network import inference, location, patch_vae_inference, unpadded


def convolution_relu(x, weight, bias, stride, padding, dilation, groups):
    """What `torch.cudnn_convolution_relu` computes."""
    return functional.conv2d(x, weight, bias, stride, padding, dilation, groups).relu()


def convolution_add_relu(x, weight, z, alpha, bias, stride, padding, dilation, groups):
    """What `torch.cudnn_convolution_add_relu` computes."""
    return (functional.conv2d(x, weight, bias, stride, padding, dilation, groups) + alpha * z).relu()


@contextmanager
def valueless_gpu(monkeypatch) -> Iterator[Synchronizations]:
    """Let code for "cuda" run without one.

    An operator on tensors of both devices raises, and so does all that asks a tensor of the GPU for values or makes
    a tensor whose size depends on values; what else waits is counted.
    """
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(torch, "cudnn_convolution_relu", convolution_relu)
    monkeypatch.setattr(torch, "cudnn_convolution_add_relu", convolution_add_relu)
    as_it_is, for_inference = nn.Module.to, location.for_inference

    def moved(module, *args, **kwargs):
        if "memory_format" in kwargs:
            return as_it_is(module, *args, **kwargs)
        for part in module.modules():
            for tensors in (part._parameters, part._buffers):
                tensors.update(
                    {name: value.to(*args) for name, value in tensors.items() if value is not None}
                )
        return module

    def folded(network):
        with unset_fake_temporarily():
            return for_inference(network)

    # Tensors without values can neither be copied nor take the place of others.
    monkeypatch.setattr(nn.Module, "to", moved)
    for module in (inference, patch_vae_inference, unpadded):
        monkeypatch.setattr(module, "for_inference", folded)
    with FakeTensorMode(allow_non_fake_inputs=True), Synchronizations() as waits:
        yield waits
