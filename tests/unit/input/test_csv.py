from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.screening import Input
from batch_screen.errors import InputError
from batch_screen.input import csv as records
from batch_screen.input.csv import Shape, frames
from batch_screen.input.limits import Caps
from tests.thoroughness import examples

CAPS = Caps.of(Input())


CELLS = st.text(alphabet="a0+ \"',;\t\r\n|é#\x00\u2028", max_size=6)


def _read(text: str, shape: Shape, size: int = 1 << 20) -> list[tuple[object, ...]]:
    data = text.encode()
    chunks = (data[i : i + size] for i in range(0, len(data), size))
    return [row for frame in frames(chunks, "x.csv", shape) for row in frame.iter_rows()]


def _expected(text: str, delimiter: str, width: int) -> list[tuple[object, ...]]:
    """The slow reference: the csv module on the whole text."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    return [
        (*[(row + [""] * width)[i] or None for i in range(width)], any(row[width:]))
        for row in rows
        if row or width == 1
    ]


@examples(400)
@given(
    st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=8),
    st.fixed_dictionaries(
        {
            "delimiter": st.sampled_from(",;\t|"),
            "lineterminator": st.sampled_from(["\n", "\r\n", "\r"]),
            "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
        }
    ),
    st.integers(1, 4),
    st.integers(1, 40),
)
def test_what_the_csv_module_writes_comes_back(
    rows: list[list[str]], dialect: dict[str, Any], width: int, size: int
) -> None:
    # Before Python 3.13 the writer leaves a line end unquoted that is not its own.
    if any({"\r", "\n"} & set(cell) for row in rows for cell in row):
        dialect = {**dialect, "quoting": csv.QUOTE_ALL}
    out = io.StringIO()
    csv.writer(out, **dialect).writerows(rows)
    expected = [
        (*[(row + [""] * width)[i] or None for i in range(width)], any(row[width:])) for row in rows
    ]
    shape = Shape(dialect["delimiter"], width, tuple(range(width)))
    assert _read(out.getvalue(), shape, size) == expected


@examples(600)
@given(
    st.lists(st.sampled_from(["a", "0", '"', ",", ";", "\n", "\r", "\r\n", '"', "é", " "])).map(
        "".join
    ),
    st.integers(1, 4),
    st.integers(1, 30),
)
def test_any_text_gives_the_rows_of_the_csv_module(text: str, width: int, size: int) -> None:
    shape = Shape(",", width, tuple(range(width)))
    try:
        expected = _expected(text, ",", width)
    except csv.Error:
        # Damaged quotes: an error, or rows that are marked; never something else.
        try:
            assert any(row[-1] for row in _read(text, shape, size))
        except InputError as error:
            assert "quote" in str(error)  # noqa: PT017
        return
    assert _read(text, shape, size) == expected


@examples(300)
@given(
    st.lists(st.sampled_from(["a", "0", '5"', ",", "\n", "\r", "\r\n", "é", " "])).map("".join),
    st.integers(1, 4),
)
def test_both_paths_give_the_same_rows(text: str, width: int) -> None:
    shape = Shape(",", width, tuple(range(width)))
    fast = records._plain(text.encode(), shape)
    slow = records._from_rows(records.parse(text.encode().splitlines(keepends=True), ",")[0], shape)
    if fast is not None and not records._opens_quote(text.encode(), ","):
        assert fast.rows() == slow.rows()
        assert fast.schema == slow.schema
        assert set(fast.dtypes[:-1]) == {pl.String}


def test_stray_quotes_inside_cells_are_kept() -> None:
    text = '5" pipe,0171\nthe "big" one,0172\n'
    assert _read(text, Shape(",", 2, (0, 1))) == [
        ('5" pipe', "0171", False),
        ('the "big" one', "0172", False),
    ]


def test_text_after_a_closing_quote_marks_the_row_only() -> None:
    text = '"a"b,0171\nc,0172\n'
    assert _read(text, Shape(",", 2, (1,))) == [("0171", True), ("0172", False)]


@pytest.mark.parametrize("text", ['"a,0171\nb,0172\n', 'a,0171\n"b\n', '"a\n"b,0171\n', 'x,"'])
@pytest.mark.parametrize("size", [1, 1000])
def test_a_quote_that_swallows_rows_is_an_error(text: str, size: int) -> None:
    with pytest.raises(InputError, match=r"x\.csv: a quote opened in or after data row \d"):
        _read(text, Shape(",", 2, (0, 1)), size)


def test_blank_lines_are_rows_in_a_single_column_only() -> None:
    assert _read("a\n\n\nb\n\n", Shape(",", 1, (0,))) == [
        ("a", False),
        (None, False),
        (None, False),
        ("b", False),
        (None, False),
    ]
    assert _read("\r\na,b\r\n\r\n\r\nc,d\r\n\r\n", Shape(",", 2, (0,))) == [
        ("a", False),
        ("c", False),
    ]


def test_an_endless_record_is_an_error_and_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LONGEST_RECORD_BYTES", 1 << 20)
    taken = 0

    def endless(start: bytes) -> Iterator[bytes]:
        nonlocal taken
        yield start
        while True:
            taken += 1
            yield b"0" * (1 << 18)

    for start in (b"a,b\n", b'a,b\n"'):
        with pytest.raises(InputError, match="data row 2 is longer than 1 MiB"):
            list(frames(endless(start), "x.csv", Shape(",", 2, (0,))))
    assert taken <= 10


def test_long_cells_are_read_on_both_paths() -> None:
    long = "x" * 300_000
    for text in (f"{long},0171\n", f'"{long}",0171\n'):
        assert _read(text, Shape(",", 2, (0, 1)), 70_000) == [(long, "0171", False)]


def test_short_rows_under_a_wide_header_take_no_room() -> None:
    """A cell for each of the columns they lack would take many gigabytes."""
    shape = Shape(",", 100_000, (0, 99_999))
    rows = _read("1\n" * 30_000 + '"a"b\n' * 30_000 + "2" + "," * 100_000 + "x\n", shape)
    assert rows[0] == ("1", None, False)
    assert rows[30_000] == ("ab", None, True)
    assert rows[60_000] == ("2", None, True)
