"""patch2loc simulate: make a simulated cohort of any size."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from patch2loc.commands.numbers import finite_number, whole_number
from patch2loc.commands.options import Subcommands
from patch2loc.commands.terminal import tell
from patch2loc.output_folder import claimed

if TYPE_CHECKING:  # imported late: a command line explains itself without the libraries that compute
    from patch2loc.acquire.phantom import Settings


def add(commands: Subcommands) -> None:
    """Add the subcommand."""
    simulate = commands.add_parser(
        "simulate",
        help="simulate a cohort",
        description="Simulate a cohort, one folder a subject, on all cores. A killed run goes on where it was. "
        "The scans, and whatever is computed from them, are to be called simulated.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    simulate.add_argument("folder", help="folder to write to")
    simulate.add_argument(
        "--cohort",
        choices=["healthy", "tumor", "ms", "stroke", "wmh"],
        default="healthy",
        help="what the subjects have",
    )
    simulate.add_argument("--subjects", type=whole_number(1, 100_000), default=400, help="how many")
    simulate.add_argument(
        "--seed", type=whole_number(0, 2**31 - 1), default=3141, help="another one gives other subjects"
    )
    simulate.add_argument(
        "--spacing", type=finite_number, default=1.0, help="mm, of the anatomy and of the voxels"
    )
    simulate.add_argument(
        "--noise", type=finite_number, default=0.03, help="standard deviation over white matter"
    )
    simulate.add_argument(
        "--workers",
        type=whole_number(1, 1024),
        default=os.cpu_count(),
        help="processes; 1 GB of memory each at 1 mm",
    )
    simulate.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from patch2loc.acquire.phantom.cohort import write_cohort

    settings: Settings = {
        "anatomy_spacing": arguments.spacing,
        "voxel_size": [arguments.spacing] * 3,
        "noise": arguments.noise,
    }
    with claimed(arguments.folder):
        write_cohort(
            Path(arguments.folder),
            arguments.cohort,
            range(arguments.subjects),
            seed=arguments.seed,
            settings=settings,
            workers=arguments.workers,
        )
    tell(arguments.folder)
    return 0
