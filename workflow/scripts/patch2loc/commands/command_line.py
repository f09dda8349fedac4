"""The command line: its subcommands, what it says of errors, and its exit status."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence

from patch2loc.commands import score, simulate, trace, view
from patch2loc.commands.memory import has_little_memory
from patch2loc.commands.terminal import say
from patch2loc.errors import InputError
from patch2loc.files import storage_message
from patch2loc.output_folder import FolderInUseError
from patch2loc.process import (
    Stopped,
    accept_any_name_in_output,
    is_for_lack_of_memory,
    memory_message,
    stopped_by_signals,
)

SUBCOMMANDS = (score, view, trace, simulate)  # in the order in which --help lists them
BROKEN_PIPE = 128 + 13  # as shells give SIGPIPE, a signal that Windows does not have


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 1 for input that cannot be used.

    Args:
        words: Arguments; those of this process when None, which is then about to end.
    """
    accept_any_name_in_output()
    status = _run(command_parser().parse_args(words))
    if words is None:  # while libraries are unloaded: without a traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return status


def command_parser() -> argparse.ArgumentParser:
    """The parser of the command line with all of its subcommands."""
    parser = argparse.ArgumentParser(
        prog="patch2loc",
        description="Find brain lesions by localizing patches.",
        epilog="COMMAND --help says more. The paper's tables and figures are made by the workflow: see README.md.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for subcommand in SUBCOMMANDS:
        subcommand.add(commands)
    return parser


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
