"""The command `patch2loc`, for `python -m`."""

import sys

from patch2loc.commands import main

if __name__ == "__main__":  # processes that are spawned import this module too
    sys.exit(main())
