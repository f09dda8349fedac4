"""Completion of the command line by the shell: the script that shtab, if it is installed, makes of the parser."""

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import Any

SHELLS = ("bash", "zsh", "fish")
FILES = ("scans", "mask", "landmarks", "configuration", "file", "model")  # arguments that are paths of files
FOLDERS = ("output", "results", "folder", "atlas")


class PrintCompletion(argparse.Action):
    """Print the completion script of the parser for a shell, and exit."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """As argparse calls it: `values` is the shell."""
        try:
            shtab = import_module("shtab")
        except ImportError:
            parser.error(
                f"{option_string}: no shtab found, which makes the script; install it (pip install shtab)"
            )
        complete_paths(parser, files=shtab.FILE, folders=shtab.DIRECTORY)
        print(shtab.complete(parser, str(values)))
        parser.exit()


def complete_paths(parser: argparse.ArgumentParser, *, files: object, folders: object) -> None:
    """Say of each argument of a parser and its subcommands that is a path how it is completed."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subcommand in action.choices.values():
                complete_paths(subcommand, files=files, folders=folders)
        elif action.dest in FILES:
            action.complete = files  # type: ignore[attr-defined]  # shtab reads it
        elif action.dest in FOLDERS:
            action.complete = folders  # type: ignore[attr-defined]
