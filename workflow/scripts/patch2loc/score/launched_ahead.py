"""A device that is given the next work before the host waits for the last."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Result = TypeVar("Result")


def launched_ahead(launches: Iterable[Callable[[], Callable[[], Result]]], ahead: int) -> Iterator[Result]:
    """Results in order, each waited for when the next ones have been launched.

    Args:
        launches: Functions that begin to compute a result, and return one that waits for it.
        ahead: Launches between that of a result and waiting for it.  0 where a launch waits itself.

    Yields:
        The results.  An error of a launch, or of what makes it, is raised after the results before it.
    """
    waiting: deque[Callable[[], Result]] = deque()
    error = None
    rest = iter(launches)
    while error is None:
        try:
            waiting.append(next(rest)())
        except StopIteration:
            break
        except Exception as raised:
            error = raised
        if len(waiting) > ahead:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()
    if error is not None:
        raise error
