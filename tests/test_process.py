"""How the process of a command ends on a signal, prints names, and tells that memory ran out."""

import io
import os
import signal
import sys

import pytest

from patch2loc.process import (
    Stopped,
    for_terminal,
    is_for_lack_of_memory,
    memory_message,
    prepare_output,
    printable,
    stopped_by_signals,
)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_stops_once_and_its_handler_is_put_back(number, status):
    before = signal.getsignal(number)
    cleaned = []
    with pytest.raises(Stopped) as stopped, stopped_by_signals():
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # an impatient person: the work is still cleaned up
            cleaned.append(True)
    assert stopped.value.status == status
    assert str(stopped.value).startswith(f"stopped by {number.name}; ")
    assert cleaned
    assert signal.getsignal(number) == before


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        with stopped_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("encoding", "name", "printed"),
    [
        ("utf-8", b"f\xe9e.nii", b"f\xe9e.nii"),
        ("utf-8", "é.nii".encode(), "é.nii".encode()),
        ("ascii", "é.nii".encode(), rb"\xe9.nii"),
    ],
)
def test_any_name_can_be_printed(encoding, name, printed, monkeypatch):
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding))
    prepare_output()
    print(name.decode("utf-8", "surrogateescape"), end="", flush=True)
    assert buffer.getvalue() == printed


@pytest.mark.parametrize(
    ("name", "in_terminal", "on_page"),
    [
        ("a b.nii", "a b.nii", "a b.nii"),
        ("\x1b]0;title\x07\x9b2J", "�]0;title��2J", "�]0;title��2J"),
        ("scan\u202egnp.nii\u2066", "scan�gnp.nii�", "scan�gnp.nii�"),
        ("two\nlines\r", "two\nlines�", "two�lines�"),
        ("f\udce9e", "f\udce9e", "f�e"),
    ],
)
def test_names_give_no_command_to_a_terminal_or_a_page(name, in_terminal, on_page):
    assert for_terminal(name) == in_terminal
    assert printable(name) == on_page


def test_a_closed_stream_takes_what_is_printed(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    prepare_output()
    assert sys.stderr.write("gone") == 4
    assert not sys.stderr.isatty()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), True),
        (ImportError("No module named 'torch'"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_lack_of_memory_is_told_by_its_errors(error, expected):
    assert is_for_lack_of_memory(error) == expected
    if expected:
        assert "no memory found beyond " in memory_message(error)
