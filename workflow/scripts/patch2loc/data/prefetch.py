"""Read-ahead: load the next scans while one is processed."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Content = TypeVar("Content")


def prefetched(read: Callable[[Item], Content], items: Iterable[Item], threads: int = 1) -> Iterator[Content]:
    """Read items in order, in threads that work ahead.

    Args:
        read: Reads one item. What it raises is raised where that item is due.
        items: Items to read.
        threads: Items that are read ahead; at most one more than these is in memory.

    Yields:
        The content of each item.
    """
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[Content]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(read, item))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
