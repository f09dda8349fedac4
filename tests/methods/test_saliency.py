"""Where slices look unlike their reconstructions: equalized contrast, perceptual distance, smoothing."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from repository_paths import ROOT
from torchvision.models import resnet18, squeezenet1_1

from patch2loc.acquire import registry
from patch2loc.errors import InputError
from patch2loc.methods.ra.model import anomaly
from patch2loc.methods.reconstruction import saliency as module
from patch2loc.methods.reconstruction.saliency import (
    BACKBONE,
    HEADS,
    Perception,
    clahe,
    perception,
    perception_weights,
    residual_of_contrast,
    saliency,
    smoothed,
)

SHAPE = (2, 1, 48, 40)
WIDTHS = [64, 128, 256, 384, 384, 512, 512]


def slices(seed=1):
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed))


def disc():
    x, y = np.indices(SHAPE[2:])
    inside = (x - 24) ** 2 + (y - 20) ** 2 < 15**2
    return torch.from_numpy(inside).expand(SHAPE)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """A file as torchvision publishes it, with random weights."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(squeezenet1_1(weights=None).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """A file as LPIPS's authors publish it, with random weights, which are never negative."""
    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("heads") / "squeeze.pth"
    weights = {
        f"lin{number}.model.1.weight": torch.rand(1, width, 1, 1) for number, width in enumerate(WIDTHS)
    }
    torch.save(weights, path)
    return path


@pytest.fixture(scope="module")
def perceived(backbone, heads):
    return perception(perception_weights({BACKBONE: backbone, HEADS: heads}), "cpu")


def file_of_the_package():
    """The heads in the package of LPIPS's authors."""
    lpips = pytest.importorskip("lpips")
    return Path(lpips.__file__).parent / "weights/v0.1/squeeze.pth"


def test_a_gaussian_has_its_width_and_keeps_the_sum():
    maps = torch.zeros(1, 1, 41, 37)
    maps[0, 0, 20, 18] = 1
    found = smoothed(maps)[0, 0]
    assert found.sum() == pytest.approx(1, rel=1e-5)
    for distance in (1, 2, 5):
        assert found[20 + distance, 18] / found[20, 18] == pytest.approx(np.exp(-(distance**2) / 8), rel=1e-4)
        assert found[20, 18 - distance] == pytest.approx(found[20 + distance, 18].item(), rel=1e-5)
    assert smoothed(torch.ones(1, 1, 6, 5)).shape == (1, 1, 6, 5)  # smaller than the Gaussian


def test_equal_slices_have_no_residual_and_no_saliency(perceived):
    given = slices()
    assert not residual_of_contrast(given, given.clone(), disc()).any()
    for network in (None, perceived):
        assert not saliency(network, given, given.clone()).any()
        assert not anomaly(network, given, given.clone(), disc()).any()


def test_contrast_is_equalized_in_the_brain_alone():
    given = 0.4 + 0.05 * slices()
    equalized = clahe(given, disc())
    assert not equalized[~disc()].any()
    assert equalized.min() >= 0
    assert equalized.max() <= 1
    inside = disc()[0, 0]
    assert equalized[0, 0][inside].std() > 2 * given[0, 0][inside].std()
    # What a network leaves in the background has no part in it.
    noisy = torch.where(disc(), given, 0.01 * slices(2))
    assert torch.equal(clahe(noisy, disc()), equalized)
    # Each slice for itself.
    assert torch.equal(clahe(given[:1], disc()[:1]), equalized[:1])


def test_a_constant_brain_and_no_brain_stay_finite():
    given = torch.full(SHAPE, 0.5)
    assert torch.isfinite(clahe(given, disc())).all()
    assert not residual_of_contrast(given, given, disc()).any()
    assert not clahe(given, torch.zeros(SHAPE, dtype=torch.bool)).any()


def test_the_residual_is_where_the_change_is():
    given = 0.3 + 0.3 * slices()
    changed = given.clone()
    changed[0, 0, 22:27, 18:23] += 0.3
    found = residual_of_contrast(given, changed, disc())
    assert found[0, 0, 22:27, 18:23].mean() > 10 * found[0, 0][disc()[0, 0]].mean()
    assert not found[1].any()


