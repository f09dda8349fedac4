"""PHANES: both stages in one training, and the score."""

from functools import cache, partial

import numpy as np
import pytest
import torch
from scans import disc_scans
from stand_in_vgg import parameters, stand_in

pytest.importorskip("kornia", reason="kornia is not installed: phanes is not tested here")

from written_models import complete_model

import patch2loc.methods.phanes.model as phanes
from patch2loc.configuration.method_settings import resolve_settings
from patch2loc.engine.weights import with_weights
from patch2loc.errors import InputError
from patch2loc.method_interface import declaration
from patch2loc.methods.phanes.model import Phanes, anomaly
from patch2loc.methods.reconstruction.inpainting import Inpainter, Vgg19, inpainted, mask_of, reflected
from patch2loc.methods.reconstruction.saliency import Perception, perception, saliency, smoothed
from patch2loc.methods.reconstruction.slice_pools import SlicePool
from patch2loc.models import load_model, save_model

TINY = {
    "widths": [4, 4, 4],
    "latent": 4,
    "painter_widths": [4, 4, 4],
    "painter_blocks": 1,
    "steps": 4,
    "batch": 3,
    "learning_rate": 2e-3,
    "validations": 2,
    "validation_slices": 8,
    "seed": 5,
    "precision": "float32",
    "spacing": 2.0,
    "pretrained": {name: None for name in declaration("phanes").pretrained},
}
SHAPE = (40, 40, 5)


def saved(network, path):
    """A file as torchvision publishes it."""
    state = {f"features.{name}": value for name, value in network.state_dict().items()}
    torch.save(state | {"classifier.0.weight": torch.zeros(1)}, path)
    return path


volumes = partial(disc_scans, shape=SHAPE, noise=0.05)


def fitted(checkpoint=None, **changed):
    return phanes.fit(volumes(3), volumes(2, 9), TINY | changed, checkpoint, device="cpu")


@cache
def unbroken():
    """State and history of a fit that nothing broke."""
    return fitted()


def weights_equal(one, other):
    return all(np.array_equal(value, other["weights"][name]) for name, value in one["weights"].items())


def scored(state, precision="float32"):
    volume, mask = volumes(1, 7)[0]
    volume[15:22, 18:25, 2] = 1
    return volume, mask, phanes.scorer(state, "cpu", precision=precision)(volume, mask, mask)


def test_an_anomaly_is_the_clipped_share_of_the_residual_times_the_saliency(monkeypatch):
    rng = np.random.default_rng(0)
    residual, slices, coarse = (torch.from_numpy(rng.uniform(size=(2, 1, 20, 20))).float() for _ in range(3))
    residual[1] *= 7
    brain = torch.zeros(2, 1, 20, 20, dtype=torch.bool)
    brain[:, :, 2:15, 3:18] = True
    monkeypatch.setattr(phanes, "residual_of_contrast", lambda *given: residual)
    found = anomaly(None, slices, coarse, brain)
    salient = smoothed((slices - coarse).abs(), 2.0)
    for place in (0, 1):
        highest = np.percentile(residual[place][brain[place]], 95)
        expected = (residual[place] / highest).clamp(max=1) * salient[place] * brain[place]
        torch.testing.assert_close(found[place], expected, rtol=1e-5, atol=1e-7)
    assert torch.equal(anomaly(None, slices, slices, brain), torch.zeros_like(slices))
    empty = anomaly(None, slices, coarse, torch.zeros_like(brain))
    assert not empty.any()  # and not NaN: a slice without brain


def test_the_paper_budget_is_the_full_networks():
    chosen = resolve_settings("phanes", "paper")
    names = ("widths", "latent", "painter_widths", "painter_blocks")
    with torch.device("meta"):
        network = Phanes(shape=[128, 128], **{name: chosen[name] for name in names})
    assert parameters(network.painter) == 15_193_409
    assert parameters(network.autoencoder) == 29_430_785
    assert chosen["learning_rate"] == 5e-5
    assert chosen["batch"] == 8


