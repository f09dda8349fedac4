"""Training of the location network on healthy scans (paper, sections 2.2 and 4.1)."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from patch2loc import patches
from patch2loc.errors import InputError
from patch2loc.files import replacing
from patch2loc.network import LocationNetwork

BETA = 0.5
# Locations are standardised for training: raw percentages stall it (the loss is the same up to a constant).
CENTRE = torch.tensor([50.0, 50.0])
SPREAD = torch.tensor([20.0, 20.0])


@dataclass(frozen=True)
class Settings:
    """What a training depends on, besides the scans.

    widths: channels of the encoder's layers.  patch: voxels.  patches: budget, patches seen in all.
    batch: patches a step.  schedule: "constant" or "one_cycle".  validation_patches: fixed patches of the validation
    subjects.  validations: how often the network is validated and a checkpoint is written.
    """

    widths: Sequence[int]
    patch: int
    patches: int
    batch: int
    learning_rate: float
    schedule: str
    validation_patches: int
    validations: int
    seed: int

    @property
    def steps(self) -> int:
        """Number of batches."""
        return math.ceil(self.patches / self.batch)


class Slices:
    """All axial slices of a cohort in memory, with the places where patches may be taken.

    volumes: (subjects, slices, x, y) float32, 4 bytes a voxel.  accepted: the same, boolean, 1 byte a voxel.
    """

    def __init__(self, scans: list[tuple[np.ndarray, np.ndarray]], patch: int, device: str) -> None:
        if not scans:
            raise InputError("no scans to train or validate on; check the roles in the split")
        shape = (len(scans), scans[0][0].shape[2], *scans[0][0].shape[:2])
        self.volumes = torch.empty(shape, dtype=torch.float32, device=device)
        self.accepted = torch.empty(shape, dtype=torch.bool, device=device)
        for subject, (volume, mask) in enumerate(scans):
            self.volumes[subject] = torch.from_numpy(volume).permute(2, 0, 1)
            masks = torch.from_numpy(mask).permute(2, 0, 1).to(device)
            self.accepted[subject] = patches.accepted(masks, patch)
        self.usable = self.accepted.flatten(2).any(dim=2).cpu().numpy()  # (subjects, slices)
        self.patch = patch

    def draw_slices(self, rng: np.random.Generator) -> np.ndarray:
        """One random slice of each subject, (subjects,); drawn again when none of them has an accepted patch."""
        subjects, depth = self.usable.shape
        if not self.usable.any():
            raise InputError("no patch of any scan holds 20 % of brain; check the brain masks (qc.png)")
        while True:
            slices = rng.integers(depth, size=subjects)
            if self.usable[np.arange(subjects), slices].any():
                return slices

    def draw(
        self, rng: np.random.Generator, n: int, slices: np.ndarray | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw n accepted patches uniformly, with replacement, by rejection.

        slices: (subjects,), the one slice of each subject to draw from; None for all slices.
        Returns patches (n, 1, p, p), locations (n, 2) and slice locations (n,), percent.
        """
        subjects, depth, width, height = self.volumes.shape
        device = self.volumes.device
        found: list[Tensor] = []
        count = 0
        for _ in range(1000):
            subject, x, y = (rng.integers(size, size=4 * n) for size in (subjects, width, height))
            z = rng.integers(depth, size=4 * n) if slices is None else slices[subject]
            candidates = torch.from_numpy(np.stack([subject, z, x, y])).to(device)
            found.append(candidates[:, self.accepted[tuple(candidates)]])
            count += found[-1].shape[1]
            if count >= n:
                break
        else:
            raise InputError("hardly any patch holds 20 % of brain; check the brain masks (qc.png)")
        subject, z, x, y = torch.cat(found, dim=1)[:, :n]
        # Only the drawn slices are padded; `where` maps every patch to its slice among them.
        drawn, where = torch.unique(subject * depth + z, return_inverse=True)
        padded = patches.pad_slices(self.volumes.flatten(0, 1)[drawn], self.patch)
        cut = patches.cut(padded, where, x, y, self.patch)
        place = torch.stack([patches.location(x, width), patches.location(y, height)], dim=1)
        return cut, place, patches.location(z, depth)


def beta_nll(mean: Tensor, log_variance: Tensor, target: Tensor) -> Tensor:
    """The beta-NLL loss (Seitzer et al. 2022; paper, equation 4): mean over patches of the sum over coordinates."""
    variance = log_variance.exp()
    nll = 0.5 * ((target - mean).square() / variance + log_variance)
    return (variance.detach() ** BETA * nll).sum(dim=1).mean()


