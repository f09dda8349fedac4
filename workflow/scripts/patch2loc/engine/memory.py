"""Too little memory on a GPU: by which errors that is known, and another attempt with less."""

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")
# In errors from outside torch's own allocator, which are no torch.OutOfMemoryError: of CUDA, of cuBLAS, cuDNN and the
# like, and of a convolution for whose workspace no algorithm found room. A library that cannot make its handle, for
# which it needs memory too, calls itself not initialized.
WORDS = (
    "out of memory",
    "alloc_failed",
    "allocation_failed",
    "status_not_initialized",
    "unable to find an engine",
    "unable to find a valid cudnn algorithm",
)


def is_out_of_memory(error: BaseException) -> bool:
    """True for the errors that come where a GPU has too little memory, from torch and from the libraries it calls.

    Some of them have other causes, too: who tries again with less has to raise what the last attempt raises.
    """
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in WORDS)
    )


def if_memory_allows(compute: Callable[[], Result], *, last_attempt: bool) -> Result | None:
    """What `compute` returns, or None if the GPU's memory does not suffice; its memory is then free again.

    Args:
        compute: Takes no arguments and returns anything but None.
        last_attempt: Nothing smaller is left to try: the error is raised instead.

    Raises:
        RuntimeError: Of `compute`: of too little memory on the last attempt, or any other.
    """
    try:
        return compute()
    except RuntimeError as error:
        if last_attempt or not is_out_of_memory(error):
            raise
    # Not before the error is gone, whose traceback keeps all that was computed.
    torch.cuda.empty_cache()
    return None
