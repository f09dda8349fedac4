"""Training of the location network on healthy scans (paper, sections 2.2 and 4.1)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from patch2loc.engine.choices import Precision
from patch2loc.engine.halving import halved_until_it_fits
from patch2loc.engine.precision import PRECISIONS
from patch2loc.engine.training_loop import train_in_steps
from patch2loc.engine.training_state import History, MovingAverage
from patch2loc.network.location import Heads, LocationNetwork, PatchNetwork
from patch2loc.network.sampling import PatchPool

BETA = 0.5
# Locations are standardized for training, as raw percentages stall it.  The gradients of the loss then differ by a
# factor only.  Its value does not: it has a minimum at a spread that depends on the unit, and rises below it.
CENTER = torch.tensor([50.0, 50.0])
SPREAD = torch.tensor([20.0, 20.0])
Slices = Literal["independent", "in-turn"]
LocationUnit = Literal["standardized", "percent"]


@dataclass(frozen=True)
class Settings:
    """Settings of a training: all that it depends on besides the scans.

    Attributes:
        widths: Channels of the encoder's layers.
        patch: Width of a patch, voxels.
        patches: Budget, patches seen in all.
        batch: Patches a step.
        learning_rate: Learning rate of Adam; with one_cycle the highest.
        schedule: Schedule of the learning rate.
        averaging: Decay of a moving average of the weights, which is kept instead of them; 0 for no average.
        validation_patches: Fixed patches of the validation subjects.
        validations: How often the network is validated.
        seed: Seed of weights and patches.
        precision: Precision of the encoder.
        spacing: Voxel size, mm, for the history.
        beta: Of the loss: 0 is the negative log-likelihood, 1 weights errors as a squared error does.
        slice_code: As of `PatchNetwork`.
        heads: As of `PatchNetwork`.
        candidates: For each patch of `batch`, voxels that are drawn and kept if they are accepted, as in the paper's
            released code; None for accepted patches alone, of a number that does not vary.
        slices: How the slice of each subject is drawn for a batch; in-turn: each once before any comes again.
        location_unit: Of the loss; percent: of the grid, as it is.
    """

    widths: Sequence[int]
    patch: int
    patches: int
    batch: int
    learning_rate: float
    schedule: Literal["constant", "one_cycle"]
    validation_patches: int
    validations: int
    seed: int
    averaging: float = 0.0
    precision: Precision = "float32"
    spacing: float = 1.0
    beta: float = BETA
    slice_code: bool = True
    heads: Heads = "separate"
    candidates: int | None = None
    slices: Slices = "independent"
    location_unit: LocationUnit = "standardized"

    @property
    def steps(self) -> int:
        """Number of batches."""
        return math.ceil(self.patches / self.batch)

    @property
    def offset_and_scale(self) -> tuple[Tensor, Tensor]:
        """Of the locations, percent, that the network learns: their zero and their unit."""
        return (CENTER, SPREAD) if self.location_unit == "standardized" else (torch.zeros(2), torch.ones(2))


def beta_nll(mean: Tensor, log_variance: Tensor, target: Tensor, beta: float = BETA) -> Tensor:
    """Beta-NLL loss (Seitzer et al. 2022; paper, equation 4): mean over patches of the sum over coordinates.

    It is a loss to descend, not a measure to compare networks by: use `negative_log_likelihood`.

    Args:
        mean: Predicted locations, (n, 2).
        log_variance: Logarithm of their variance, (n, 2).
        target: True locations, (n, 2).
        beta: Power of the variance that patches are weighted by, 0 to 1.
    """
    variance = log_variance.exp()
    nll = 0.5 * ((target - mean).square() / variance + log_variance)
    return (variance.detach() ** beta * nll).sum(dim=1).mean()


def negative_log_likelihood(mean: Tensor, log_variance: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood of true locations (paper, equation 2), nats: mean over patches.

    A proper score: its expectation is least for the true distribution, and another unit adds a constant.

    Args:
        mean: Predicted locations, (n, 2).
        log_variance: Logarithm of their variance, (n, 2).
        target: True locations, (n, 2).
    """
    squared_z = (target - mean).square() / log_variance.exp()
    return 0.5 * (squared_z + log_variance + math.log(2 * math.pi)).sum(dim=1).mean()


def paper_network(settings: Settings) -> LocationNetwork:
    """Build the paper's network, untrained."""
    return LocationNetwork(settings.widths, slice_code=settings.slice_code, heads=settings.heads)


