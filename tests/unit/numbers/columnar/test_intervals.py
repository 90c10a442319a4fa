from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.numbers.columnar.intervals import (
    MOST_DIGITS,
    IntervalTable,
    Patterns,
    Range,
    ranges,
)


def counting(asked: list[int]) -> Callable[[int, int], list[Range]]:
    """In group g numbers from g × 10 on are 1, of whatever length; the others are 0."""

    def ranges(group: int, length: int) -> list[Range]:
        if length == 0:
            asked.append(group)
        return [(0, 0), (group * 10, 1)] if length > 1 else [(0, 0)]

    return ranges


def verdicts(lookup: IntervalTable, pairs: list[tuple[int, str]]) -> list[int]:
    groups = pl.Series([group for group, _ in pairs], dtype=pl.UInt16)
    values = pl.Series([int(number or 0) for _, number in pairs], dtype=pl.UInt64)
    counts = pl.Series([len(number) for _, number in pairs], dtype=pl.UInt8)
    return lookup.verdicts(groups, values, counts).to_list()


def test_a_number_is_looked_up_in_its_group_and_among_those_of_its_length() -> None:
    lookup = IntervalTable(counting([]))
    pairs = [(2, "20"), (2, "19"), (3, "20"), (3, "030"), (2, "0"), (2, ""), (2, "9" * MOST_DIGITS)]
    assert verdicts(lookup, pairs) == [1, 0, 0, 1, 0, 0, 1]


def test_the_table_of_a_group_is_made_once_and_others_join_it() -> None:
    asked: list[int] = []
    lookup = IntervalTable(counting(asked))
    assert verdicts(lookup, [(5, "50")] * 2) == [1, 1]
    assert verdicts(lookup, [(1, "10"), (5, "49"), (240, "2400")]) == [1, 0, 1]
    assert sorted(asked) == [1, 5, 240]


def test_nothing_is_looked_up() -> None:
    assert verdicts(IntervalTable(counting([])), []) == []


digit_sets = st.sets(st.integers(0, 9), min_size=1).map(
    lambda digits: "[" + "".join(map(str, sorted(digits))) + "]"
)
atoms = st.one_of(st.integers(0, 9).map(str), digit_sets, st.just(r"\d"))
counts = st.sampled_from(["", "", "", "?", "{2}", "{1,3}", "{0,2}"])
expressions = st.recursive(
    st.tuples(atoms, counts).map("".join),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda some: f"(?:{'|'.join(some)})"),
        inner.map(lambda one: f"({one})?"),
    ),
    max_leaves=8,
)


@given(expressions, st.integers(0, 4))
def test_turns_are_where_a_regular_expression_begins_or_ceases_to_match(
    expression: str, length: int
) -> None:
    patterns = Patterns()
    boundaries = patterns.boundaries(patterns.read(expression), length)
    assert boundaries == sorted(set(boundaries))
    for value in range(10**length):
        written = str(value).zfill(length) if length else ""
        matches = re.fullmatch(expression, written) is not None
        assert (sum(boundary <= value for boundary in boundaries) % 2 == 1) is matches, written


@given(expressions, st.integers(0, 4))
def test_a_beginning_matches_whatever_follows(expression: str, length: int) -> None:
    patterns = Patterns()
    boundaries = patterns.boundaries(patterns.beginning(patterns.read(expression)), length)
    for value in range(10**length):
        written = str(value).zfill(length) if length else ""
        matches = re.match(expression, written) is not None
        assert (sum(boundary <= value for boundary in boundaries) % 2 == 1) is matches, written


@pytest.mark.parametrize(
    "expression",
    ["a", r"\d+", "1*", "^1", "1$", "(?=1)1", "[^1]", ".", "(1", "1)", "?", "1|?", r"\1"],
)
def test_what_is_not_understood_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|bracket|follows"):
        Patterns().read(expression)


def test_equal_patterns_are_one() -> None:
    patterns = Patterns()
    assert patterns.read("1|2") == patterns.read("2|1|1")
    assert patterns.read("1(?:2|3)") == patterns.read("1(?:3|2)")


@given(st.lists(st.lists(st.integers(0, 40), unique=True).map(sorted), max_size=4))
def test_ranges_say_which_patterns_match(boundaries: list[list[int]]) -> None:
    found = ranges(boundaries, lambda bits: bits)
    for value in range(41):
        bits = next(bits for begin, bits in reversed(found) if begin <= value)
        for bit, values in enumerate(boundaries):
            assert bool(bits & 1 << bit) is (sum(boundary <= value for boundary in values) % 2 == 1)
    assert all(before[1] != after[1] for before, after in pairwise(found))
