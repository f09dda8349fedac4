"""Simplex noise on axial slices: 64 voxels (128 mm) and finer, as in Wyatt et al. 2022 and Behrendt et al. 2024.

Fields are made once, on the processor, and mixed anew for every slice where the network is.
"""

from importlib import import_module
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from patch2loc.errors import InputError

WAVELENGTHS = (64, 32, 16, 8, 4, 2)  # voxels, of the octaves
PERSISTENCE = 0.8  # of an octave's amplitude in the next finer one


def optional(name: str) -> ModuleType:
    """Import a module of an optional package; InputError with the command that installs it when it is missing."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"methods: the package {name.split('.')[0]} was not found ({error}), which ddpm, pddpm and cddpm need; "
            "install them (pip install diffusers opensimplex) or leave these methods out"
        ) from error


def simplex_bank(shape: tuple[int, int], fields: int, seed: int) -> Tensor:
    """Simplex noise of each octave, weighted by its persistence; takes a second or so a field of all octaves.

    Args:
        shape: Of a slice, voxels.
        fields: Independent ones of an octave; each lies there in eight ways, mirrored and, on square slices, turned by
            a quarter.
        seed: Of the fields.

    Returns:
        (octaves, 8 fields, x, y) float16.
    """
    simplex = optional("opensimplex").OpenSimplex
    rng = np.random.default_rng(seed)
    bank = np.empty((len(WAVELENGTHS), fields, *shape), np.float32)
    for octave, wavelength in enumerate(WAVELENGTHS):
        for field in bank[octave]:
            # Starts anywhere: at the origin of its lattice simplex noise is about 0 whatever the seed.
            x, y = (rng.uniform(0, 256) + np.arange(length) / wavelength for length in shape)
            field[:] = PERSISTENCE**octave * simplex(int(rng.integers(1 << 31))).noise2array(y, x)
    upright = torch.from_numpy(bank)
    sides = [upright, upright.transpose(2, 3)] if shape[0] == shape[1] else [upright]
    turned = [side.flip(axes) for side in sides for axes in ((), (2,), (3,), (2, 3))]
    return torch.cat(turned, dim=1).half()


def simplex_noise(bank: Tensor, generator: torch.Generator, count: int) -> Tensor:
    """Fields of noise, (count, 1, x, y) float32, on the bank's device: the sum of a random one of each octave.

    Their standard deviation is about 0.55, not 1.
    """
    octaves, fields = bank.shape[:2]
    drawn = torch.randint(fields, (octaves, count), generator=generator, device=bank.device)
    noise = bank.new_zeros((count, *bank.shape[2:]), dtype=torch.float32)
    for octave in range(octaves):
        noise = noise + bank[octave, drawn[octave]].float()
    return noise[:, None]
