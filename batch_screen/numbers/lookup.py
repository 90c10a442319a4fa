"""Verdicts about numbers by their value: one search in a sorted column for all rows."""

from __future__ import annotations

import threading
from collections.abc import Callable

import polars as pl

from batch_screen.numbers.ranges import Range
from batch_screen.numbers.territories import MOST_DIGITS

_LENGTHS = MOST_DIGITS + 1
_VALUES = 10**MOST_DIGITS


class Lookup:
    """A table for each of some groups of numbers, made when the first of the group is asked about.

    ``ranges`` gives the verdicts of a group's numbers of some length.
    """

    def __init__(self, ranges: Callable[[int, int], list[Range]]) -> None:
        self._ranges = ranges
        self._tables: dict[int, tuple[list[int], list[int]]] = {}
        self._joined = (pl.Series([0], dtype=pl.UInt64), pl.Series([0], dtype=pl.Int32))
        self._lock = threading.Lock()

    def verdicts(self, groups: pl.Series, values: pl.Series, counts: pl.Series) -> pl.Series:
        """The verdict on each number of up to ``MOST_DIGITS`` digits, by its group's table.

        ``values`` and ``counts`` are their digits, as in ``digits.py``.
        """
        begins, verdicts = self._with(groups.unique().to_list())
        keys = (groups.cast(pl.UInt64) * _LENGTHS + counts) * _VALUES + values
        return verdicts.gather(begins.search_sorted(keys, side="right") - 1)

    def _with(self, groups: list[int]) -> tuple[pl.Series, pl.Series]:
        """The joined tables, those of the groups among them."""
        with self._lock:
            missing = [group for group in groups if group not in self._tables]
            if missing:
                self._tables.update((group, self._table(group)) for group in missing)
                tables = [table for _, table in sorted(self._tables.items())]
                self._joined = (
                    pl.Series([begin for begins, _ in tables for begin in begins], dtype=pl.UInt64),
                    pl.Series([v for _, verdicts in tables for v in verdicts], dtype=pl.Int32),
                )
            return self._joined

    def _table(self, group: int) -> tuple[list[int], list[int]]:
        begins, verdicts = [], []
        for length in range(_LENGTHS):
            for begin, verdict in self._ranges(group, length):
                begins.append((group * _LENGTHS + length) * _VALUES + begin)
                verdicts.append(verdict)
        return begins, verdicts
