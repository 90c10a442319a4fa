from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch_screen.config.screening import Input
from batch_screen.errors import InputError
from batch_screen.input.limits import Caps, ParquetList
from batch_screen.input.parquet import describe
from batch_screen.input.table import Table, open_table

PHONES = ["+491713920012", None, "0171 3920013"]


def _open(folder: Path, columns: dict[str, Any], **settings: object) -> Table:
    path = folder / "x.parquet"
    pq.write_table(pa.table(columns), path)
    return open_table([path], Input.model_validate({"phone_column": "phone"} | settings))


def _raw(table: Table) -> list[str | None]:
    return [cell for batch in table.batches() for cell in batch["raw"].to_list()]


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.binary(),  # as Impala, Hive and old Spark write it
        pa.large_binary(),
    ],
)
def test_text_stays_text(tmp_path: Path, kind: Any) -> None:
    table = _open(tmp_path, {"phone": pa.array(PHONES).cast(kind)})
    assert _raw(table) == PHONES
    assert table.kinds == ("text",)


@pytest.mark.parametrize(
    ("array", "kind", "expected"),
    [
        (pa.array([491713920012, None], pa.int64()), "integer", ["491713920012", None]),
        (pa.array([491713920012], pa.uint64()), "integer", ["491713920012"]),
        (pa.array([491713920012], pa.decimal128(20)), "integer", ["491713920012"]),
        (pa.array([491713920012.0, None], pa.float64()), "float", ["491713920012", None]),
        (pa.array([decimal.Decimal("491713920012.00")]), "float", ["491713920012"]),
        (pa.array([decimal.Decimal("1713920012.50")]), "float", ["1713920012.50"]),
        (pa.array([1.5, float("nan"), float("inf")]), "float", ["1.5", "nan", "inf"]),
        (pa.array([4.9e20]), "float", ["4.900000e+20"]),
        (pa.array([491713920012.0], pa.float32()), "float", ["4.917139e+11"]),
        (pa.array([491713920012]).dictionary_encode(), "integer", ["491713920012"]),
    ],
)
def test_numbers_become_digits_or_visibly_damaged(
    tmp_path: Path, array: Any, kind: str, expected: list[str | None]
) -> None:
    table = _open(tmp_path, {"phone": array})
    assert (table.kinds[0], _raw(table)) == (kind, expected)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([True]),
        pa.array([["0171"]]),
        pa.array([{"a": "0171"}]),
        pa.array([b"\xff0171"]),
        pa.array([dt.date(2024, 1, 1)]),
        pa.nulls(1),
    ],
)
def test_a_type_without_numbers_is_refused(tmp_path: Path, array: Any) -> None:
    with pytest.raises(InputError, match=r"'phone' \(\w+\) cannot hold phone numbers"):
        _open(tmp_path, {"phone": array})


NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
KEPT = [
    (pa.array(["a"]), pl.String(), "a"),
    (pa.array(["a"]).dictionary_encode(), pl.String(), "a"),
    (pa.array([True]), pl.Boolean(), True),
    (pa.array([1], pa.int32()), pl.Int32(), 1),
    (pa.array([1], pa.int8()), pl.Int64(), 1),
    (pa.array([1], pa.uint32()), pl.Int64(), 1),
    (pa.array([2**64 - 1], pa.uint64()), pl.String(), "18446744073709551615"),
    (pa.array([1.5], pa.float32()), pl.Float64(), 1.5),
    (pa.array([1.5], pa.float64()), pl.Float64(), 1.5),
    (pa.array([dt.date(2024, 1, 1)]), pl.Date(), dt.date(2024, 1, 1)),
    (pa.array([dt.date(2024, 1, 1)], pa.date64()), pl.Date(), dt.date(2024, 1, 1)),
    (pa.array([NOON], pa.timestamp("ns", "Europe/Berlin")), pl.Datetime("us", "UTC"), NOON),
    (pa.array([NOON], pa.timestamp("ms", "UTC")), pl.Datetime("us", "UTC"), NOON),
    (pa.array([NOON.replace(tzinfo=None)]), pl.String(), "2024-01-01 12:00:00.000000"),
    (pa.array([dt.time(12, 30)]), pl.String(), "12:30:00.000000"),
    (pa.array([decimal.Decimal("1.50")]), pl.String(), "1.50"),
    (pa.nulls(1), pl.String(), None),
]


@pytest.mark.parametrize(("array", "dtype", "value"), KEPT, ids=lambda v: str(v)[:40])
def test_kept_columns_have_types_that_load_everywhere(
    tmp_path: Path, array: Any, dtype: pl.DataType, value: object
) -> None:
    columns = {"phone": pa.array(["+491713920012"]), "a.b": array}
    table = _open(tmp_path, columns, keep_columns="a.b")
    (batch,) = table.batches()
    assert table.kept == {"in_a.b": dtype}
    assert batch.schema["in_a.b"] == dtype
    assert batch["in_a.b"].to_list() == [value]


