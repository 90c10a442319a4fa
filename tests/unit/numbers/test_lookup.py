from __future__ import annotations

from collections.abc import Callable

import polars as pl

from batch_screen.numbers.lookup import Lookup
from batch_screen.numbers.ranges import Range
from batch_screen.numbers.territories import MOST_DIGITS


def counting(asked: list[int]) -> Callable[[int, int], list[Range]]:
    """In group g numbers from g × 10 on are 1, of whatever length; the others are 0."""

    def ranges(group: int, length: int) -> list[Range]:
        if length == 0:
            asked.append(group)
        return [(0, 0), (group * 10, 1)] if length > 1 else [(0, 0)]

    return ranges


def verdicts(lookup: Lookup, pairs: list[tuple[int, str]]) -> list[int]:
    groups = pl.Series([group for group, _ in pairs], dtype=pl.UInt16)
    values = pl.Series([int(number or 0) for _, number in pairs], dtype=pl.UInt64)
    counts = pl.Series([len(number) for _, number in pairs], dtype=pl.UInt8)
    return lookup.verdicts(groups, values, counts).to_list()


def test_a_number_is_looked_up_in_its_group_and_among_those_of_its_length() -> None:
    lookup = Lookup(counting([]))
    pairs = [(2, "20"), (2, "19"), (3, "20"), (3, "030"), (2, "0"), (2, ""), (2, "9" * MOST_DIGITS)]
    assert verdicts(lookup, pairs) == [1, 0, 0, 1, 0, 0, 1]


def test_the_table_of_a_group_is_made_once_and_others_join_it() -> None:
    asked: list[int] = []
    lookup = Lookup(counting(asked))
    assert verdicts(lookup, [(5, "50")] * 2) == [1, 1]
    assert verdicts(lookup, [(1, "10"), (5, "49"), (240, "2400")]) == [1, 0, 1]
    assert sorted(asked) == [1, 5, 240]


def test_nothing_is_looked_up() -> None:
    assert verdicts(Lookup(counting([])), []) == []
