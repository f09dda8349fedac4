"""A process of its own for each way that is timed, which keeps all that it has made ready.

The process takes the library from a folder, so that another checkout's is timed beside this one's.
"""

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from ways import PRACTITIONER, RELEASED, free_memory

if TYPE_CHECKING:
    from patch2loc.engine.choices import Device, Precision

FOLDER = Path(__file__).resolve().parent
LIBRARY = FOLDER.parent / "workflow/scripts"
Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


class Worker:
    """A process that times one way.

    Args:
        way: One of those of `ways`.
        device: Device that it computes on.
        threads: Of torch.
        library: Folder that holds patch2loc.
    """

    def __init__(self, way: str, device: "Device", threads: int, library: Path = LIBRARY) -> None:
        self.way = way
        self.process = ProcessPoolExecutor(
            1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=begin,
            initargs=(way, device, threads, str(library)),
        )

    def __call__(
        self,
        function: Callable[Arguments, Returned],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Returned:
        """Call a function of a module in the process, and wait for what it returns."""
        return self.process.submit(function, *arguments, **named).result()


def begin(way: str, device: "Device", threads: int, library: str) -> None:
    """Make a new process ready; what is published and what a practitioner does knows no deterministic mode."""
    sys.path[:0] = [library, str(FOLDER)]
    import torch

    from patch2loc.engine.device import select_device

    torch.manual_seed(0)
    if way in (RELEASED, PRACTITIONER):
        torch.set_num_threads(threads)
    else:
        select_device(device, threads)


def set_threads(threads: int) -> None:
    """Change the threads of torch."""
    import torch

    torch.set_num_threads(threads)


def library_in_use() -> str:
    """Folder of the package that the process has imported."""
    import patch2loc

    return str(Path(patch2loc.__file__).parents[1])


def product_rate(device: "Device", precision: "Precision", seconds: float) -> float:
    """The machine's matrix product, operations a second."""
    from machine import matrix_product_rate

    rate = matrix_product_rate(device, precision, seconds)
    free_memory(device)
    return rate
