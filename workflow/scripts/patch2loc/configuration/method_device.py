"""The device and precision that a method computes with."""

from patch2loc.configuration.method_registry import runs_network
from patch2loc.engine.device import choose
from patch2loc.engine.device import precision as choose_precision


def device_and_precision(method: str, device: str, precision: str, threads: int) -> tuple[str, str]:
    """Device and precision of a method that runs a network, of the configured ones; "cpu", "float32" of any other."""
    if not runs_network(method):
        return "cpu", "float32"
    network_device = choose(device, threads)
    return network_device, choose_precision(precision, network_device)