def _batches(cohort: Slices, settings: Settings, first_step: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches from `first_step` on; each depends on the seed and its own number only, so training can go on."""
    for step in range(first_step, settings.steps):
        rng = np.random.default_rng([settings.seed, 1, step])
        yield cohort.draw(rng, settings.batch, slices=cohort.draw_slices(rng))


def _validate(
    network: LocationNetwork, fixed: tuple[Tensor, Tensor, Tensor], batch: int
) -> tuple[float, float]:
    """The loss, and the mean Euclidean location error in percent of the grid, on the fixed patches."""
    network.eval()
    with torch.inference_mode():
        outputs = [
            network(cut, slice_location)
            for cut, slice_location in zip(fixed[0].split(batch), fixed[2].split(batch), strict=True)
        ]
    mean, log_variance = (torch.cat(output) for output in zip(*outputs, strict=True))
    network.train()
    centre, spread = CENTRE.to(mean), SPREAD.to(mean)
    loss = beta_nll(mean, log_variance, (fixed[1] - centre) / spread)
    error = (mean * spread + centre - fixed[1]).norm(dim=1).mean()
    return loss.item(), error.item()


def _save_checkpoint(path: Path, checkpoint: dict) -> None:
    with replacing(path) as partial:
        torch.save(checkpoint, partial)


def train(
    training: Slices,
    validation: Slices,
    settings: Settings,
    checkpoint: Path | None = None,
    progress: Callable[[str], None] = print,
) -> tuple[LocationNetwork, pd.DataFrame]:
    """Train a network; return the one with the lowest validation loss, predicting percent, and its history.

    checkpoint: file to write at every validation, and to go on from when it is there: a run that was killed and goes
    on gives the numbers of one that was not.  history: step, patches, training_loss, validation_loss,
    validation_error (percent of the grid), learning_rate.
    """
    device = training.volumes.device
    torch.manual_seed(settings.seed)
    network = LocationNetwork(settings.widths).to(device, memory_format=torch.channels_last).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
    schedule = _schedule(optimiser, settings)
    fixed = validation.draw(
        np.random.default_rng([settings.seed, 2]), settings.validation_patches, slices=None
    )
    done, history, best = 0, [], {"loss": math.inf, "state": None}
    if checkpoint is not None and checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        done, history, best = saved["step"], saved["history"], saved["best"]
        progress(f"going on from step {done} of {settings.steps}")
    validation_steps = {
        math.ceil(settings.steps * part / settings.validations) for part in range(1, settings.validations + 1)
    }
    centre, spread = CENTRE.to(device), SPREAD.to(device)
    total, count = torch.zeros((), device=device), 0
    for step, (cut, place, slice_location) in enumerate(_batches(training, settings, done), start=done + 1):
        mean, log_variance = network(cut, slice_location)
        loss = beta_nll(mean, log_variance, (place - centre) / spread)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        total, count = total + loss.detach(), count + 1
        if step not in validation_steps:
            continue
        validation_loss, error = _validate(network, fixed, settings.batch)
        history.append(
            {
                "step": step,
                "patches": step * settings.batch,
                "training_loss": total.item() / count,
                "validation_loss": validation_loss,
                "validation_error": error,
                "learning_rate": schedule.get_last_lr()[0],
            }
        )
        total, count = torch.zeros((), device=device), 0
        progress(
            f"step {step} of {settings.steps}: validation loss {validation_loss:.4f}, "
            f"location error {error:.2f} % of the grid"
        )
        if validation_loss < best["loss"]:
            state = {name: value.clone() for name, value in network.state_dict().items()}
            best = {"loss": validation_loss, "state": state}
        if checkpoint is not None:
            _save_checkpoint(
                checkpoint,
                {
                    "network": network.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                    "step": step,
                    "history": history,
                    "best": best,
                },
            )
    if best["state"] is None:
        raise FloatingPointError("the validation loss was never finite; lower training.learning_rate")
    network.load_state_dict(best["state"])
    network.rescale_output_(centre, spread)
    return network.eval(), pd.DataFrame(history)


def _schedule(optimiser: torch.optim.Optimizer, settings: Settings) -> torch.optim.lr_scheduler.LRScheduler:
    if settings.schedule == "one_cycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimiser, settings.learning_rate, total_steps=settings.steps + 1, cycle_momentum=False
        )
    return torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)
