"""What a rule prints and the errors it meets go to its log."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

# The package beside this file, whatever other version is installed or elsewhere in the path.
sys.path.insert(0, str(Path(__file__).parent))

from patch2loc.errors import InputError
from patch2loc.files import storage_message


@contextmanager
def rule_log(path: str) -> Iterator[None]:
    """Send output to the log file; what a person can mend is shown as a message, any other error with its traceback.

    InputError: bad input.  StorageError: no room or no right to write, also of the log itself.
    """
    try:
        with _logged(path):
            yield
    except InputError as error:
        sys.exit(f"InputError: {error}")
    except OSError as error:
        if message := storage_message(error, path):
            sys.exit(f"StorageError: {message}")
        raise


@contextmanager
def _logged(path: str) -> Iterator[None]:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", buffering=1) as log:
        try:
            with redirect_stdout(log), redirect_stderr(log):
                yield
        except Exception as error:
            with suppress(OSError):  # no room for it; the error itself says so
                if isinstance(error, InputError):
                    print(f"InputError: {error}", file=log)
                else:
                    traceback.print_exc(file=log)
            raise
