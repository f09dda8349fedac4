"""Too little memory, said before a library ends the process without a word."""

from patch2loc.commands.terminal import say
from patch2loc.process import GB, MEMORY_REMEDY, address_limit

LEAST_MEMORY_GB = 4.0  # of addresses (ulimit -v), which Python and its libraries take before they compute


def has_little_memory() -> bool:
    """True where a limit leaves less than LEAST_MEMORY_GB to this process."""
    return address_limit() < LEAST_MEMORY_GB * GB


def tell_little_memory() -> None:
    """Say so where a limit leaves little memory, before libraries are loaded."""
    if has_little_memory():
        say(
            f"a limit of {address_limit() / GB:.1f} GB of addresses (ulimit -v) found, {LEAST_MEMORY_GB} GB or more "
            f"expected; {MEMORY_REMEDY}, if this ends early"
        )
