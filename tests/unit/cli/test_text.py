from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.cli.text import (
    TEXT_COLUMN,
    WIDTH,
    aligned,
    apart,
    below,
    count_line,
    fitting,
    labelled,
)

WORDS = st.lists(st.text("abcxyz", min_size=1, max_size=30), max_size=20)


@given(WORDS)
def test_texts_stand_below_each_other_within_the_width(words: list[str]) -> None:
    lines = [*labelled("rows", " ".join(words)), *below(" ".join(words))]
    assert all(len(line) <= WIDTH for line in lines)
    assert all(len(line) - len(line[TEXT_COLUMN:].lstrip()) == TEXT_COLUMN for line in lines[1:])


def test_counts_stand_before_the_texts() -> None:
    assert labelled("rows", "some")[0] == "  rows ......... some"
    assert count_line(1_234, "some") == "          1,234  some"
    assert below("some") == ["                 some"]


@given(WORDS, st.integers(1, 60))
def test_what_fits_is_no_longer_than_its_room(words: list[str], room: int) -> None:
    assert len(fitting(words, room)) <= room


@pytest.mark.parametrize(
    ("room", "line"), [(2, "a…"), (3, "abc"), (7, "abc"), (8, "abc, def"), (99, "abc, def, g")]
)
def test_as_many_as_fit(room: int, line: str) -> None:
    assert fitting(["abc", "def", "g"], room) == line


def test_cells_are_aligned_and_rows_may_be_short() -> None:
    rows = [("a", "bb", "c"), ("aaa", "b")]
    assert [*aligned(rows)] == [" " * TEXT_COLUMN + "a    bb  c", " " * TEXT_COLUMN + "aaa  b"]
    assert [*aligned([])] == []


def test_lines_apart_follow_an_empty_one() -> None:
    assert [*apart(["a", "b"])] == ["", "a", "b"]
    assert [*apart([])] == []
