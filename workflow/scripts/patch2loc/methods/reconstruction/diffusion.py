"""Diffusion in one step on axial slices, of ddpm, pddpm and cddpm (Behrendt et al. 2024, 2025).

A network sees a slice with simplex noise and predicts the slice without.  Slices are (n, 1, x, y) float32; inside this
module -1 is background and 1 bright tissue.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.training_loop import Batch
from patch2loc.engine.weights import weights_of, with_weights
from patch2loc.method_interface import MethodSettings, Score, State, Volumes
from patch2loc.methods.reconstruction.denoiser import Denoiser
from patch2loc.methods.reconstruction.residual import residual_score
from patch2loc.methods.reconstruction.simplex_noise import optional, simplex_bank, simplex_noise
from patch2loc.methods.reconstruction.slice_augmentation import change_intensities
from patch2loc.methods.reconstruction.slice_encoder import PATCH, pretrain
from patch2loc.methods.reconstruction.slice_pools import SlicePool
from patch2loc.methods.reconstruction.training import train

STEPS = 1000  # of the noise schedule
SCORING_FIELDS = 64  # of noise, one of which a slice gets when it is scored


def signal_rates() -> Tensor:
    """Share of a slice's variance that is left at each time step, (1000,): alpha-bar of the cosine schedule."""
    scheduler = optional("diffusers").DDPMScheduler(
        STEPS, beta_schedule="squaredcos_cap_v2", prediction_type="sample", clip_sample=False
    )
    rates: Tensor = scheduler.alphas_cumprod
    return rates


def with_noise(clean: Tensor, noise: Tensor, rate: Tensor) -> Tensor:
    """Slices at a time step: sqrt(rate) clean + sqrt(1 - rate) noise.  rate: (n,) of `signal_rates`."""
    rate = rate[:, None, None, None]
    return rate.sqrt() * clean + (1 - rate).sqrt() * noise


def whole(shape: tuple[int, int]) -> Tensor:
    """One mask of all voxels of a slice, (1, 1, x, y): where ddpm and cddpm put noise."""
    return torch.ones(1, 1, *shape, dtype=torch.bool)


