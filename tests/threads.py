"""Calls made at the same time, each in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def at_once(call: Callable[[S], T], given: Iterable[S], threads: int = 3) -> list[T]:
    """What the call returns for each of them; if one fails, its error is raised in the end."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(call, given))
