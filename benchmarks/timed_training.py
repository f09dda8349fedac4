"""Trainings, timed, in each way."""

import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ways import RELEASED, UNPADDED, Case, free_memory

if TYPE_CHECKING:
    from brains import Source

    from patch2loc.engine.choices import Device, Precision

VALIDATED = 64  # patches: the validations of a short training are not timed
VALIDATION_PATCHES, VALIDATIONS = 65_536, 60  # as the configuration has them


def time_training(
    way: str, case: Case, scans: "tuple[Source, ...]", steps: int, *, device: "Device", precision: "Precision"
) -> float:
    """Patches a second of some training steps, after one to warm up."""
    from brains import load
    from machine import synchronize
    from straightforward import training_steps

    if way == RELEASED:
        running = training_steps(
            [load(source) for source in scans], case.batch, device, case.patch, case.widths
        )
        next(running)
        synchronize(device)
        start = time.perf_counter()
        count = sum(next(running) for _ in range(steps))
        synchronize(device)
        rate = count / (time.perf_counter() - start)
        running.close()
    else:
        from patch2loc.methods.patch2loc_unpadded.model import unpadded
        from patch2loc.network.training import paper_network, train

        pool = pool_of(case, scans, device)
        chosen = training_settings(case, 2 * steps * case.batch, precision, VALIDATED, validations=2)
        build = unpadded if way == UNPADDED else paper_network
        history = train(pool, pool, chosen, progress=lambda text: None, build=build)[1]
        rate = history[-1]["patches_per_second"]  # of the second half
    free_memory(device)
    return rate


def time_whole_training(
    case: Case, scans: "tuple[Source, ...]", patches: int, *, device: "Device", precision: "Precision"
) -> float:
    """Minutes of a training with the configuration's validations and a checkpoint."""
    from patch2loc.network.training import train

    pool = pool_of(case, scans, device)
    chosen = training_settings(case, patches, precision, VALIDATION_PATCHES, VALIDATIONS)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        train(pool, pool, chosen, Path(folder, "checkpoint"), progress=lambda text: None)
    return (time.monotonic() - start) / 60


@cache
def pool_of(case: Case, scans: "tuple[Source, ...]", device: "Device") -> Any:
    """The patches of some scans, on the device."""
    from brains import load

    from patch2loc.network.sampling import PatchPool

    return PatchPool([load(source) for source in scans], case.patch, device)


def training_settings(
    case: Case, patches: int, precision: "Precision", validation_patches: int, validations: int
) -> Any:
    """Settings of a training on so many patches."""
    from patch2loc.network.training import Settings

    return Settings(
        widths=case.widths,
        patch=case.patch,
        patches=patches,
        batch=case.batch,
        learning_rate=1e-3,
        schedule="constant",
        validation_patches=validation_patches,
        validations=validations,
        seed=0,
        precision=precision,
    )
