"""The exception that users are meant to read."""


class InputError(Exception):
    """Input that cannot be used: the message names the file, what was found, what was expected and what to do."""
