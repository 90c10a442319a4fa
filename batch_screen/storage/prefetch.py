"""Work on one thing after the other, some of them ahead, on all cores.

For work that leaves Python to other threads, as polars and pyarrow do.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

_MOST_AHEAD = 3
"""What is ahead is in memory."""

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def ordered_map(work: Callable[[T], R], things: Iterable[T]) -> Iterator[Iterator[R]]:
    """The work's results, in the order of the things, of which the next ones are begun already.

    What the work raises comes where its turn is; then, or where the block ends early, what has
    not begun is not done, and what has begun is waited for.

    >>> with ordered_map(str, [1, 2, 3]) as done:
    ...     list(done)
    ['1', '2', '3']

    Enter it in a function, not in a generator: one that is left half-way is ended by the garbage
    collector, in whatever thread that runs. Waiting for threads there has locked up a process,
    because a thread that was just starting held the lock which the end of every thread takes.
    """
    count = min(_MOST_AHEAD, (os.cpu_count() or 1) - 1)
    under_way: deque[Future[R]] = deque()
    with ThreadPoolExecutor(count + 1) as pool:
        try:
            yield _results(pool, work, things, under_way, count)
        finally:
            for waiting in under_way:
                waiting.cancel()


def _results(
    pool: ThreadPoolExecutor,
    work: Callable[[T], R],
    things: Iterable[T],
    under_way: deque[Future[R]],
    count: int,
) -> Iterator[R]:
    for thing in things:
        under_way.append(pool.submit(work, thing))
        if len(under_way) > count:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()
