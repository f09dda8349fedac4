"""What a command says on the terminal."""

import os
import sys
from typing import TextIO

from patch2loc.process import for_terminal

BOLD, RED, YELLOW, PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[0m"


def say(message: str) -> None:
    """Print a message to the standard error, after the name of the command."""
    print(f"patch2loc: {for_terminal(message)}", file=sys.stderr)


def tell(line: str) -> None:
    """Print a line of the result to the standard output, at once."""
    _print(for_terminal(line))


def warn(message: str) -> None:
    """Print a warning about the result to the standard output, with the result."""
    _print(f"{styled('WARNING', BOLD, RED)} {styled(for_terminal(message), YELLOW)}")


def _print(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        error.filename = "standard output"  # not the folder of the results, which are whole
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left of the line
        raise


def styled(text: str, *styles: str) -> str:
    """The text in styles (BOLD, RED, YELLOW) where the standard output is a terminal that shows them, else as it is."""
    return f"{''.join(styles)}{text}{PLAIN}" if _shows_styles(sys.stdout) else text


def _shows_styles(stream: TextIO) -> bool:
    """True for a terminal, unless NO_COLOR (no-color.org) is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
