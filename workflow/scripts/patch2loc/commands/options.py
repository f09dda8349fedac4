"""Options that several subcommands have."""

import argparse
from typing import TypeAlias

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
