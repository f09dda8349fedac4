"""The process of a command: how a signal ends it, how it prints names of files, what it says of too little memory, and
where the processes that it starts find modules."""

from __future__ import annotations

import codecs
import io
import math
import os
import re
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GB = 2**30
MEMORY_REMEDY = "raise the limit, close other programs, or take a machine with more memory"
# In the errors by which libraries say that memory ran out: torch, SimpleITK, the system that loads them, and, of a GPU,
# cuBLAS and cuDNN.
MEMORY_WORDS = (
    "not enough memory",
    "allocate memory",
    "bad_alloc",
    "out of memory",
    "failed to map segment",
    "alloc_failed",
    "allocation_failed",
)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Control characters, halves of characters, and marks that turn text around; and those of them that a terminal may not
# get: lines, tabs, and bytes of names that are not UTF-8 stay.
UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
NOT_FOR_TERMINALS = re.compile(rf"(?![\n\t\udc80-\udcff]){UNPRINTABLE.pattern}")
NAMES = "patch2loc-names"  # how to write names that an encoding does not have


def import_first_from(folder: str) -> None:
    """Let the Python processes that this one starts look for modules in a folder before anywhere else."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, before]))


class Stopped(KeyboardInterrupt):
    """The process is asked by a signal to end.

    Attributes:
        signal_name: Of the signal.
        status: To exit with, as shells give it: 128 and the number of the signal.
        consequence: What became of the work, for the message.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal_name = signal.Signals(number).name
        self.status = 128 + number
        self.consequence = "run the same command again to go on"

    def __str__(self) -> str:
        return f"stopped by {self.signal_name}; {self.consequence}"


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise Stopped on SIGINT, SIGTERM and SIGHUP, unless the process was told to ignore them; later ones are ignored.

    In a thread other than the main one nothing is changed.
    """
    former = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                former[number] = signal.getsignal(number)

    def stop(number: int, frame: FrameType | None) -> None:
        for other in former:
            signal.signal(other, lambda *_: None)  # while the work is cleaned up
        raise Stopped(number)

    for number in former:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def printable(text: str) -> str:
    """Text without control characters and marks that turn it around, which the name of a file may have."""
    return UNPRINTABLE.sub("�", text)


def for_terminal(text: str) -> str:
    """Text that no terminal takes for a command; lines, tabs and names that are not UTF-8 stay as they are."""
    return NOT_FOR_TERMINALS.sub("�", text)


def prepare_output() -> None:
    """Let names of files be printed in any locale: by their bytes, or with escapes; and a closed stream take all."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this process, as by 2>&-
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115

    def written(error: UnicodeError) -> tuple[str | bytes, int]:
        try:
            return codecs.lookup_error("surrogateescape")(error)
        except UnicodeError:
            return codecs.backslashreplace_errors(error)

    codecs.register_error(NAMES, written)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=NAMES)


def is_for_lack_of_memory(error: BaseException) -> bool:
    """True for a MemoryError, and for the errors by which libraries say the same."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in MEMORY_WORDS)


def address_limit() -> float:
    """Limit of the addresses of this process (ulimit -v), bytes; infinite without one."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return math.inf if limit == resource.RLIM_INFINITY else limit


def memory_message(error: BaseException) -> str:
    """Say how much memory was taken when an error came for lack of it, under which limit, and what to do."""
    reason = " ".join(str(error).split()) or type(error).__name__
    limit = address_limit()
    found = "" if limit == math.inf else f", under a limit of {limit / GB:.1f} GB of addresses (ulimit -v)"
    return f"no memory found beyond {_peak() / GB:.1f} GB{found}, more expected ({reason}); {MEMORY_REMEDY}"


def _peak() -> float:
    """The most memory that this process had at once, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
