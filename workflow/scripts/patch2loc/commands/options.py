"""Options that several subcommands have."""

import argparse
from collections.abc import Iterable
from typing import TypeAlias

from patch2loc.errors import InputError

SKULL_STRIP = ("given", "none", "atlas", "auto", "hd-bet", "synthstrip")
EACH_SCAN = "for several scans, once for each, in order"
Subcommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_computing_options(parser: argparse.ArgumentParser) -> None:
    """Add --device, --precision and --atlas: what a model computes with."""
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: auto")
    parser.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16"],
        default="float32",
        help="of the network; auto: bfloat16 where it is faster; default: float32",
    )
    parser.add_argument(
        "--atlas",
        metavar="ATLAS",
        help="icbm152, or the folder of SRI24 if it has moved since training",
    )


def refuse_unused(arguments: argparse.Namespace, names: Iterable[str], why: str) -> None:
    """Refuse options that a call does not use.

    Args:
        arguments: The parsed command line.
        names: Names of the options to refuse, as attributes; the default of each is None or False.
        why: Where they were found, and what to do: the rest of the message.

    Raises:
        InputError: One of them is given.
    """
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name)]
    if given:
        raise InputError(f"{', '.join(given)} found {why}")


def add_mask_option(parser: argparse.ArgumentParser) -> None:
    """Add --mask."""
    parser.add_argument(
        "--mask",
        action="append",
        metavar="MASK",
        help=f"brain mask on the scan's voxels; {EACH_SCAN}",
    )


def add_method_option(parser: argparse.ArgumentParser) -> None:
    """Add --method."""
    parser.add_argument(
        "--method",
        metavar="MODULE",
        help="required method of the model; needed for your own module (mypackage.method), because code that only the "
        "model file names is never run",
    )
