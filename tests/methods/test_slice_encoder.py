import pytest
import torch
from torch import nn

from patch2loc.methods.reconstruction.slice_encoder import (
    MaskedModel,
    SliceEncoder,
    VisibleNorm,
    completion_loss,
    random_visible,
)


def test_what_is_hidden_changes_nothing():
    torch.manual_seed(0)
    network = MaskedModel(SliceEncoder([4, 4, 4, 16], 8))
    visible = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 0, 0]])[None, None].repeat(2, 1, 1, 1)
    slices, other = torch.rand(2, 2, 1, 96, 96)
    shown = visible.repeat_interleave(32, 2).repeat_interleave(32, 3) > 0
    other = torch.where(shown, slices, other)
    for training in (True, False):
        network.train(training)
        assert torch.equal(network(slices, visible), network(other, visible))
        assert not torch.equal(network(slices, visible), network(slices + 0.1, visible))
    for output in network.encoder.of_visible(slices, visible):
        side = output.shape[2] // 3
        hidden = visible.repeat_interleave(side, 2).repeat_interleave(side, 3).expand(output.shape) == 0
        assert not output[hidden].any()
        assert output[~hidden].any()


def test_the_normalization_is_that_of_the_visible_places():
    torch.manual_seed(0)
    x, visible = 3 * torch.rand(4, 5, 6, 6) + 1, random_visible(torch.zeros(4, 1, 96, 96), torch.Generator())
    shown = visible.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, 0] > 0
    own, known = VisibleNorm(5), nn.BatchNorm1d(5)
    own.visible = visible
    for training in (True, False):
        own.train(training)
        known.train(training)
        expected = torch.zeros(4, 6, 6, 5)
        expected[shown] = known(x.permute(0, 2, 3, 1)[shown])
        torch.testing.assert_close(own(x), expected.permute(0, 3, 1, 2))
    torch.testing.assert_close(own.running_var, known.running_var)
    torch.testing.assert_close(own.running_mean, known.running_mean)


def test_a_third_of_the_patches_is_visible_and_the_loss_is_of_the_others():
    slices = torch.ones(200, 1, 96, 96)
    visible = random_visible(slices, torch.Generator().manual_seed(0))
    assert (visible.sum(dim=(1, 2, 3)) == 3).all()
    assert visible.mean(dim=0).flatten().tolist() == pytest.approx([1 / 3] * 9, abs=0.1)

    def wrong_where_hidden(slices, visible):
        shown = visible.repeat_interleave(32, 2).repeat_interleave(32, 3)
        return slices + 0.5 * (1 - shown) + 7 * shown

    loss = completion_loss(wrong_where_hidden, slices, None, torch.Generator().manual_seed(0))
    assert loss.item() == pytest.approx(0.25)
