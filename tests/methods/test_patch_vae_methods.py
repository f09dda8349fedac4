"""The VAE of patches as methods: one network, two scores, which see what is out of place."""

from functools import cache

import numpy as np
import pytest
from scans import box, noise_scan
from small_fits import SHAPE as SHAPE_OF_FITS
from small_fits import small_fit
from written_models import complete_model

import patch2loc.methods.patch_vae.model as patch_vae
import patch2loc.methods.patch_vae_uncertainty.model as patch_vae_uncertainty
from patch2loc.configuration.check import check_configuration
from patch2loc.configuration.method_settings import training_settings
from patch2loc.configuration.prerequisites import methods_needed
from patch2loc.errors import InputError
from patch2loc.method_interface import as_array, declaration
from patch2loc.models import load_model, save_model

METHODS = [patch_vae, patch_vae_uncertainty]
SHAPE, BRAIN = (40, 32, 5), np.s_[4:36, 3:29, 1:4]
TRAINING = {
    "widths": [8, 8, 16, 32],
    "patches": 256 * 150,
    "batch": 256,
    "learning_rate": 0.01,
    "schedule": "one_cycle",
    "validation_patches": 512,
    "validations": 3,
}
SETTINGS = TRAINING | {"patch": 8, "seed": 5, "precision": "float32", "spacing": 2.0, "latent": 8}


def striped_scans(count, seed):
    """Brains of two textures, stripes along one axis on one side and along the other on the other side.

    Where the stripes lie is another in every slice, so that no voxel alone tells the side.
    """
    rng = np.random.default_rng(seed)
    x, y, _ = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    mask = box(SHAPE, BRAIN)
    scans = []
    for _ in range(count):
        phase = rng.uniform(0, 2 * np.pi, SHAPE[2])
        stripes = np.sin(2 * np.pi * np.where(x < SHAPE[0] // 2, x, y) / 5 + phase)
        volume = 0.6 + 0.3 * stripes + 0.03 * rng.normal(size=SHAPE)
        scans.append(((mask * volume).astype(np.float32), mask))
    return scans


@cache
def fitted():
    return patch_vae.fit(striped_scans(6, 0), striped_scans(2, 1), SETTINGS, None, device="cpu")


def test_a_normal_texture_in_the_wrong_place_is_abnormal_and_in_its_own_place_it_is_not():
    state, history = fitted()
    score = patch_vae.scorer(state, "cpu")
    ((volume, mask),) = striped_scans(1, 2)
    own, other = (12, 14, 2), (28, 14, 2)  # one on either side
    planted = volume.copy()
    around = [np.s_[x - 6 : x + 6, y - 6 : y + 6, z] for x, y, z in (own, other)]
    planted[around[1]] = volume[around[0]]
    before, after = (as_array(score(each, mask, mask)["score"]) for each in (volume, planted))
    healthy = before[mask]
    assert before[own] < np.quantile(healthy, 0.9)
    assert before[other] < np.quantile(healthy, 0.9)
    assert after[other] > healthy.max()
    assert after[own] == before[own]
    assert history["validation_loss"].iloc[-1] < history["validation_loss"].iloc[0]


@pytest.mark.parametrize("module", METHODS)
@pytest.mark.parametrize("stride", [1, 3])
def test_the_map_covers_the_region_and_a_model_from_its_file_makes_the_same(module, stride, tmp_path):
    state, _ = small_fit("patch_vae", 2)
    volume, mask = noise_scan(3, SHAPE_OF_FITS)
    wanted = mask & (np.arange(SHAPE_OF_FITS[2]) > 1)
    found = module.scorer(state, "cpu", stride)(volume, mask, wanted)
    assert set(found) == {"score"}
    score = as_array(found["score"])
    assert score.dtype == np.float32
    assert np.array_equal(np.isfinite(score), wanted)
    everywhere = as_array(module.scorer(state, "cpu")(volume, mask, np.ones_like(mask))["score"])
    kept = np.zeros_like(mask)
    kept[::stride, ::stride] = wanted[::stride, ::stride]
    np.testing.assert_allclose(score[kept], everywhere[kept], rtol=1e-4, atol=1e-6)
    name = module.__name__.split(".")[-2]
    save_model(tmp_path / "model.safetensors", complete_model(method=name, state=state, shape=SHAPE_OF_FITS))
    loaded = load_model(tmp_path / "model.safetensors")["state"]
    again = as_array(module.scorer(loaded, "cpu", stride)(volume, mask, wanted)["score"])
    np.testing.assert_array_equal(again, score)


def test_both_scores_are_of_one_network_that_is_trained_once():
    state, _ = small_fit("patch_vae", 1)
    settings = SETTINGS | {"models": {"patch_vae": state}}
    taken, history = patch_vae_uncertainty.fit([], [], settings, None, device="cpu")
    assert taken is state
    assert history is None
    assert methods_needed("patch_vae_uncertainty", ["patch_vae", "patch_vae_uncertainty"]) == ("patch_vae",)
    with pytest.raises(InputError, match="patch_vae_uncertainty found without patch_vae"):
        methods_needed("patch_vae_uncertainty", ["patch_vae_uncertainty"])


def configuration(**method_settings):
    return {
        "patch": 8,
        "grid": {"shape": [48, 48, 25], "spacing": 4.0},
        "score": {"stride": 1},
        "parts": {"strides": []},
        "training": TRAINING | {"threads": 2, "memory_mb": 900, "orientation": "axial", "subjects": None},
        "training_data": {},
        "without": [],
        "methods": ["patch2loc", "patch_vae", "patch_vae_uncertainty"],
        "budget": "smoke",
        "datasets": {},
        "method_settings": method_settings,
    }


def test_it_is_trained_by_the_training_of_patch2loc_and_by_a_setting_of_its_own():
    config = configuration(patch_vae={"latent": 6})
    check_configuration(config)
    settings = {name: training_settings(name, config) for name in config["methods"]}
    assert settings["patch2loc"] == TRAINING
    assert settings["patch_vae"] == TRAINING | {"latent": 6}
    assert settings["patch_vae_uncertainty"] == TRAINING
    with pytest.raises(InputError, match=r"method_settings\.patch_vae: steps found, of latent expected"):
        check_configuration(configuration(patch_vae={"steps": 6}))
    with pytest.raises(InputError, match=r"patch_vae_uncertainty: latent found, nothing expected"):
        check_configuration(configuration(patch_vae_uncertainty={"latent": 6}))


@pytest.mark.parametrize("latent", [0, -1])
def test_an_empty_latent_vector_is_refused(latent):
    with pytest.raises(
        InputError, match=rf"method_settings\.patch_vae\.latent: {latent} found, .* from 1 expected"
    ):
        patch_vae.fit(
            striped_scans(1, 0), striped_scans(1, 1), SETTINGS | {"latent": latent}, None, device="cpu"
        )


def test_the_state_says_all_that_scoring_needs():
    state, history = small_fit("patch_vae", 1, latent=6)
    assert (
        set(state) == set(declaration("patch_vae").state) == set(declaration("patch_vae_uncertainty").state)
    )
    assert (state["latent"], state["patch"], state["widths"]) == (6, 12, [4, 4, 8, 8])
    assert len(history) == 1