def quarters(shape: tuple[int, int]) -> Tensor:
    """Masks of the four quarters of a slice, (4, 1, x, y): where pddpm puts noise, one after the other."""
    x, y = (torch.arange(length) >= length // 2 for length in shape)
    quarter = 2 * x.int()[:, None] + y.int()[None]
    return torch.stack([quarter == number for number in range(4)])[:, None]


def l1_loss(
    network: Callable[[Tensor, Tensor, Tensor], Tensor],
    clean: Tensor,
    noise: Tensor,
    box: Tensor,
    *,
    step: Tensor,
    rates: Tensor,
) -> Tensor:
    """Mean over all voxels of |predicted - clean| in the box, 0 outside it, where there is no noise either.

    Args:
        network: From noisy slices, time steps and clean slices to predictions, as `Denoiser`.
        clean: (n, 1, x, y).
        noise: (n, 1, x, y).
        box: (n, 1, x, y) boolean.
        step: (n,), time steps.
        rates: `signal_rates`, on the slices' device.
    """
    noisy = torch.where(box, with_noise(clean, noise, rates[step]), clean)
    predicted = network(noisy, step, clean)
    return torch.where(box, predicted.float() - clean, 0).abs().mean()


def reconstruction(
    network: Callable[[Tensor, Tensor, Tensor], Tensor],
    clean: Tensor,
    noise: Tensor,
    masks: Tensor,
    *,
    steps: Sequence[int],
    rates: Tensor,
) -> Tensor:
    """Slices as the network predicts them in one step, (n, 1, x, y): each mask from a pass with noise in it alone.

    Args:
        network: As of `l1_loss`.
        clean: (n, 1, x, y).
        noise: (n, 1, x, y).
        masks: Of `whole` or `quarters`.
        steps: Time steps, over which the mean is taken.
        rates: `signal_rates`, on the slices' device.
    """
    predicted = torch.zeros_like(clean)
    for number in steps:
        step = torch.full((len(clean),), number, device=clean.device)
        noisy = with_noise(clean, noise, rates[step])
        for mask in masks:
            part = network(torch.where(mask, noisy, clean), step, clean).float()
            predicted += torch.where(mask, part, 0) / len(steps)
    return predicted


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
    masks_of: Callable[[tuple[int, int]], Tensor] = whole,
) -> tuple[State, pd.DataFrame]:
    """Train a denoiser on healthy scans.

    Args:
        training: As of a method.
        validation: As of a method.
        settings: widths, blocks, noise_fields, for cddpm encoder_widths and pretraining_steps, and those of
            `training.train`.
        checkpoint: As of a method.
        device: As of a method.
        masks_of: `whole` or `quarters`; each slice gets noise in one of them, drawn anew.
    """
    seed = settings["seed"]
    arguments = {name: settings[name] for name in ("widths", "blocks", "encoder_widths") if name in settings}
    multiple = multiple_of(arguments)
    pools = [SlicePool(scans, device, settings["spacing"], multiple) for scans in (training, validation)]
    shape = pools[0].shape
    bank = simplex_bank(shape, settings["noise_fields"], seed).to(device)
    masks, rates = masks_of(shape).to(device), signal_rates().to(device)
    torch.manual_seed(seed)
    network = Denoiser(**arguments).to(device)
    pretraining_checkpoint = checkpoint and checkpoint.with_name(f"pretraining-{checkpoint.name}")
    if network.encoder and settings["pretraining_steps"] and not (checkpoint and checkpoint.exists()):
        if pretraining_checkpoint:
            folder = pretraining_checkpoint.parent
            for stale in set(folder.glob("pretraining-*")) - {pretraining_checkpoint}:
                stale.unlink()
        pretrain(network.encoder, *pools, settings=settings, checkpoint=pretraining_checkpoint)

    def prepare(slices: Tensor, brain: Tensor, generator: torch.Generator, is_training: bool) -> Batch:
        count, device = len(slices), slices.device
        if is_training:
            slices = change_intensities(slices, generator)
        step = torch.randint(STEPS, (count,), generator=generator, device=device)
        box = masks[torch.randint(len(masks), (count,), generator=generator, device=device)]
        return slices, step, box, simplex_noise(bank, generator, count)

    def loss(network: Denoiser, slices: Tensor, step: Tensor, box: Tensor, noise: Tensor) -> Tensor:
        return l1_loss(network, 2 * slices - 1, noise, box, step=step, rates=rates)

    history = train(network, loss, *pools, settings=settings, checkpoint=checkpoint, prepare=prepare)
    if pretraining_checkpoint:
        pretraining_checkpoint.unlink(missing_ok=True)
    fields = simplex_noise(bank, pools[0].generator(seed, 5), SCORING_FIELDS)
    state = {
        "weights": weights_of(network),
        "network": arguments,
        "noise": fields.half().cpu().numpy(),
        "spacing": settings["spacing"],
    }
    return state, history


def scorer(
    state: State,
    device: Device,
    precision: Precision,
    *,
    steps: Sequence[int],
    masks_of: Callable[[tuple[int, int]], Tensor] = whole,
) -> Score:
    """A method's score: the residual of `reconstruction`, with noise that the state holds.

    steps, masks_of: as for `reconstruction` and `fit`.
    """
    network = with_weights(Denoiser(**state["network"]), state["weights"], device)
    fields = torch.from_numpy(state["noise"]).to(device)
    x, y = fields.shape[2:]
    masks, rates = masks_of((x, y)).to(device), signal_rates().to(device)

    def reconstruct(slices: Tensor) -> Tensor:
        noise = fields[noise_index(slices, len(fields))].float()
        return (reconstruction(network, 2 * slices - 1, noise, masks, steps=steps, rates=rates) + 1) / 2

    multiple = multiple_of(state["network"])
    return residual_score(reconstruct, device, state["spacing"], precision, multiple=multiple)


def noise_index(slices: Tensor, fields: int) -> Tensor:
    """Deterministic pseudo-random index of the field of noise, of so many, for each slice, (n,).

    slices: (n, 1, x, y) in 0..1.  The sum of whole numbers is the same in any order.
    """
    return (255 * slices).round().long().sum(dim=(1, 2, 3)) % fields


def multiple_of(network: Mapping[str, Any]) -> int:
    """Voxels that the sides of slices are multiples of.  network: arguments of `Denoiser`."""
    return PATCH if "encoder_widths" in network else 16
