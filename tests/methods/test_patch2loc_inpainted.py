"""Patch2Loc as the first stage of an inpainter: threshold, masks, training and score."""

from functools import cache, partial

import numpy as np
import pytest
import torch
from networks import untrained_state
from scans import disc_scans
from written_models import complete_model

import patch2loc.methods.patch2loc.model as patch2loc
import patch2loc.methods.patch2loc_inpainted.model as patch2loc_inpainted
from patch2loc.configuration.method_settings import resolve_settings
from patch2loc.engine.weights import with_weights
from patch2loc.methods.patch2loc_inpainted.model import LATTICE, healthy_threshold, marked, marked_pool
from patch2loc.methods.reconstruction.inpainting import Inpainter, inpainted, mask_of
from patch2loc.methods.reconstruction.slice_pools import SlicePool
from patch2loc.models import load_model, save_model

WIDTHS, PATCH, SHAPE = (4, 4, 6, 8), 8, (40, 36, 6)
FEW = {"steps": 4, "batch": 3, "widths": [4, 4, 4], "blocks": 1, "validations": 2, "validation_slices": 5}
ON_CPU = {"device": "cpu", "spacing": 2.0}
located = partial(untrained_state, WIDTHS, PATCH)  # one state, the same at every call


def heatmap(stride=1):
    return patch2loc.scorer(located(), "cpu", stride)


def fitted(checkpoint=None, **changed):
    settings = resolve_settings("patch2loc_inpainted", "smoke", {**FEW, **changed})
    settings |= {"seed": 1, "spacing": 2.0, "precision": "float32", "models": {"patch2loc": located()}}
    scans = disc_scans(3, 0, SHAPE, noise=0.1), disc_scans(2, 9, SHAPE, noise=0.1)
    return patch2loc_inpainted.fit(*scans, settings, checkpoint, device="cpu")


@cache
def unbroken():
    """State and history of a fit that nothing broke."""
    return fitted()


@cache
def trained():
    """State and history of a training that is long enough to paint something."""
    return fitted(steps=60, validations=4, learning_rate=2e-3)


def fixed(values):
    """A heatmap that is known beforehand, of the voxels that are asked for."""
    return lambda volume, mask, region: {"score": np.where(region, values, np.nan).astype(np.float32)}


def test_the_threshold_is_the_95th_percentile_of_healthy_validation_scans_at_every_fourth_voxel():
    healthy = disc_scans(2, 9, SHAPE, noise=0.1)
    scores = [heatmap()(volume, mask, mask)["score"][::LATTICE, ::LATTICE] for volume, mask in healthy]
    expected = np.nanpercentile(np.concatenate([each.ravel() for each in scores]), 95)
    assert healthy_threshold(heatmap(), healthy) == pytest.approx(expected, abs=1e-5)
    assert unbroken()[0]["threshold"] == pytest.approx(expected, abs=1e-5)
    whole = np.concatenate([heatmap()(volume, mask, mask)["score"][mask] for volume, mask in healthy])
    assert 0.02 < (whole > expected).mean() < 0.08  # about a twentieth of all voxels, too


def test_marks_are_what_is_above_the_threshold_in_the_brain_a_little_widened():
    volume, mask = disc_scans(1, 4, SHAPE)[0]
    values = np.zeros(SHAPE)
    values[18:22, 10:16, 2], values[0, 0, 3] = 1.1, 5  # the corner is no brain
    values[10:12, 10:12, 4] = 0.9
    assert not mask[0, 0, 3]
    found = marked(fixed(values), volume, mask, threshold=1.0, **ON_CPU)
    above = torch.from_numpy((values > 1) & mask).permute(2, 0, 1)[:, None]
    assert torch.equal(found[:, None], mask_of(above.float(), 0.5))
    assert found[2, 18:22, 10:16].all()
    assert found.sum() == found[2, 14:26, 6:20].sum() > 4 * 6


def test_on_a_finer_grid_a_voxel_of_a_slice_is_marked_where_half_of_it_is():
    volume, mask = np.ones((16, 16, 4), np.float32), np.ones((16, 16, 4), bool)
    values = np.zeros(mask.shape)
    values[4:8, 4:8, 0:2] = values[12, 12, 2] = 1
    found = marked(fixed(values), volume, mask, threshold=0.5, device="cpu", spacing=1.0)
    assert found.shape == (2, 8, 8)
    assert found[0, 2:4, 2:4].all()
    assert not found[1].any()


def test_a_pool_has_the_marks_of_its_own_slices():
    scans = disc_scans(3, 0, SHAPE, noise=0.1)
    pool = marked_pool(scans, heatmap(LATTICE), unbroken()[0]["threshold"], "cpu", 2.0)
    plain = SlicePool(scans, "cpu", 2.0, 4)
    assert torch.equal(pool.slices, plain.slices)
    assert torch.equal(pool.accepted, plain.accepted)
    for place, (volume, mask) in enumerate(scans):
        expected = marked(heatmap(LATTICE), volume, mask, threshold=unbroken()[0]["threshold"], **ON_CPU)
        assert torch.equal(pool.masks[6 * place : 6 * place + 6], expected)
    assert 0.01 < pool.masks.float().mean() < 0.3


