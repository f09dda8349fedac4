"""The ResNet-18 equals torchvision's, and is there without torchvision."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import patch2loc
from patch2loc.network.resnet import ResNet18


def test_the_network_equals_torchvision_by_weights_and_by_result():
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(1)
    ours = ResNet18()
    torch.manual_seed(1)
    theirs = models.resnet18(weights=None)
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    assert all(torch.equal(values, state[name]) for name, values in ours.state_dict().items())
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(ours(images), theirs(images))


def test_scoring_loads_neither_torchvision_nor_the_compiler():
    code = "import sys, patch2loc.heatmap; print({'torchvision', 'torch._dynamo'} & sys.modules.keys())"
    library = Path(patch2loc.__file__).parent.parent
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, cwd=library, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"
