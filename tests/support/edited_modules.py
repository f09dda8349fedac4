"""Modules that a test writes or edits while it runs."""

import sys

from patch2loc.configuration import method_registry
from patch2loc.provenance import code


def forget_modules(package=None):
    """Forget what hashes of code and the registry know of modules, and a package.

    A job is a process of its own and starts without.
    """
    for cached in (code.module_file, code._imported, code.code_of, code._split_display, code.code_hash):
        cached.cache_clear()
    method_registry.declaration.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
