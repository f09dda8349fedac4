"""The exceptions that users are meant to read, and how their messages list things."""

from collections.abc import Iterable


def first_of(things: Iterable[object], most: int) -> str:
    """The first of some things, as text: "a, b, c", and ", ..." where there are more."""
    words = [str(thing) for thing in things]
    return ", ".join(words[:most]) + (", ..." if len(words) > most else "")


class InputError(Exception):
    """Input that cannot be used: the message names the file, what was found, what was expected and what to do."""


class ResourceError(InputError):
    """Input that may be sound and cannot be used here and now: too little memory, no right to read, a failing disk.

    Another attempt or another machine may do it, so a run stops at such a scan instead of leaving it out.
    """