def train(
    training: PatchPool,
    validation: PatchPool,
    settings: Settings,
    checkpoint: Path | None = None,
    *,
    progress: Callable[[str], None] = print,
    build: Callable[[Settings], PatchNetwork] = paper_network,
) -> tuple[PatchNetwork, History]:
    """Train a location network.

    Where a batch does not fit the GPU, its activations wait in main memory until they are needed again: slower, and
    the same numbers, which parts of a batch would not give, as batch normalization takes all patches together.

    Args:
        training: Patches to learn from.
        validation: Patches to validate on.
        settings: What the training depends on besides.
        checkpoint: File to write to and to resume from, see `train_in_steps`.
        progress: Takes lines of text.
        build: Makes the network that is trained, from the settings.

    Returns:
        The network of lowest validation_nll, in evaluation mode, predicting percent of the grid; and its history, rows
        of step, patches, training_loss and validation_loss (beta-NLL of standardized locations), validation_nll
        (negative log-likelihood of locations in percent, nats), validation_error (percent of the grid),
        validation_error_mm, validation_log_variance (log percent squared), learning_rate, patches_per_second.

    Raises:
        FloatingPointError: validation_nll was never finite.
    """
    device = training.volumes.device
    torch.manual_seed(settings.seed)
    network = build(settings).to(device).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
    average = MovingAverage(network, settings.averaging) if settings.averaging else None
    measured = network if average is None else average.network
    fixed = validation.draw(validation.generator(settings.seed, 2), settings.validation_patches)
    offset, scale = (values.to(device) for values in settings.offset_and_scale)

    def losses_of(patch: Tensor, place: Tensor, slice_location: Tensor) -> list[Tensor]:
        mean, log_variance = _predict(network, patch, slice_location, settings.precision)
        return [beta_nll(mean, log_variance, (place - offset) / scale, settings.beta)]

    def validate(rate: float) -> dict[str, float]:
        return _validate(measured, fixed, settings, validation) | {"learning_rate": rate}

    history = train_in_steps(
        network,
        [optimizer],
        schedule_of(optimizer, settings),
        lambda step: draw_batch(training, settings, step)[0],
        losses_of,
        validate=validate,
        steps=settings.steps,
        batch=settings.batch,
        validations=settings.validations,
        unit="patches",
        checkpoint=checkpoint,
        progress=progress,
        kept_by="validation_nll",
        average=average,
        as_graph=settings.candidates is None,  # or batches differ in their size
    )
    network.rescale_output_(offset, scale)
    return network, history


def draw_batch(
    pool: PatchPool, settings: Settings, step: int
) -> tuple[tuple[Tensor, Tensor, Tensor], torch.Generator]:
    """Draw the patches of a step, as `PatchPool.draw` returns them; and the generator, for more that is drawn."""
    generator = pool.generator(settings.seed, 1, step)
    if settings.slices == "in-turn":
        slices = pool.slices_in_turn(settings.seed, step)
    else:
        slices = pool.one_slice_each(generator)
    n = settings.batch
    if settings.candidates is not None:
        n = pool.accepted_candidates(generator, settings.candidates * n, slices)
    return pool.draw(generator, n, slices), generator


def _predict(
    network: PatchNetwork, patch: Tensor, slice_location: Tensor, precision: Precision
) -> tuple[Tensor, Tensor]:
    """The network's outputs; only its encoder has a lower precision, as a location has more digits than that."""
    half = precision != "float32"
    with torch.autocast(patch.device.type, PRECISIONS[precision], enabled=half):
        latent = network.encoder(patch)
    return network.locate(latent.float(), slice_location)


def _validate(
    network: PatchNetwork,
    fixed: tuple[Tensor, Tensor, Tensor],
    settings: Settings,
    validation: PatchPool,
) -> dict[str, float]:
    """The measures of a row of the history, on fixed patches: fewer at once where a batch does not fit the GPU."""
    network.eval()
    patch, place, slice_location = fixed

    @torch.inference_mode()
    def predicted(at_once: int) -> list[tuple[Tensor, Tensor]]:
        parts = zip(torch.split(patch, at_once), torch.split(slice_location, at_once), strict=True)
        return [_predict(network, *part, settings.precision) for part in parts]

    outputs, _ = halved_until_it_fits(predicted, min(settings.batch, len(patch)))
    network.train()
    mean, log_variance = (torch.cat(output) for output in zip(*outputs, strict=True))
    offset, scale = (values.to(mean) for values in settings.offset_and_scale)
    location, location_log_variance = mean * scale + offset, log_variance + 2 * scale.log()
    error = location - place
    extent = settings.spacing * torch.tensor(validation.volumes.shape[2:], device=error.device)
    return {
        "validation_loss": beta_nll(mean, log_variance, (place - offset) / scale, settings.beta).item(),
        "validation_nll": negative_log_likelihood(location, location_log_variance, place).item(),
        "validation_error": error.norm(dim=1).mean().item(),
        "validation_error_mm": (error / 100 * extent).norm(dim=1).mean().item(),
        "validation_log_variance": location_log_variance.mean().item(),
    }


def schedule_of(optimizer: torch.optim.Optimizer, settings: Settings) -> torch.optim.lr_scheduler.LRScheduler:
    """The schedule of the learning rate that the settings name."""
    if settings.schedule == "one_cycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, settings.learning_rate, total_steps=settings.steps + 1, cycle_momentum=False
        )
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