def test_a_killed_training_goes_on_to_the_same_weights_and_threshold(tmp_path, monkeypatch):
    monkeypatch.setattr("patch2loc.engine.training_loop.CHECKPOINT_SECONDS", -1)  # at every step
    state, history = unbroken()
    loss, calls = phanes.painting_loss, []

    def killed(*given):
        calls.append(1)
        if len(calls) == 3:  # in step 3, of which both parts of the autoencoder were updated
            raise KeyboardInterrupt
        return loss(*given)

    monkeypatch.setattr(phanes, "painting_loss", killed)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "checkpoint.pt")
    monkeypatch.setattr(phanes, "painting_loss", loss)
    assert (tmp_path / "checkpoint.pt").exists()
    gone_on, again = fitted(tmp_path / "checkpoint.pt")
    assert weights_equal(state, gone_on)
    assert state["threshold"] == gone_on["threshold"]
    timed = "slices_per_second"
    assert history.drop(columns=timed).equals(again.drop(columns=timed))


def test_both_stages_learn_and_the_second_does_not_teach_the_first(monkeypatch):
    state, _ = fitted(validations=1)
    torch.manual_seed(TINY["seed"])
    start = Phanes(**state["network"]).state_dict()
    for part in ("autoencoder.encoder", "autoencoder.decoder", "painter"):
        moved = [not np.array_equal(value, start[name]) for name, value in state["weights"].items()
                 if name.startswith(part) and name.endswith("weight")]  # fmt: skip
        assert sum(moved) > len(moved) / 2, part  # a branch of one channel may be shut
    monkeypatch.setattr(phanes, "painting_loss", lambda painted, *_: 0 * painted.sum())
    other, _ = fitted(validations=1)
    first = {name for name in state["weights"] if name.startswith("autoencoder")}
    assert all(np.array_equal(state["weights"][name], other["weights"][name]) for name in first)
    assert not weights_equal(state, other)


def test_masks_of_training_are_ellipses_and_what_is_above_a_tenth(monkeypatch):
    seen, above = [], torch.zeros(3, 1, 40, 40)
    above[:, :, 1:4, 1:4] = 0.101  # where no ellipse is
    above[:, :, 30:35, 1:4] = 0.099
    monkeypatch.setattr(phanes, "anomaly", lambda perceived, slices, *_: above[: len(slices)])

    def forward(network, slices, masks):
        seen.append((network.training, masks))
        return network.first(reflected(torch.cat([slices, masks.float()], 1), 3))[:, :1]

    monkeypatch.setattr(Inpainter, "forward", forward)
    monkeypatch.setattr(phanes, "threshold_of", lambda *_: 0.0)
    fitted()
    training = torch.cat([masks for in_training, masks in seen if in_training])
    assert training[:, :, 1:4, 1:4].all()
    assert not training[:, :, 31:34, 2].any()
    validating = [masks for in_training, masks in seen if not in_training]
    assert not torch.cat(validating)[:, :, 1:4, 1:4].any()  # ellipses alone, the same every time
    once = len(validating) // 2
    assert all(map(torch.equal, validating[:once], validating[once:]))


def test_the_threshold_leaves_five_percent_of_healthy_brains():
    state, _ = unbroken()
    network = with_weights(Phanes(**state["network"]), state["weights"], "cpu")
    pool = SlicePool(volumes(2, 9), "cpu", 2.0, 8)
    slices, brain = pool.draw(pool.generator(TINY["seed"], 2), TINY["validation_slices"])
    with torch.inference_mode():
        found = anomaly(None, slices, network.autoencoder(slices), brain)[brain]
    assert (found > state["threshold"]).float().mean().item() == pytest.approx(0.05, abs=0.001)


