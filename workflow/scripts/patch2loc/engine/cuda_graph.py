"""Work on a GPU that is recorded once and then launched as a whole, instead of kernel by kernel."""

from collections.abc import Callable

import torch

from patch2loc.engine.memory import is_out_of_memory

WARM_UPS = 2  # before the capture, in which libraries are set up and their kernels planned


class CudaGraph:
    """Work on a GPU that is recorded without being done, and done by `replay` in the same memory."""

    def __init__(self) -> None:
        self.graph = torch.cuda.CUDAGraph()
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def warm_up(self, work: Callable[[], object]) -> None:
        """Do the work as it is, on a stream beside the default one, which cannot be captured."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            work()
        torch.cuda.current_stream().wait_stream(self.stream)

    def capture(self, work: Callable[[], object]) -> None:
        """Record the work."""
        with torch.cuda.graph(self.graph):
            work()

    def replay(self) -> None:
        """Do the work that was recorded."""
        self.graph.replay()


def recorded(work: Callable[[], object]) -> Callable[[], object]:
    """Record work that always reads and writes the same memory.

    Args:
        work: Launches kernels on the current GPU.

    Returns:
        A function that does the work by one launch; or `work`, if it cannot be recorded, which only takes longer.
    """
    graph = CudaGraph()
    for _ in range(WARM_UPS):
        graph.warm_up(work)
    try:
        graph.capture(work)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        return work
    return graph.replay
