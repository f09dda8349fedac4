"""The device and precision that a method computes with."""

from typing import Literal

from patch2loc.configuration.method_registry import runs_network
from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.device import select_device, select_precision


def device_and_precision(
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
