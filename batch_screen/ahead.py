"""Work on one thing after the other, some of them ahead, on all cores.

For work that leaves Python to other threads, as polars and pyarrow do.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_MOST_AHEAD = 3
"""What is ahead is in memory."""

T = TypeVar("T")
R = TypeVar("R")


def ahead(work: Callable[[T], R], things: Iterable[T]) -> Iterator[R]:
    """What comes of each of the things, in their order.

    One is ahead for each core but the first. What the work raises is raised where its turn is;
    then, or if the iterator is closed, what has not begun is not done.

    >>> list(ahead(str, [1, 2, 3]))
    ['1', '2', '3']
    """
    count = min(_MOST_AHEAD, (os.cpu_count() or 1) - 1)
    under_way: deque[Future[R]] = deque()
    with ThreadPoolExecutor(count + 1) as pool:
        try:
            for thing in things:
                under_way.append(pool.submit(work, thing))
                if len(under_way) > count:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for waiting in under_way:
                waiting.cancel()
