"""What a rule prints and the errors it meets go to its log."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

# The package beside this file, whatever other version is installed or named in PYTHONPATH.
sys.path.insert(0, str(Path(__file__).parent))

from patch2loc.errors import InputError


@contextmanager
def rule_log(path: str) -> Iterator[None]:
    """Send output to the log file; an InputError is shown as its message, any other with its traceback."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", buffering=1) as log:
        try:
            with redirect_stdout(log), redirect_stderr(log):
                yield
        except InputError as error:
            print(f"InputError: {error}", file=log)
            print(f"InputError: {error}", file=sys.stderr)
            sys.exit(1)
        except Exception:
            traceback.print_exc(file=log)
            raise
