"""Methods of the package: which there are, which run a network, which predict locations."""

from typing import Literal

from patch2loc.configuration.method_names import CONTROLS, VARIANTS
from patch2loc.engine.device import Device, Precision, select_device, select_precision


def for_method(
    method: str,
    device: Device | Literal["auto"],
    precision: Precision | Literal["auto"],
    threads: int,
) -> tuple[Device, Precision]:
    """Select device and precision for a method; one without a network computes on the processor in float32."""
    if not runs_network(method):
        return "cpu", "float32"
    selected = select_device(device, threads)
    return selected, select_precision(precision, selected)


METHODS = (
    "patch2loc",
    "patch2loc_robust",
    "patch2loc_multiscale",
    "patch2loc_unpadded",
    "patch2loc_robust_unpadded",
    "thresh",
    "thresh_dark",
    "ae",
    "vae",
    "svae",
    "dae",
    "fae",
    "fae_patch2loc",
    "ra",
    "phanes",
    "ddpm",
    "pddpm",
    "cddpm",
    "zscore",
    "zscore_bright",
    "zscore_dark",
    "asymmetry",
    "random",
    "oracle",
)
# Methods that run a network: on a GPU where there is one, with several threads, by the config's budget.
NETWORKS = tuple(name for name in METHODS if name not in ("thresh", "thresh_dark", *CONTROLS))
# Methods that predict locations: trained by the configuration's `training`, and seen by the patch analysis.
LOCATING = ("patch2loc", *VARIANTS)
BUDGETS = ("smoke", "short", "paper")


def runs_network(name: str) -> bool:
    """Whether a method computes where networks do; a method from outside may."""
    return name in NETWORKS or "." in name
