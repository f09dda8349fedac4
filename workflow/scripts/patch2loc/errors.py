"""The one exception that users are meant to read."""


class InputError(Exception):
    """Bad input: the message names the file, what was found, what was expected and what to do."""
