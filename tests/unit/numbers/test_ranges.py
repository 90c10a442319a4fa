from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.numbers.ranges import Patterns, ranges

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
    turns = patterns.turns(patterns.read(expression), length)
    assert turns == sorted(set(turns))
    for value in range(10**length):
        written = str(value).zfill(length) if length else ""
        matches = re.fullmatch(expression, written) is not None
        assert (sum(turn <= value for turn in turns) % 2 == 1) is matches, written


@given(expressions, st.integers(0, 4))
def test_a_beginning_matches_whatever_follows(expression: str, length: int) -> None:
    patterns = Patterns()
    turns = patterns.turns(patterns.beginning(patterns.read(expression)), length)
    for value in range(10**length):
        written = str(value).zfill(length) if length else ""
        matches = re.match(expression, written) is not None
        assert (sum(turn <= value for turn in turns) % 2 == 1) is matches, written


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
def test_ranges_say_which_patterns_match(turns: list[list[int]]) -> None:
    found = ranges(turns, lambda bits: bits)
    for value in range(41):
        bits = next(bits for begin, bits in reversed(found) if begin <= value)
        for bit, values in enumerate(turns):
            assert bool(bits & 1 << bit) is (sum(turn <= value for turn in values) % 2 == 1)
    assert all(before[1] != after[1] for before, after in pairwise(found))
