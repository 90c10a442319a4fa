from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_screen.config.input import Input
from batch_screen.errors import InputError
from batch_screen.reading.read import Table, open_table

NUMBERS = ["+491713920012", "0171 3920013", "0033 6 39 98 12 34", "(202) 555-0123"]
NAMES = ["Zoë", "Müller; Max", 'the "big" one', ""]


def _open(path: Path, **options: object) -> Table:
    return open_table([path], Input.model_validate(options))


def _all(table: Table, rows: int = 50_000) -> pl.DataFrame:
    return pl.concat(list(table.batches(rows)))


def _zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


def _text(delimiter: str, end: str) -> str:
    quoted = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in NAMES]
    lines = [f"id{delimiter}name{delimiter}phone"]
    lines += [
        f"{i}{delimiter}{name}{delimiter}{number}"
        for i, (name, number) in enumerate(zip(quoted, NUMBERS, strict=True))
    ]
    return end.join([*lines, ""])


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, _zstd])
def test_every_format_gives_the_same_rows(
    tmp_path: Path, delimiter: str, end: str, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "list"
    path.write_bytes(pack(_text(delimiter, end).encode(encoding)))
    table = _open(path, keep_columns="name")
    (batch,) = table.batches()
    assert table.phone_column == "phone"
    assert batch["raw"].to_list() == NUMBERS
    assert batch["in_name"].to_list() == [*NAMES[:3], None]
    assert not batch["ragged"].any()


def test_the_batches_have_fixed_columns_and_types(tmp_path: Path) -> None:
    text, parquet = tmp_path / "a.csv", tmp_path / "b.parquet"
    text.write_text("phone,land,n\n01713920012,DE,1\n0172,,\n")
    pq.write_table(pa.table({"n": [3], "land": ["FR"], "phone": ["+33639981234"]}), parquet)
    options = Input(region_column="land", keep_columns=("n",), phone_column="phone")
    table = open_table([text, parquet], options)
    batch = _all(table)
    assert batch.schema == {
        "row_index": pl.Int64,
        "source_file": pl.String,
        "source_row": pl.Int64,
        "raw": pl.String,
        "raw_region": pl.String,
        "ragged": pl.Boolean,
        "in_n": pl.String,
    }
    assert table.kept == {"in_n": pl.String()}
    assert table.region_column == "land"
    assert batch.rows() == [
        (0, "a.csv", 1, "01713920012", "DE", False, "1"),
        (1, "a.csv", 2, "0172", None, False, None),
        (2, "b.parquet", 1, "+33639981234", "FR", False, "3"),
    ]
    assert (
        batch.schema
        == _all(_open(parquet, region_column="land", keep_columns="n"))
        .cast({"in_n": pl.String})
        .schema
    )


def test_surplus_cells_mark_a_row_and_missing_ones_are_null(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,phone\n1,0171\n1,0172,x\n1,0173,\n1\n1,0174,,,x\n1,0175\n1,0176\n")
    rows = _all(_open(path, phone_column="phone")).select("raw", "ragged").rows()
    assert rows == [
        ("0171", False),
        ("0172", True),
        ("0173", False),
        (None, False),
        ("0174", True),
        ("0175", False),
        ("0176", False),
    ]


@settings(max_examples=60)
@given(st.integers(1, 60), st.integers(1, 13), st.booleans())
def test_chunks_and_batches_of_any_size_give_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, chunk_bytes: int, rows: int, is_packed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / f"sizes-{is_packed}.csv"
    text = _text(";", "\r\n") + "9;Zoë;0171\r\n" * 5
    path.write_bytes(gzip.compress(text.encode()) if is_packed else text.encode())
    whole = _all(_open(path, keep_columns="all"))
    table = open_table([path], Input(keep_columns=("all",)), chunk_bytes=chunk_bytes)
    assert _all(table, rows).equals(whole)
    heights = [batch.height for batch in table.batches(rows)]
    assert all(height == rows for height in heights[:-1])


def test_rows_are_counted_over_all_files_and_in_each(tmp_path: Path) -> None:
    paths = []
    for folder in ("b", "a"):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "x.csv")
        paths[-1].write_text("phone\n01713920012\n01713920013\n")
    batch = _all(open_table(paths, Input()), 3)
    assert batch["row_index"].to_list() == [0, 1, 2, 3]
    assert batch["source_row"].to_list() == [1, 2, 1, 2]
    assert batch["source_file"].to_list() == ["b/x.csv", "b/x.csv", "a/x.csv", "a/x.csv"]
    batch = _all(open_table(paths, Input(), ["stdin", "two"]))
    assert batch["source_file"].unique(maintain_order=True).to_list() == ["stdin", "two"]


def test_a_late_change_of_encoding_keeps_every_row(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"name,phone\n" + b"Bob,01713920012\n" * 90_000 + b"Zo\xeb,01713920013\n")
    batch = _all(open_table([path], Input(keep_columns=("name",)), chunk_bytes=100_000))
    assert batch.height == 90_001
    assert batch["in_name"][-1] == "Zoë"
    assert batch["raw"][-1] == "01713920013"


def test_nul_bytes_and_odd_line_breaks_stay_in_their_cells(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    odd = "0171\x00392\x0b00\u202812"
    path.write_text("name,phone\n" + "Bob,01713920012\n" * 50 + f"x,{odd}\n", newline="")
    assert _all(_open(path))["raw"][-1] == odd


def test_files_of_different_kinds_are_not_mixed(tmp_path: Path) -> None:
    text, parquet = tmp_path / "a.csv", tmp_path / "b.parquet"
    text.write_text("phone\n01713920012\n")
    pq.write_table(pa.table({"phone": [491713920012]}), parquet)
    with pytest.raises(InputError, match=r"b\.parquet: its phone column is integer, but text in a"):
        open_table([text, parquet], Input())


def test_a_file_that_breaks_later_is_an_error_after_its_good_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    lines = b"".join(b"%d,+49171392%04d\n" % (i * 7919 % 10007, i % 10_000) for i in range(400_000))
    whole = gzip.compress(b"id,phone\n" + lines, 1)
    path.write_bytes(whole[:-2000])
    table = _open(path)
    with pytest.raises(InputError, match=r"^x\.csv\.gz: it is damaged or ends too early"):
        list(table.batches())
    path.unlink()
    with pytest.raises(InputError, match="no such file") as caught:
        list(table.batches())
    assert caught.value.exit_code == 66


def test_nothing_to_open_is_said() -> None:
    with pytest.raises(InputError, match="no input"):
        open_table([], Input())
    with pytest.raises(InputError, match="no such file"):
        open_table([Path("/nowhere/x.csv")], Input())


def test_long_cells_make_smaller_batches(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("phone,note\n" + f"0171,{'x' * 1_000_000}\n" * 150)
    batches = list(_open(path, keep_columns="note", phone_column="phone").batches())
    assert len(batches) > 1
    assert all(batch.estimated_size() < 100 << 20 for batch in batches)
    assert pl.concat(batches)["row_index"].to_list() == list(range(150))


@pytest.mark.parametrize(
    ("content", "options", "encoding"),
    [
        (b"phone\n+491713920012\n", {}, "ascii"),
        ("Name,phone\nZoë,+491713920012\n".encode(), {}, "utf-8"),
        ("Name,phone\nZoë,+491713920012\n".encode("cp1252"), {}, "windows-1252"),
        ("Name,phone\nZoë,+491713920012\n".encode("utf-16"), {}, "utf-16-le"),
        ("Name,phone\nZoë,+491713920012\n".encode("cp850"), {"encoding": "cp850"}, "cp850"),
    ],
)
def test_the_encoding_that_a_file_is_read_in(
    tmp_path: Path, content: bytes, options: dict[str, str], encoding: str
) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    table = _open(tmp_path / "x.csv", **options)
    assert [table.encoding_of(layout) for layout, _ in table.files] == [encoding]
