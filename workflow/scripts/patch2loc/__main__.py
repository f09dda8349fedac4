"""python -m patch2loc: the command `patch2loc`."""

import sys

from patch2loc.commands import main

if __name__ == "__main__":  # processes that are spawned import this module too
    sys.exit(main())
