"""As much at once as the memory of a device holds."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from patch2loc.engine.memory import if_memory_allows

Result = TypeVar("Result")


def halved_until_it_fits(compute: Callable[[int], Result], at_once: int) -> tuple[Result, int]:
    """Compute so much at once, half as much where that does not fit into memory, and so on down to one.

    Args:
        compute: From how much it computes at once, to its result, which does not depend on it and is not None.
        at_once: No more than there is, or the first halves change nothing.

    Returns:
        The result, and how much was computed at once.
    """
    while (result := if_memory_allows(partial(compute, at_once), last_attempt=at_once == 1)) is None:
        at_once = -(-at_once // 2)
    return result, at_once
