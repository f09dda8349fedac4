"""Options that several subcommands have."""

import argparse
from typing import TypeAlias

SKULL_STRIP = ("given", "none", "atlas", "auto", "hd-bet", "synthstrip")
EACH_SCAN = "with several scans once for each, in their order"
Subcommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_computing_options(parser: argparse.ArgumentParser) -> None:
    """Add --device, --precision and --atlas: what a model computes with."""
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: auto")
    parser.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16"],
        default="float32",
        help="of the network; auto is bfloat16 where that is faster; default: float32",
    )
    parser.add_argument(
        "--atlas",
        metavar="ATLAS",
        help="icbm152, or the folder of SRI24, if it is not where the training had it",
    )


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
        help="method that the model has to be of; to be named for a module of your own (mypackage.method), which is "
        "run: no module that only the model names is",
    )
