"""Training of the autoencoder of patches, on the patches that the location network is trained on."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from patch2loc.engine.choices import Precision
from patch2loc.engine.halving import halved_until_it_fits
from patch2loc.engine.precision import PRECISIONS
from patch2loc.engine.training_loop import train_in_steps
from patch2loc.engine.training_state import History, MovingAverage
from patch2loc.network.patch_vae import Gaussian, PatchVAE, divergence, negative_log_likelihood
from patch2loc.network.sampling import PatchPool
from patch2loc.network.training import Settings, draw_batch, schedule_of

Drawn = tuple[Tensor, Tensor, Tensor]  # patches (n, 1, p, p), locations (n, 3) and noise (n, latent)


def train(
    training: PatchPool,
    validation: PatchPool,
    settings: Settings,
    checkpoint: Path | None = None,
    *,
    latent: int,
    progress: Callable[[str], None] = print,
) -> tuple[PatchVAE, History]:
    """Train an autoencoder of patches by the evidence lower bound, without a weight between its parts.

    Args:
        training: Patches to learn from.
        validation: Patches to validate on.
        settings: As of the location network; beta, slice_code, heads and location_unit change nothing.
        checkpoint: File to write to and to resume from, see `train_in_steps`.
        latent: Size of the latent vector.
        progress: Takes lines of text.

    Returns:
        The network of lowest validation_loss, in evaluation mode; and its history, rows of step, patches,
        training_loss and validation_loss (negative evidence lower bound, nats a patch), its parts
        validation_reconstruction (negative log-likelihood) and validation_divergence, validation_residual (root mean
        square of what is not reconstructed, of the 98th percentile), learning_rate, patches_per_second.

    Raises:
        FloatingPointError: validation_loss was never finite.
    """
    device = training.volumes.device
    torch.manual_seed(settings.seed)
    network = PatchVAE(settings.patch, settings.widths, latent)
    network = network.to(device).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
    average = MovingAverage(network, settings.averaging) if settings.averaging else None
    measured = network if average is None else average.network
    generator = validation.generator(settings.seed, 2)
    fixed = _with_noise(validation.draw(generator, settings.validation_patches), generator, latent)

    def losses_of(patch: Tensor, location: Tensor, noise: Tensor) -> list[Tensor]:
        posterior, expected = _reconstruct(network, (patch, location, noise), settings.precision)
        return [(negative_log_likelihood(patch, expected) + divergence(posterior)).mean()]

    history = train_in_steps(
        network,
        [optimizer],
        schedule_of(optimizer, settings),
        lambda step: draw(training, settings, latent, step),
        losses_of,
        validate=lambda rate: _validate(measured, fixed, settings) | {"learning_rate": rate},
        steps=settings.steps,
        batch=settings.batch,
        validations=settings.validations,
        unit="patches",
        checkpoint=checkpoint,
        progress=progress,
        average=average,
        as_graph=settings.candidates is None,  # or batches differ in their size
    )
    return network, history


def draw(pool: PatchPool, settings: Settings, latent: int, step: int) -> Drawn:
    """Draw the batch of a step: the patches that the location network has in the same step, and noise."""
    drawn, generator = draw_batch(pool, settings, step)
    return _with_noise(drawn, generator, latent)


def _with_noise(drawn: tuple[Tensor, Tensor, Tensor], generator: torch.Generator, latent: int) -> Drawn:
    """Patches as a pool draws them, with locations of three coordinates and noise for their latent vectors."""
    patch, place, slice_location = drawn
    noise = torch.randn((len(patch), latent), generator=generator, device=patch.device)
    return patch, torch.cat([place, slice_location[:, None]], dim=1), noise


def _reconstruct(network: PatchVAE, drawn: Drawn, precision: Precision) -> tuple[Gaussian, Gaussian]:
    """The network's outputs; only its convolutions have a lower precision."""
    patch, location, noise = drawn
    with torch.autocast(patch.device.type, PRECISIONS[precision], enabled=precision != "float32"):
        features = network.encoder(patch)
    return network.reconstruct(features.float(), location, noise)


def _validate(network: PatchVAE, fixed: Drawn, settings: Settings) -> dict[str, float]:
    """The measures of a row of the history, on fixed patches: fewer at once where a batch does not fit the GPU."""
    network.eval()

    @torch.inference_mode()
    def measured(at_once: int) -> list[Tensor]:
        rows = []
        for part in zip(*(torch.split(values, at_once) for values in fixed), strict=True):
            posterior, expected = _reconstruct(network, part, settings.precision)
            residual = (part[0] - expected.mean).square().flatten(1).mean(dim=1)
            error = negative_log_likelihood(part[0], expected)
            rows.append(torch.stack([error, divergence(posterior), residual], dim=1))
        return rows

    rows, _ = halved_until_it_fits(measured, min(settings.batch, len(fixed[0])))
    network.train()
    reconstruction, kl, squared_residual = torch.cat(rows).mean(dim=0).cpu().tolist()
    return {
        "validation_loss": reconstruction + kl,
        "validation_reconstruction": reconstruction,
        "validation_divergence": kl,
        "validation_residual": squared_residual**0.5,
    }
