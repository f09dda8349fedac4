"""What a rule prints and the errors it meets go to its log."""

import os
import site
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

# Snakemake has appended its own search path, for its classes, which are loaded by now.  Under `--use-conda` that is
# another environment: what this one lacks is not to be taken from there, of whatever version, built for another Python.
if "snakemake" in sys.modules:
    of_snakemake = str(Path(str(sys.modules["snakemake"].__file__)).parent.parent)
    of_this_python = [*site.getsitepackages(), site.getusersitepackages(), os.environ.get("PYTHONPATH", "")]
    if of_snakemake not in os.pathsep.join(of_this_python).split(os.pathsep) and of_snakemake in sys.path:
        del sys.path[sys.path.index(of_snakemake) :]

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
    except ImportError as error:
        error.add_note(f"The environment of this rule is {sys.prefix}")
        raise
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
