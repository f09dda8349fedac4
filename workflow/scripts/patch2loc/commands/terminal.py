"""What a command says on the terminal."""

import os
import sys
from typing import TextIO

BOLD, RED, YELLOW, PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[0m"


def say(message: str) -> None:
    """Print a message to the standard error, after the name of the command."""
    print(f"patch2loc: {message}", file=sys.stderr)


def styled(text: str, *styles: str) -> str:
    """The text in styles (BOLD, RED, YELLOW) where the standard output is a terminal that shows them, else as it is."""
    return f"{''.join(styles)}{text}{PLAIN}" if _shows_styles(sys.stdout) else text


def _shows_styles(stream: TextIO) -> bool:
    """True for a terminal, unless NO_COLOR (no-color.org) is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
