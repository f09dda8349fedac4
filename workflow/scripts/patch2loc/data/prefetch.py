"""Scans read while the one before is computed on."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")


def prefetched(read: Callable[[Item], Read], items: Iterable[Item], threads: int = 1) -> Iterator[Read]:
    """read(item) for each item, in order, by threads that are one item each ahead: at most threads + 1 are in memory.

    What `read` raises is raised where its item is due.
    """
    with ThreadPoolExecutor(threads) as pool:
        waiting = deque()
        try:
            for item in items:
                waiting.append(pool.submit(read, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for later in waiting:
                later.cancel()