@pytest.mark.parametrize("array", [pa.array([[1]]), pa.array([{"a": 1}]), pa.array([b"\xff"])])
def test_nested_columns_cannot_be_kept(tmp_path: Path, array: Any) -> None:
    columns = {"phone": pa.array(["+491713920012"]), "x": array}
    assert _raw(_open(tmp_path, columns)) == ["+491713920012"]
    with pytest.raises(InputError, match=r"'x' .* cannot be kept"):
        _open(tmp_path, columns, keep_columns="x")


def test_no_rows_and_duplicate_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="columns but no rows"):
        _open(tmp_path, {"phone": pa.array([], pa.string())})
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table([pa.array(["a"]), pa.array(["b"])], names=["phone", "phone"]), path)
    with pytest.raises(InputError, match="more than one column"):
        open_table([path], Input(phone_column="phone"))


def test_a_damaged_file_is_one_clear_line_wherever_it_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"phone": ["+491713920012"] * 1000, "b": list(range(1000))}), path)
    whole = path.read_bytes()
    for length in range(4, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"^x\.parquet: it is damaged"):
            open_table([path], Input())


def test_flipped_bytes_never_crash(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"phone": ["+491713920012"] * 50, "b": list(range(50))}), path)
    whole = path.read_bytes()
    for place in range(4, len(whole) - 8, 29):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            list(open_table([path], Input(phone_column="phone", keep_columns=("b",))).batches())
        except InputError as error:
            assert "3920012" not in str(error)  # noqa: PT017


def test_a_damaged_footer_never_ends_the_process(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"phone": ["+491713920012"] * 50}), path)
    whole = path.read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for place in range(footer, len(whole) - 8):  # one of them is a list that is too long or short
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with suppress(InputError):
            list(open_table([path], Input(phone_column="phone")).batches())


def test_a_cell_that_is_stored_once_counts_in_each_of_its_rows(tmp_path: Path) -> None:
    table = _open(tmp_path, {"phone": [PHONES[0], *["9" * (1 << 20)] * 40]})
    with pytest.raises(InputError, match=r"input\.max_unpacking_ratio"):
        _raw(table)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    bad = pa.array([b"\xff0171"]).view(pa.string())
    with pytest.raises(InputError, match="damaged"):
        _open(tmp_path, {"phone": bad})


UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")
EXTENSIONS = [
    (pa.array([UUID.bytes, None], pa.uuid()), [str(UUID), None]),
    (pa.array(["{}", None], pa.json_()), ["{}", None]),
    (pa.array([b"K\xc3\xb6ln", None]), ["Köln", None]),
    (pa.array([b"ab", None], pa.binary(2)), ["ab", None]),
]


@pytest.mark.parametrize(("array", "cells"), EXTENSIONS, ids=lambda v: str(v)[:20])
def test_extensions_and_bytes_are_kept_as_text(tmp_path: Path, array: Any, cells: object) -> None:
    table = _open(tmp_path, {"phone": PHONES[:2], "x": array}, keep_columns="x")
    assert next(table.batches())["in_x"].to_list() == cells


@pytest.mark.parametrize("guessed", [True, False])
@pytest.mark.parametrize(
    ("cell", "kind"),
    [(["+491713920012"], "list"), ({"n": "+491713920012"}, "struct"), (b"\xff" * 12, "binary")],
)
def test_the_type_that_holds_no_numbers_is_named(
    tmp_path: Path, cell: object, kind: str, *, guessed: bool
) -> None:
    columns = {"id": pa.array(["a"]), "phone": pa.array([cell])}
    with pytest.raises(InputError, match=rf"'phone' \({kind}\) cannot hold phone numbers"):
        _open(tmp_path, columns, phone_column="" if guessed else "phone")


def test_bytes_that_are_no_text_further_on_are_named(tmp_path: Path) -> None:
    cells = [b"+491713920012"] * 60_000 + [b"\xff"]
    table = _open(tmp_path, {"phone": pa.array(cells)})
    with pytest.raises(InputError, match=r"'phone' \(binary\) holds bytes that are not UTF-8"):
        _raw(table)


def test_a_wide_file_is_read_in_few_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each begins with a look at all columns of the file: one a column cost their square."""
    steps: list[int] = []
    batches = ParquetList.batches

    def counted(self: ParquetList, columns: list[str]) -> Iterator[Any]:
        steps.append(len(columns))
        return batches(self, columns)

    monkeypatch.setattr(ParquetList, "batches", counted)
    wide: dict[str, Any] = {f"c{n}": [f"text {n}", None] for n in range(1_999)}
    wide["c7"] = [b"\xff\xfe", b"x"]  # bytes that are no text say nothing of those beside them
    table = _open(tmp_path, {**wide, "phone": ["+491713920012", None]})
    assert _raw(table) == ["+491713920012", None]
    assert sum(steps[:100]) == 2_000
    assert len(steps) <= 102
    layout = describe(tmp_path / "x.parquet", "x", Caps.of(Input()))
    columns = {column.name: column for column in layout.columns}
    assert columns["c8"].sample == ("text 8", None)
    assert columns["c7"].kind is None