@pytest.mark.filterwarnings("ignore:.*deprecated since 0.13:UserWarning")  # of torchvision, at lpips
def test_the_perceptual_distance_is_that_of_its_authors_package(backbone):
    lpips = pytest.importorskip("lpips")
    perceived = perception(perception_weights({BACKBONE: backbone, HEADS: file_of_the_package()}), "cpu")
    reference = lpips.LPIPS(net="squeeze", pnet_rand=True, spatial=True, verbose=False)
    state = reference.state_dict()
    for name in state:
        # net.slice2.3.expand1x1.weight: the layers are numbered through
        if name.startswith("net."):
            state[name] = perceived.state_dict()[f"features.{name.split('.', 2)[2]}"]
    reference.load_state_dict(state)
    one, other = slices(1), slices(2)
    with torch.no_grad():
        expected = reference(one.expand(-1, 3, -1, -1), other.expand(-1, 3, -1, -1), normalize=True)
        found = perceived(one, other)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert found.std() > 0


def test_the_perceptual_distance_is_the_weighted_sum_of_its_depths():
    torch.manual_seed(1)
    network = Perception()
    one, other = slices(1)[:1], slices(2)[:1]
    assert [head.shape[1] for head in network.heads] == WIDTHS
    assert not network(one, other).any()  # all heads are 0
    with torch.no_grad():
        network.heads[0].fill_(1)
        first = network(one, other)
        network.heads[0].fill_(2)
        torch.testing.assert_close(network(one, other), 2 * first)
        # Features of length 1: the square of their distance is at most 4, of features >= 0 at most 2.
        assert first.min() > 0
        assert first.max() <= 2


def test_the_registry_knows_the_heads_of_the_authors_package():
    row = registry.read(ROOT / "config/registry.csv").set_index("dataset").loc[HEADS]
    registry.verify(file_of_the_package(), row)


def test_scoring_needs_no_file(perceived, backbone, heads, monkeypatch):
    weights = perception_weights({BACKBONE: backbone, HEADS: heads})
    monkeypatch.setattr(module, "with_pretrained", None)
    again = perception(weights, "cpu")
    one, other = slices(1), slices(2)
    assert torch.equal(saliency(again, one, other), saliency(perceived, one, other))
    assert set(weights) == set(Perception().state_dict())


def test_without_weights_the_difference_takes_their_place():
    assert perception_weights({BACKBONE: None, HEADS: None}) is None
    assert perception(None, "cpu") is None
    one, other = slices(1), slices(2)
    torch.testing.assert_close(saliency(None, one, other), smoothed((one - other).abs()))
    residual = residual_of_contrast(one, other, disc())
    torch.testing.assert_close(anomaly(None, one, other, disc()), residual * smoothed(residual))


def test_the_score_of_the_authors_is_a_product_of_three(perceived):
    one, other, brain = slices(1), slices(2), disc()
    found = anomaly(perceived, one, other, brain)
    equalized, others = clahe(one, brain), clahe(other, brain)
    with torch.no_grad():
        expected = (equalized - others).abs() * smoothed(perceived(one, other))
        expected = expected * smoothed(perceived(equalized, others))
    torch.testing.assert_close(found, expected)
    assert not found[~brain].any()
    assert (found[brain] > 0).float().mean() > 0.9


def test_what_is_missing_is_said(backbone, heads, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"squeezenet1_1_imagenet: .* found without lpips_squeezenet, both"):
        perception_weights({BACKBONE: backbone, HEADS: None})
    with pytest.raises(InputError, match=r"lpips_squeezenet: .* found without squeezenet1_1_imagenet, both"):
        perception_weights({BACKBONE: None, HEADS: heads})
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "kornia.enhance", None)
        with pytest.raises(InputError, match="pip install kornia"):
            clahe(slices(), disc())
    other = tmp_path / "resnet.pth"
    torch.save(resnet18(weights=None).state_dict(), other)
    with pytest.raises(InputError, match=r"resnet\.pth.*SqueezeNet"):
        perception_weights({BACKBONE: other, HEADS: heads})
    with pytest.raises(InputError, match=r"resnet\.pth.*SqueezeNetHeads"):
        perception_weights({BACKBONE: backbone, HEADS: other})
