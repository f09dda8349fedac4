"""The command `patch2loc`, where it is run as a module."""

import sys

from patch2loc.commands import main

if __name__ == "__main__":  # processes that are spawned import this module too
    sys.exit(main())
