"""What a command says on the terminal."""

import sys


def say(message: str) -> None:
    """Print a message to the standard error, after the name of the command."""
    print(f"patch2loc: {message}", file=sys.stderr)
