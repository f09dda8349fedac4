import numpy as np
import pytest
import torch
from torch import nn

import patch2loc.methods.cddpm.model as cddpm
import patch2loc.methods.ddpm.model as ddpm
import patch2loc.methods.pddpm.model as pddpm
from patch2loc.method_interface import declaration
from patch2loc.methods.reconstruction import denoiser, diffusion
from patch2loc.methods.reconstruction.slice_encoder import MaskedModel

pytest.importorskip("diffusers", reason="diffusers is not installed: its networks are not tested here")

METHODS = {"ddpm": ddpm, "pddpm": pddpm, "cddpm": cddpm}


def test_networks_have_the_parameters_of_the_references():
    with torch.device("meta"):
        plain = denoiser.Denoiser()
        conditioned = denoiser.Denoiser(encoder_widths=denoiser.ENCODER_WIDTHS)
        masked = MaskedModel(conditioned.encoder)
    count = {
        name: sum(value.numel() for value in network.parameters())
        for name, network in (
            ("unet", plain),
            ("conditioned", conditioned.unet),
            ("encoder", conditioned.encoder),
            ("decoder", nn.ModuleList([masked.blocks, masked.output])),
        )
    }
    assert round(count.pop("decoder"), -5) == 10_300_000  # all that is known of it
    assert count == {"unet": 37_513_857, "conditioned": 44_068_481, "encoder": 24_550_848}


def test_networks_of_the_paper_budget_are_those():
    paper = {name: declaration(name).settings["paper"] for name in METHODS}
    assert all(tuple(given["widths"]) == denoiser.WIDTHS and given["blocks"] == 3 for given in paper.values())
    assert tuple(paper["cddpm"]["encoder_widths"]) == denoiser.ENCODER_WIDTHS
    assert (paper["ddpm"]["steps"], paper["pddpm"]["steps"], paper["cddpm"]["steps"]) == (19200, 19200, 14400)


def test_attention_is_normalized_and_in_the_middle_only():
    for network in (denoiser.unet([32, 32, 32], 1), denoiser.conditioned_unet([32, 32, 32], 1)):
        where = {
            name: module for name, module in network.named_modules() if type(module).__name__ == "Attention"
        }
        assert list(where) == ["mid_block.attentions.0"]
        assert where["mid_block.attentions.0"].group_norm is not None


def test_the_schedule_is_that_of_the_reference():
    rates = diffusion.signal_rates()
    assert len(rates) == 1000
    assert rates[[249, 499, 749]].sqrt().tolist() == pytest.approx([0.920, 0.703, 0.380], abs=5e-4)
    assert (rates.diff() < 0).all()
    # Cosine schedule of Nichol and Dhariwal 2021, before its clipping at the end.
    angle = np.cos((np.array([250, 500, 750]) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    expected = angle / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    assert rates[[249, 499, 749]].tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("shape", [(96, 96), (16, 48), (10, 7)])
def test_the_quarters_cover_a_slice_once(shape):
    boxes = diffusion.quarters(shape)
    assert (boxes.sum(dim=0) == 1).all()
    if shape == (96, 96):
        assert boxes.sum(dim=(1, 2, 3)).tolist() == [48 * 48] * 4
    assert diffusion.whole(shape).all()


def test_noise_is_in_the_box_only_and_so_is_the_loss():
    clean, noise = torch.rand(3, 1, 8, 8), torch.rand(3, 1, 8, 8) + 1
    box = diffusion.quarters((8, 8))[[0, 3, 2]]
    step, rates, seen = torch.tensor([0, 499, 999]), diffusion.signal_rates(), []

    def one_too_bright(noisy, step, clean):
        seen.append(noisy)
        return clean + 1

    loss = diffusion.l1_loss(one_too_bright, clean, noise, box, step=step, rates=rates)
    assert loss.item() == pytest.approx(0.25)  # 1 in a quarter of the voxels
    assert torch.equal(seen[0][~box], clean[~box])
    expected = rates[499].sqrt() * clean[1] + (1 - rates[499]).sqrt() * noise[1]
    torch.testing.assert_close(seen[0][1][box[1]], expected[box[1]])
    assert diffusion.l1_loss(lambda noisy, step, clean: clean, clean, noise, box, step=step, rates=rates) == 0


@pytest.mark.parametrize(
    "masks", [diffusion.whole((8, 8)), diffusion.quarters((8, 8))], ids=["whole", "quarters"]
)
def test_a_perfect_network_leaves_no_residual(masks):
    clean, noise, rates = torch.rand(5, 1, 8, 8), torch.rand(5, 1, 8, 8), diffusion.signal_rates()
    found = diffusion.reconstruction(
        lambda noisy, step, clean: clean, clean, noise, masks, steps=(499,), rates=rates
    )
    assert torch.equal(found, clean)


def test_the_mosaic_takes_each_quarter_from_the_pass_with_noise_in_it():
    clean, noise, rates = torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8), diffusion.signal_rates()
    level = (1 - rates[499]).sqrt()
    share = []

    def as_it_is(noisy, step, clean):
        assert step.tolist() == [499, 499]
        share.append((noisy != 0).float().mean().item())
        return noisy

    found = diffusion.reconstruction(
        as_it_is, clean, noise, diffusion.quarters((8, 8)), steps=(499,), rates=rates
    )
    assert share == [0.25] * 4
    torch.testing.assert_close(found, level.expand(2, 1, 8, 8))


def test_the_ensemble_is_the_mean_over_time_steps():
    clean, noise = torch.rand(2, 2, 1, 8, 8)
    rates, masks = diffusion.signal_rates(), diffusion.whole((8, 8))
    of = {
        steps: diffusion.reconstruction(
            lambda noisy, *_: noisy, clean, noise, masks, steps=steps, rates=rates
        )
        for steps in (cddpm.TIME_STEPS, *((step,) for step in cddpm.TIME_STEPS))
    }
    torch.testing.assert_close(of[cddpm.TIME_STEPS], sum(of[step,] for step in cddpm.TIME_STEPS) / 3)


def test_a_slice_has_the_same_noise_whatever_is_scored_with_it():
    slices = torch.rand(200, 1, 16, 16)
    chosen = diffusion.noise_index(slices, 64)
    assert torch.equal(diffusion.noise_index(slices[7:9], 64), chosen[7:9])
    assert len(chosen.unique()) > 50  # of 64; 61 expected
    assert chosen.min() >= 0
    assert chosen.max() < 64


def test_only_the_network_of_cddpm_is_told_of_the_clean_slice():
    torch.manual_seed(0)
    noisy, step, dark, bright = torch.rand(2, 1, 32, 32), torch.tensor([3, 700]), *torch.rand(2, 2, 1, 32, 32)
    for encoder, told in ((None, False), ([4, 4, 4, 4], True)):
        network = denoiser.Denoiser([8, 8, 8], 1, encoder).eval()
        assert not network(noisy, step, dark).any()  # a new network predicts 0
        nn.init.normal_(network.unet.conv_out.weight)
        assert torch.equal(network(noisy, step, dark), network(noisy, step, bright)) is not told
        assert not torch.equal(network(noisy, step, dark), network(noisy, step.flip(0), dark))
