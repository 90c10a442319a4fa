from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch_screen.config.input import Input
from batch_screen.errors import InputError
from batch_screen.model import ColumnKind
from batch_screen.reading.listed import open_listed
from batch_screen.reading.read import Table

ONE, TWO = "+49 171 3920012", "030 23125123"


def opened(path: Path, content: str | bytes = "", **how: object) -> Table:
    if content:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_listed(path, "opt-out list no", Input.model_validate(how))


def rows(table: Table) -> list[tuple[int, str | None]]:
    return [
        row for batch in table.batches() for row in batch.select("source_row", "raw").iter_rows()
    ]


@pytest.mark.parametrize("first", [ONE, TWO, "'+491713920012", "4.91711E+11", "tel:+493023125123"])
def test_a_first_line_that_holds_a_number_is_a_row(tmp_path: Path, first: str) -> None:
    table = opened(tmp_path / "no.txt", f"{first}\n\n{TWO}\n")
    assert rows(table) == [(1, first), (2, None), (3, TWO)]
    assert rows(opened(tmp_path / "no.txt", first)) == [(1, first)]


@pytest.mark.parametrize("header", ["phone", "Widersprüche", "Nummer (Stand 2026)"])
def test_a_first_line_without_one_is_a_header(tmp_path: Path, header: str) -> None:
    assert rows(opened(tmp_path / "no.txt", f"{header}\n{ONE}\n{TWO}\n")) == [(1, ONE), (2, TWO)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_with_and_without_a_header(tmp_path: Path, delimiter: str) -> None:
    lines = [f"Zoë{delimiter}{ONE}", f"José{delimiter}{TWO}", ""]
    assert rows(opened(tmp_path / "no.csv", "\n".join(lines))) == [(1, ONE), (2, TWO)]
    lines = [f"name{delimiter}phone", *lines]
    assert rows(opened(tmp_path / "no.csv", "\n".join(lines))) == [(1, ONE), (2, TWO)]


def test_what_describes_the_inputs_does_not_describe_the_list(tmp_path: Path) -> None:
    how = {
        "has_header": False,
        "delimiter": "|",
        "encoding": "utf-16",
        "keep_columns": "id",
        "phone_column": "mobile",
        "region_column": "country",
    }
    table = opened(tmp_path / "no.csv", f"id;phone\nZoë;{ONE}\n", **how)
    assert rows(table) == [(1, ONE)]
    assert (table.kept, table.region_column) == ({}, None)


def test_its_columns_may_have_the_names_of_the_inputs(tmp_path: Path) -> None:
    content = f"phone;Mobile;country\n{TWO};{ONE};DE\n"
    table = opened(tmp_path / "no.csv", content, phone_column="mobile", region_column="COUNTRY")
    assert (table.phone_column, table.region_column) == ("Mobile", "country")
    assert rows(table) == [(1, ONE)]


def test_parquet_and_what_is_packed(tmp_path: Path) -> None:
    pq.write_table(pa.table({"phone": [493023125123, None]}), tmp_path / "no.parquet")
    table = opened(tmp_path / "no.parquet")
    assert table.column_kind is ColumnKind.INTEGER
    assert rows(table) == [(1, "493023125123"), (2, None)]
    assert rows(opened(tmp_path / "no.gz", gzip.compress(ONE.encode()))) == [(1, ONE)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"mobile,telephone\n{ONE},{TWO}\n", "keep that one alone, or call it phone"),
        (f"{ONE},{TWO}\n", "keep that one alone, or call it phone"),
        ("\n\n", "blank lines only"),
        ("phone\n", "no rows"),
        (b"PK\x03\x04 and so on", "Excel"),
    ],
)
def test_what_is_no_list_is_named(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(InputError) as caught:
        opened(tmp_path / "no", content)
    assert str(caught.value).startswith("opt-out list no: ")
    assert words in str(caught.value)
    assert "--" not in str(caught.value).replace("--no-header", "")


def test_a_list_that_is_empty_or_missing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "no").touch()
    with pytest.raises(InputError, match="it is empty"):
        opened(tmp_path / "no")
    with pytest.raises(InputError, match="no such file") as caught:
        opened(tmp_path / "nowhere")
    assert caught.value.exit_code == 66


def test_the_inputs_caps_hold_for_it_too(tmp_path: Path) -> None:
    bomb = gzip.compress(f"{ONE}\n".encode() * 4_000_000)
    with pytest.raises(InputError, match="max_unpacking_ratio"):
        rows(opened(tmp_path / "no.gz", bomb, max_unpacking_ratio=2))
