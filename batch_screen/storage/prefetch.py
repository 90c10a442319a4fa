"""Ordered parallel map with bounded prefetch.

For work that releases Python's lock, as polars and pyarrow do.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

_MOST_PREFETCHED = 3  # their results are all in memory

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def ordered_map(work: Callable[[T], R], items: Iterable[T]) -> Iterator[Iterator[R]]:
    """Maps in threads, a bounded number of items ahead; results keep the items' order.

    An error of the work is raised in its turn. When the block ends, items that have not begun are
    dropped and those that have are waited for.

    >>> with ordered_map(str, [1, 2, 3]) as results:
    ...     list(results)
    ['1', '2', '3']

    Enter it in a function, not in a generator: one that is abandoned is ended by the garbage
    collector, in whatever thread that runs. Waiting for threads there has locked up a process,
    because a thread that was just starting held the lock which the end of every thread takes.
    """
    prefetched = min(_MOST_PREFETCHED, (os.cpu_count() or 1) - 1)
    pending: deque[Future[R]] = deque()

    def results() -> Iterator[R]:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > prefetched:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    with ThreadPoolExecutor(prefetched + 1) as pool:
        try:
            yield results()
        finally:
            for future in pending:
                future.cancel()
