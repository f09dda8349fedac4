"""Modules that a test edits while it runs."""

from patch2loc import provenance


def forget_modules():
    """Forget what hashes of code know of modules; a job is a process of its own and starts without."""
    provenance.module_file.cache_clear()
    provenance._imported.cache_clear()
