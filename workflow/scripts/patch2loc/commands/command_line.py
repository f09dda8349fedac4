"""The command line: its subcommands, what it says of errors, and its exit status."""

import argparse
import os
import platform
import signal
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from patch2loc import __version__
from patch2loc.commands import detect, models, score, simulate, trace, train, view, watch
from patch2loc.commands.completion import SHELLS, PrintCompletion
from patch2loc.commands.memory import has_little_memory
from patch2loc.commands.terminal import say
from patch2loc.disclaimer import DISCLAIMER
from patch2loc.errors import InputError
from patch2loc.files import storage_message
from patch2loc.output_folder import FolderInUseError
from patch2loc.process import (
    Stopped,
    is_for_lack_of_memory,
    memory_message,
    prepare_output,
    stopped_by_signals,
)

# In the order in which --help lists them.
SUBCOMMANDS = (detect, models, view, train, watch, trace, simulate, score)
PASSING_ON = "train"  # what follows -- on its command line is not its own
EXAMPLES = f"""\
examples:
  patch2loc detect t1.nii.gz -o result      a report about one scan: result/report.html
  patch2loc models                          the included models
  patch2loc train config/demo.yaml          the whole workflow, in a clone of the repository
  patch2loc COMMAND --help                  options of a command

{DISCLAIMER}"""
BROKEN_PIPE = 128 + 13  # as shells give SIGPIPE


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 1 for input that cannot be used.

    Args:
        words: Arguments; those of this process when None, which is then about to end.
    """
    prepare_output()
    own, passed_on = _split(sys.argv[1:] if words is None else words)
    if problem := _empty_value(own):
        say(problem)
        return 1
    arguments = command_parser().parse_args(own)
    arguments.passed_on = passed_on
    status = _run(arguments)
    if words is None:  # while libraries are unloaded: without a traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return status


def command_parser() -> argparse.ArgumentParser:
    """The parser of the command line with all of its subcommands."""
    parser = argparse.ArgumentParser(
        prog="patch2loc",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Find lesions in brain MRI with a model of healthy brains, or train and compare such models.",
        epilog=EXAMPLES,
    )
    parser.add_argument("--version", action=PrintVersion, nargs=0, help="print the versions, and exit")
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=SHELLS,
        help="print the completion script for this shell, and exit",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for subcommand in SUBCOMMANDS:
        subcommand.add(commands)
    return parser


class PrintVersion(argparse.Action):
    """Print the versions of this package, of torch and of Python on a line, and exit."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """As argparse calls it."""
        from importlib import metadata

        try:
            torch = metadata.version("torch")  # without the seconds of an import
        except metadata.PackageNotFoundError:
            torch = "missing"
        print(f"patch2loc {__version__} (torch {torch}, Python {platform.python_version()})")
        parser.exit()


def _split(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The words of a command line that are its own, and those after -- that it passes on."""
    if not (words and words[0] == PASSING_ON and "--" in words):
        return words, ()
    place = list(words).index("--")
    return words[:place], words[place + 1 :]


def _empty_value(words: Sequence[str]) -> str | None:
    """Name the option whose value is empty, as that of a variable that is not set; None without any."""
    for before, word in pairwise(["", *words]):
        if not word or (word.startswith("--") and word.endswith("=")):
            option = (word or (before if before.startswith("-") else "command line")).rstrip("=")
            return f"{option}: an empty value found; give one, or leave it out"
    return None


def _run(arguments: argparse.Namespace) -> int:
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        with stopped_by_signals():
            return run(arguments)
    except Stopped as stop:
        say(str(stop))
        return stop.status
    except BrokenPipeError:  # the reader of the output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (InputError, FolderInUseError) as error:
        say(str(error))
    except OSError as error:
        say(storage_message(error, "output") or str(error))
    except (ImportError, MemoryError, RuntimeError, SystemError) as error:
        # A SystemError is how an import ends that ran out of memory within another one.
        if not (is_for_lack_of_memory(error) or (isinstance(error, SystemError) and has_little_memory())):
            raise
        say(memory_message(error))
    return 1
