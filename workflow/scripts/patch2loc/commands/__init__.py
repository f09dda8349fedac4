"""The command `patch2loc`: one module for each of its subcommands."""

from patch2loc.commands.command_line import main

__all__ = ["main"]
