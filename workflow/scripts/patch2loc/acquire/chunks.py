"""Bytes that come in pieces, as a file."""

import io
from collections.abc import Generator
from typing import Any

BUFFER = 1 << 20  # bytes


def reader(chunks: Generator[bytes, None, None]) -> io.BufferedReader:
    """A file to read from beginning to end, whose content a generator gives."""
    return io.BufferedReader(_Chunks(chunks), BUFFER)


class _Chunks(io.RawIOBase):
    def __init__(self, chunks: Generator[bytes, None, None]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # a Buffer, which has a type from Python 3.12 on
        while not self._left:
            try:
                self._left = memoryview(next(self._chunks))
            except StopIteration:
                return 0
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        self._chunks.close()
        super().close()
