"""Numbers of a command line, as types for argparse."""

import argparse
import math
from collections.abc import Callable


def whole_number(least: int, most: float = math.inf) -> Callable[[str], int]:
    """A type for argparse: whole numbers from `least` to `most`."""
    expected = f"at least {least}" if most == math.inf else f"{least} to {most}"

    def parse(text: str) -> int:
        try:
            value: int | None = int(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} found, a whole number expected, {expected}")
        return value

    return parse


def finite_number(text: str) -> float:
    """A type for argparse: numbers that are neither infinite nor NaN."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} found, a finite number expected")
    return value
