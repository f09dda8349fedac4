"""The exceptions that users are meant to read."""


class InputError(Exception):
    """Input that cannot be used: the message names the file, what was found, what was expected and what to do."""


class ResourceError(InputError):
    """Input that may be sound and cannot be used here and now: too little memory, no right to read, a failing disk.

    Another attempt or another machine may do it, so a run stops at such a scan instead of leaving it out.
    """
