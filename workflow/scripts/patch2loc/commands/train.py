"""patch2loc train: run the workflow on a configuration."""

import argparse
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from patch2loc.commands.options import Subcommands
from patch2loc.errors import InputError
from patch2loc.process import Stopped

RUNNER = Path("workflow", "run.py")
PACKAGE_ROOT = Path(__file__).resolve().parents[4]  # the repository, if this is not an installed copy
NO_REPOSITORY = """\
no repository found ({places}), one expected: an installed package detects, and training is done by the workflow in \
the repository that the package comes from. Get a copy of it (git clone, or an archive), and in its folder:
  make PYTHON=python3                                 sets up .venv; make help lists what else it can do
  .venv/bin/patch2loc train config/demo.yaml          trains
A study in a folder of its own can deploy the workflow there instead, with snakedeploy deploy-workflow"""
DESCRIPTION = """\
Run the workflow on a configuration: preprocess the scans, train, score, and make tables, figures and a report. A
stopped run goes on where it was when the same command is given again. Meanwhile a bar shows the jobs, and a line the
trainings that run: share that is done, location error, speed, time left."""
EXAMPLES = """\
examples:
  patch2loc train config/demo.yaml                      everything, on all cores
  patch2loc train my.yaml quality --cores 4             up to a target: look at the preprocessing first
  patch2loc train my.yaml -- --dry-run                  what would be done
  patch2loc train my.yaml --estimate --cores 16         what it costs, without the data
  patch2loc train my.yaml less.yaml --config seed=1     with other values: of a file, of the command line"""


def add(commands: Subcommands) -> None:
    """Add the subcommand."""
    train = commands.add_parser(
        "train",
        help="run the workflow on a configuration: train models, compare methods",
        usage="%(prog)s CONFIGURATION [MORE.yaml ...] [TARGET ...] [--cores N] [--config KEY=VALUE ...] "
        "[-- SNAKEMAKE OPTIONS]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
        epilog=EXAMPLES,
    )
    train.add_argument(
        "configuration", metavar="CONFIGURATION", help="YAML file (config/keys.md has every key)"
    )
    train.add_argument(
        "targets",
        metavar="TARGET",
        nargs="*",
        help="what to make; everything without one. Files that end in .yaml before them are configurations on top of "
        "the first one",
    )
    train.add_argument("--cores", metavar="N", default="all", help="processor cores to use; default: all")
    train.add_argument(
        "--config", metavar="KEY=VALUE", nargs="+", action="extend", default=[], help="keys to overrule"
    )
    train.add_argument(
        "--estimate",
        action="store_true",
        help="start nothing: print jobs, hours, memory and disk of the whole run; the data need not be there. Further "
        "configurations may follow the first",
    )
    train.add_argument("--gpus", metavar="N", help="GPUs to estimate for; default: this machine's")
    train.add_argument(
        "--cluster-jobs", metavar="N", help="jobs at once on a cluster, to estimate for; default: 50"
    )
    train.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    repository = repository_of(Path.cwd())
    if find_spec("snakemake") is None:
        raise InputError(
            f"{sys.executable}: no Snakemake found, which runs the workflow; install it (pip install 'patch2loc[train]'"
            ", or `make` in the repository), or use .venv/bin/patch2loc of the repository"
        )
    command = [sys.executable, str(repository / RUNNER), arguments.configuration, *arguments.targets]
    command += ["--cores", arguments.cores]
    if arguments.config:
        command += ["--config", *arguments.config]
    if arguments.estimate:
        command += ["--estimate"]
    command += ["--gpus", arguments.gpus] if arguments.gpus else []
    command += ["--cluster-jobs", arguments.cluster_jobs] if arguments.cluster_jobs else []
    if arguments.passed_on:
        command += ["--snakemake", *arguments.passed_on]
    with subprocess.Popen(command) as run:
        try:
            return run.wait()
        except (
            Stopped
        ):  # a terminal stops both, anything else this process alone; the run keeps what is finished
            run.terminate()
            raise


def repository_of(folder: Path) -> Path:
    """The repository that this package is in, else the one that a folder is the root of.

    Raises:
        InputError: There is none.
    """
    for place in (PACKAGE_ROOT, folder):
        if (place / RUNNER).is_file() and (place / "Snakefile").is_file():
            return place
    raise InputError(NO_REPOSITORY.format(places=f"neither {PACKAGE_ROOT} nor {folder}"))
