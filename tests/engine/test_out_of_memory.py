import weakref

import pytest
import torch

from patch2loc.engine.memory import if_memory_allows, is_out_of_memory

SHORT = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


@pytest.mark.parametrize(
    "error",
    [
        SHORT,
        torch.OutOfMemoryError("of any words"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
    ],
    ids=str,
)
def test_too_little_memory_is_told_by_the_errors_of_torch_and_its_libraries(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        # Main memory, which a smaller part on a GPU does not spare.
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        MemoryError(),
        ValueError("out of memory"),
    ],
    ids=repr,
)
def test_other_errors_are_none_of_a_gpu_without_memory(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)):
        if_memory_allows(lambda: raised(error), last_attempt=False)


def raised(error):
    raise error


def test_what_fits_is_computed():
    assert if_memory_allows(lambda: 7, last_attempt=True) == 7


def test_memory_is_given_back_after_all_that_was_computed_is_gone(monkeypatch):
    computed, alive = [], []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(computed[0]() is not None))

    def compute():
        activations = torch.zeros(3, requires_grad=True) * 2
        computed.append(weakref.ref(activations))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    assert if_memory_allows(compute, last_attempt=False) is None
    assert alive == [False]


def test_the_last_attempt_raises_what_it_met():
    with pytest.raises(torch.OutOfMemoryError) as caught:
        if_memory_allows(lambda: raised(SHORT), last_attempt=True)
    assert caught.value is SHORT
