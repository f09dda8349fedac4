"""Modules that a test writes or edits while it runs."""

import importlib
import sys

from patch2loc import method_interface
from patch2loc.provenance import code


def forget_modules(package=None):
    """Forget what is known of the code and declarations of modules, and a package.

    A job is a process of its own and starts without.
    """
    for cached in (
        code.module_file,
        code._imported,
        code.code_of,
        code.code_hash,
        method_interface.declaration,
    ):
        cached.cache_clear()
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
