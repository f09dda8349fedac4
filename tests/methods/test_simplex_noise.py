import sys
from importlib.metadata import version

import pytest
import torch
from repository_paths import ROOT

from patch2loc.errors import InputError
from patch2loc.methods.reconstruction.simplex_noise import (
    PERSISTENCE,
    WAVELENGTHS,
    simplex_bank,
    simplex_noise,
)

for package in ("diffusers", "opensimplex"):
    pytest.importorskip(package, reason=f"{package} is not installed: simplex noise is not tested here")


@pytest.fixture(scope="module")
def bank():
    return simplex_bank((96, 96), 4, 3)


def test_each_octave_of_noise_is_weaker_by_the_persistence(bank):
    spread = bank.float().std(dim=(1, 2, 3)) / PERSISTENCE ** torch.arange(len(WAVELENGTHS))
    assert spread[1:].tolist() == pytest.approx([0.367] * 5, abs=0.03)
    assert bank.shape == (6, 32, 96, 96)


def test_noise_has_the_spread_of_the_reference(bank):
    noise = simplex_noise(bank, torch.Generator().manual_seed(0), 400)
    assert noise.shape == (400, 1, 96, 96)
    assert noise.std(dim=(2, 3)).mean().item() == pytest.approx(0.55, abs=0.04)  # and not 1
    assert noise.mean(dim=(2, 3)).std().item() == pytest.approx(0.18, abs=0.08)  # a field's mean wanders
    assert len(noise.flatten(1).unique(dim=0)) == 400


def test_noise_is_coarse_and_fine(bank):
    """How values go together at 8 voxels: not at all in white noise, and nearly equal in its coarsest octave."""
    noise = simplex_noise(bank, torch.Generator().manual_seed(1), 50)
    noise = noise - noise.mean(dim=(2, 3), keepdim=True)
    together = (noise[..., 8:] * noise[..., :-8]).mean() / noise.square().mean()
    assert together.item() == pytest.approx(0.58, abs=0.12)


def test_every_field_lies_in_the_bank_in_eight_ways():
    bank = simplex_bank((8, 8), 1, 0)[0]
    field = bank[0]
    ways = [torch.rot90(side, turns) for side in (field, field.T) for turns in range(4)]
    assert {tuple(way.flatten().tolist()) for way in ways} == {tuple(way.flatten().tolist()) for way in bank}
    assert simplex_bank((8, 4), 1, 0).shape == (6, 4, 8, 4)


def test_noise_depends_on_the_seed_alone():
    first, again, other = (simplex_bank((8, 8), 1, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensimplex", None)
    with pytest.raises(InputError, match=r"opensimplex was not found .*pip install diffusers opensimplex"):
        simplex_bank((8, 8), 1, 0)


def test_the_optional_packages_are_pinned_where_networks_run():
    """They are imported by name, which the tests of the environments do not see."""
    for name in ("diffusers", "opensimplex"):
        pin = f"{name}=={version(name)}"
        assert f"\n{pin} \\\n" in (ROOT / "requirements.txt").read_text()
        assert f"- {pin}\n" in (ROOT / "envs" / "network.yaml").read_text()