def test_the_score_is_zero_outside_the_mask_and_native_times_the_saliency():
    state, _ = unbroken()
    volume, mask, found = scored(state)
    assert np.isnan(found["score"][~mask]).all()
    network = with_weights(Phanes(**state["network"]), state["weights"], "cpu")
    slices = torch.from_numpy(volume.transpose(2, 0, 1))[:, None]
    brain = torch.from_numpy(mask.transpose(2, 0, 1))[:, None]
    with torch.inference_mode():
        coarse = network.autoencoder(slices)
        holes = mask_of(anomaly(None, slices, coarse, brain), state["threshold"])
        residual = (slices - network.painter(slices, holes).clamp(0, 1)).abs() * holes
    expected = {"score": residual, "as_published": residual * smoothed(residual, 2.0)}
    painted = holes[:, 0].permute(1, 2, 0).numpy()
    assert 0.02 < painted[mask].mean() < 0.9
    for name, values in found.items():
        assert (values[mask & ~painted] == 0).all(), name
        assert (values[mask & painted] > 0).mean() > 0.95, name
        np.testing.assert_allclose(values[mask], expected[name][:, 0].permute(1, 2, 0)[mask], atol=1e-6)


def test_a_model_file_scores_as_the_model_does_with_its_own_perception(tmp_path):
    torch.manual_seed(0)
    weights = {name: value.numpy() for name, value in Perception().state_dict().items()}
    heads = {name: np.full_like(value, 0.1) for name, value in weights.items() if name.startswith("heads")}
    state = unbroken()[0] | {"perception": weights | heads}
    save_model(tmp_path / "model.safetensors", complete_model(state=state))
    volume, mask, found = scored(load_model(tmp_path / "model.safetensors")["state"])
    network = with_weights(Phanes(**state["network"]), state["weights"], "cpu")
    perceived = perception(state["perception"], "cpu")
    slices = torch.from_numpy(volume.transpose(2, 0, 1))[:, None]
    brain = torch.from_numpy(mask.transpose(2, 0, 1))[:, None]
    with torch.inference_mode():
        holes = mask_of(anomaly(perceived, slices, network.autoencoder(slices), brain), state["threshold"])
        painted = inpainted(network.painter, slices, holes)
        expected = (slices - painted).abs() * saliency(perceived, painted, slices)
    np.testing.assert_allclose(found["as_published"][mask], expected[:, 0].permute(1, 2, 0)[mask], atol=1e-6)
    assert not np.allclose(found["as_published"][mask], scored(unbroken()[0])[2]["as_published"][mask])


def test_half_precision_paints_the_same_to_its_rounding():
    _, mask, full = scored(unbroken()[0])
    _, _, half = scored(unbroken()[0], "bfloat16")
    change = np.abs(full["score"] - half["score"])[mask]
    assert 0 < change.mean() < 0.02  # of intensities of 0 to 1; some voxels change sides of the mask


def test_what_it_was_trained_with_is_said(tmp_path, monkeypatch):
    state, history = unbroken()
    assert (state["saliency"], state["painting"]) == ("absolute difference", "structural similarity")
    assert set(history["saliency"]) == {"absolute difference"}
    assert set(history["painting"]) == {"structural similarity"}
    monkeypatch.setattr(phanes, "Vgg19", lambda: Vgg19((2,) * 5))
    path = saved(stand_in(), tmp_path / "vgg19.pth")
    other, history = fitted(pretrained={**TINY["pretrained"], "vgg19_imagenet": path})
    assert other["painting"] == "VGG-19 of ImageNet"
    assert set(history["painting"]) == {"VGG-19 of ImageNet"}
    assert not weights_equal(state, other)


def test_a_file_that_is_no_vgg_19_is_refused(tmp_path):
    path = saved(stand_in(), tmp_path / "vgg19.pth")  # with few channels
    with pytest.raises(InputError, match=r"vgg19\.pth: .*Vgg19 expected"):
        fitted(pretrained={**TINY["pretrained"], "vgg19_imagenet": path})
