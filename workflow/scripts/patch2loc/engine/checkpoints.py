"""Checkpoints of trainings, written beside the computation."""

import io
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from patch2loc.files import replacing


class CheckpointWriter:
    """Writes checkpoints in a thread, one at a time; as a context it is left when the last one is complete.

    An error of writing is raised by the call after it, at the latest on leaving the context.

    Args:
        path: File, each time replaced as a whole; None writes nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.executor = ThreadPoolExecutor(1)
        self.writing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.executor.shutdown()
        if error is None:
            self.finish()

    def write(self, saved: dict[str, Any]) -> None:
        """Write what `TrainingState.saved` returned; waits for the checkpoint before, if it is not complete."""
        self.finish()
        if self.path is not None:
            self.writing = self.executor.submit(_write, self.path, saved)

    def finish(self) -> None:
        """Wait for the checkpoint that is being written."""
        if self.writing is not None:
            self.writing.result()

    def check(self) -> None:
        """Raise the error of a checkpoint that could not be written."""
        if self.writing is not None and self.writing.done():
            self.writing.result()


def _write(path: Path, saved: dict[str, Any]) -> None:
    content = io.BytesIO()
    torch.save(saved, content)  # to a file on a full disk it would fail without saying why
    with replacing(path) as partial:
        partial.write_bytes(content.getbuffer())
