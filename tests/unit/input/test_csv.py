from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.screening import Input
from batch_screen.errors import ConfigurationError, InputError
from batch_screen.input import csv as records
from batch_screen.input.csv import Shape, checked_encoding, frames, guessed_encoding, unpacked, utf8
from batch_screen.input.layout import Packing
from batch_screen.input.limits import Caps
from tests.thoroughness import examples

CAPS = Caps.of(Input())


def _in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def _utf8(data: bytes, size: int, encoding: str = "") -> bytes:
    return b"".join(utf8(iter(_in_pieces(data, size)), "x.csv", encoding))


@given(st.text(), st.integers(1, 9), st.sampled_from(["", "utf-8", "utf-16-le", "utf-16-be"]))
def test_every_text_comes_back_whatever_the_chunks(text: str, size: int, encoding: str) -> None:
    text = text.lstrip("\ufeff")
    data = ("\ufeff" + text).encode(encoding or "utf-8")
    assert _utf8(data, size, encoding).decode() == text


@given(st.binary(), st.integers(1, 9))
def test_no_chunk_ends_inside_a_character(data: bytes, size: int) -> None:
    try:
        chunks = list(utf8(iter(_in_pieces(data, size)), "x.csv", ""))
    except InputError:
        chunks = []
    for chunk in chunks:
        assert chunk
        chunk.decode()


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_late_byte_that_is_not_utf8_means_windows_1252(size: int) -> None:
    data = b"phone\n" * 100 + "Müller €".encode("cp1252") + b"\x81"
    assert _utf8(data, size).decode() == "phone\n" * 100 + "Müller €\x81"


@given(
    st.lists(st.sampled_from([b"a", b";1\n", "ë".encode(), b"\xeb", "€".encode(), b"\x80"])),
    st.integers(1, 9),
)
def test_the_guess_that_is_told_is_the_one_that_is_read(pieces: list[bytes], size: int) -> None:
    data = b"".join(pieces)
    try:
        read = _utf8(data, size)
    except InputError:  # it began as UTF-8
        assert guessed_encoding(iter(_in_pieces(data, size))) == "utf-8"
        return
    told = guessed_encoding(iter(_in_pieces(data, size)))
    assert (told == "ascii") == data.isascii()
    assert (told == "windows-1252") == (read != data)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_mixed_encodings_are_refused_with_the_place(size: int) -> None:
    data = "Zoë;".encode() + "Zoë".encode("latin-1") + b";0171"
    with pytest.raises(InputError, match="at byte 7 is not UTF-8"):
        _utf8(data, size)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_wrong_encoding_setting_is_refused_with_the_place(size: int) -> None:
    with pytest.raises(InputError, match=r"at byte 2 is not utf-8.*--encoding"):
        _utf8(b"ab\xffc", size, "utf-8")
    with pytest.raises(InputError, match="not utf-16-le"):
        _utf8(b"abc", size, "utf-16-le")


def test_only_encodings_of_text_are_taken() -> None:
    assert checked_encoding("Latin-1") == "iso8859-1"
    for encoding in ("nonsense", "rot13", "base64", "\x00"):
        with pytest.raises(ConfigurationError, match=r"input\.encoding"):
            checked_encoding(encoding)


def _packed(data: bytes, packing: Packing) -> bytes:
    if packing is Packing.GZIP:
        return gzip.compress(data)
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTD])
def test_packed_files_are_unpacked_member_by_member(tmp_path: Path, packing: Packing) -> None:
    path = tmp_path / "x"
    path.write_bytes(_packed(b"phone\n" * 5000, packing) + _packed(b"more\n", packing))
    chunks = list(unpacked(path, "x", packing, CAPS, 1000))
    assert b"".join(chunks) == b"phone\n" * 5000 + b"more\n"
    assert all(chunks)


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTD])
def test_a_cut_stream_is_an_error_wherever_it_is_cut(tmp_path: Path, packing: Packing) -> None:
    path = tmp_path / "x"
    whole = _packed(bytes(range(256)) * 20, packing)
    for length in range(4, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="damaged or ends too early"):
            list(unpacked(path, "x", packing, CAPS))


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTD])
def test_a_damaged_stream_is_an_error(tmp_path: Path, packing: Packing) -> None:
    path = tmp_path / "x"
    whole = bytearray(_packed(bytes(range(256)) * 20, packing))
    whole[4:12] = b"\xff" * 8
    whole[-6] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(InputError, match="damaged"):
        list(unpacked(path, "x", packing, CAPS))


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