def test_masks_of_training_are_ellipses_and_marks_the_same_every_validation(monkeypatch):
    seen = []
    forward = Inpainter.forward

    def watched(network, slices, masks):
        seen.append((network.training, masks))
        return forward(network, slices, masks)

    def marks(heatmap, volume, mask, **named):
        found = torch.zeros(6, 40, 36, dtype=torch.bool)
        found[:, 1:4, 1:4] = True  # where no ellipse reaches
        return found

    monkeypatch.setattr(Inpainter, "forward", watched)
    monkeypatch.setattr(patch2loc_inpainted, "marked", marks)
    fitted()
    training = torch.cat([masks for in_training, masks in seen if in_training])
    assert training[:, :, 1:4, 1:4].all()
    assert 0.05 < training[:, :, 5:].float().mean() < 0.9  # ellipses
    validating = [masks for in_training, masks in seen if not in_training]
    once = len(validating) // 2
    assert all(map(torch.equal, validating[:once], validating[once:]))


def test_training_lowers_the_loss_and_leaves_patch2loc_as_it_is():
    state, history = trained()
    assert history["validation_loss"].iloc[-1] < history["validation_loss"].iloc[0]
    assert state["patch2loc"] is located()


def test_nothing_outside_of_the_mask_is_changed_or_scored():
    state, _ = trained()
    volume, mask = disc_scans(1, 7, SHAPE, noise=0.1)[0]
    volume[15:22, 18:25, 2] = 0.1
    score = patch2loc_inpainted.scorer(state, "cpu")(volume, mask, np.ones_like(mask))["score"]
    masks = marked(heatmap(), volume, mask, threshold=state["threshold"], **ON_CPU)
    inside = masks.permute(1, 2, 0).numpy()
    assert 0.01 < inside[mask].mean() < 0.5
    assert (score[~inside] == 0).all()
    network = with_weights(Inpainter(**state["network"]), state["weights"], "cpu")
    slices = torch.from_numpy(volume.transpose(2, 0, 1))[:, None]
    with torch.no_grad():
        painted = inpainted(network, slices, masks[:, None])
    assert torch.equal(painted[~masks[:, None]], slices[~masks[:, None]])
    expected = (slices - painted).abs()[:, 0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(score, expected, atol=1e-6)
    assert (score[inside & mask] > 0).mean() > 0.95


def test_the_score_of_a_part_is_that_of_the_whole():
    """The heatmap, and so the mask, is of the whole brain, whatever is asked for."""
    state, _ = unbroken()
    volume, mask = disc_scans(1, 7, SHAPE, noise=0.1)[0]
    part = mask & (np.arange(SHAPE[0]) < 20)[:, None, None]
    score = patch2loc_inpainted.scorer(state, "cpu")
    whole, found = (score(volume, mask, region)["score"] for region in (mask, part))
    assert np.array_equal(np.isfinite(found), part)
    np.testing.assert_array_equal(found[part], whole[part])


def test_a_scan_without_marks_is_not_painted_and_scores_0():
    volume, mask = disc_scans(1, 7, SHAPE)[0]
    state = unbroken()[0] | {"threshold": 1e6}
    score = patch2loc_inpainted.scorer(state, "cpu")(volume, mask, mask)["score"]
    assert (score[mask] == 0).all()


def test_fewer_slices_are_painted_at_once_where_memory_is_short(monkeypatch):
    state, _ = unbroken()
    volume, mask = disc_scans(1, 7, SHAPE, noise=0.1)[0]
    whole = patch2loc_inpainted.scorer(state, "cpu")(volume, mask, mask)["score"]
    forward = Inpainter.forward

    def limited(network, slices, masks):
        if len(slices) > 2:
            raise torch.OutOfMemoryError("more than two slices")
        return forward(network, slices, masks)

    monkeypatch.setattr(Inpainter, "forward", limited)
    found = patch2loc_inpainted.scorer(state, "cpu")(volume, mask, mask)["score"]
    np.testing.assert_allclose(found, whole, atol=1e-5)


def test_half_precision_paints_the_same_to_its_rounding():
    state, _ = trained()
    volume, mask = disc_scans(1, 7, SHAPE, noise=0.1)[0]
    full, half = (
        patch2loc_inpainted.scorer(state, "cpu", precision=precision)(volume, mask, mask)["score"][mask]
        for precision in ("float32", "bfloat16")
    )
    assert 0 < np.abs(full - half).mean() < 0.02  # some voxels change sides of the mask


def test_a_killed_training_goes_on_to_the_same_weights_and_threshold(tmp_path, monkeypatch):
    monkeypatch.setattr("patch2loc.engine.training_loop.CHECKPOINT_SECONDS", -1)  # at every step
    state, history = unbroken()
    loss, calls = patch2loc_inpainted.painting_loss, []

    def dies(*given):
        calls.append(1)
        if len(calls) == 6:  # two steps, a validation of two batches, one step, and in the fourth
            raise KeyboardInterrupt
        return loss(*given)

    with monkeypatch.context() as patch:
        patch.setattr(patch2loc_inpainted, "painting_loss", dies)
        with pytest.raises(KeyboardInterrupt):
            fitted(tmp_path / "checkpoint.pt")
    assert (tmp_path / "checkpoint.pt").exists()
    gone_on, again = fitted(tmp_path / "checkpoint.pt")
    assert list(again["validation_loss"]) == list(history["validation_loss"])
    assert gone_on["threshold"] == state["threshold"]
    for name, value in state["weights"].items():
        np.testing.assert_array_equal(gone_on["weights"][name], value)


def test_a_model_file_is_all_that_scoring_needs(tmp_path):
    state, _ = unbroken()
    save_model(tmp_path / "model.safetensors", complete_model(state=state))
    volume, mask = disc_scans(1, 7, SHAPE, noise=0.1)[0]
    read = load_model(tmp_path / "model.safetensors")["state"]
    found, same = (
        patch2loc_inpainted.scorer(each, "cpu")(volume, mask, mask)["score"] for each in (state, read)
    )
    np.testing.assert_array_equal(found, same)
