from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.errors import InputError
from batch_screen.schema import INSTANT, LOOKUPS, dtypes
from batch_screen.warehouse.columns import (
    KEYS,
    ExistingType,
    keeps_every_value,
    kept_name,
    table_columns,
)

TEXT = ExistingType(pl.String(), "text")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("in_customer_id", "in_customer_id"),
        ("in_Kunden Nr.", "in_kunden_nr"),
        ("in_E-Mail;Adresse", "in_e_mail_adresse"),
        ("in_ÄÖÜß", "in_aouss"),
        ("in_2nd phone", "in_2nd_phone"),
        ('in_"; DROP TABLE x', "in_drop_table_x"),
    ],
)
def test_names_of_kept_columns(source: str, name: str) -> None:
    assert kept_name(source) == name


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=120))
def test_every_name_is_one_of_a_warehouse(text: str) -> None:
    name = kept_name(f"in_{text}")
    assert len(name.encode()) <= 63
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    assert name.startswith("in_")
    assert len(name) > 3
    assert kept_name(f"in_{text}") == name


def test_long_and_foreign_names_stay_apart() -> None:
    names = [f"in_{'x' * 90}{end}" for end in "ab"] + ["in_東京", "in_京都"]
    assert len({kept_name(name) for name in names}) == 4


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="would both be in_kunden_nr") as raised:
        table_columns((), {"in_Kunden Nr.": pl.String(), "in_kunden-nr": pl.String()})
    assert raised.value.exit_code == 65


def test_contract_columns_keep_their_names_and_comments() -> None:
    first, *columns = table_columns(LOOKUPS, dict(dtypes(LOOKUPS)))
    assert (first.name, first.dtype, first.required) == ("run_date", pl.Date(), True)
    assert [column.name for column in columns] == [column.name for column in LOOKUPS]
    assert [column.comment for column in columns] == [column.meaning for column in LOOKUPS]
    assert {*KEYS["lookups"]} <= {column.name for column in columns}


@pytest.mark.parametrize(
    ("dtype", "there", "is_kept"),
    [
        (pl.Int32(), ExistingType(pl.Int64(), "bigint"), True),
        (pl.Int64(), ExistingType(pl.Int32(), "integer"), False),
        (pl.Int32(), ExistingType(pl.Float64(), "double precision"), True),
        (pl.Int64(), ExistingType(pl.Float64(), "double precision"), False),
        (pl.Float64(), ExistingType(pl.Int64(), "bigint"), False),
        (pl.Int64(), ExistingType(INSTANT, "timestamp with time zone"), False),
        (pl.Int64(), ExistingType(pl.Decimal(38, 0), "numeric"), True),
        (pl.Int64(), ExistingType(pl.Decimal(38, 0), "numeric(18)", whole_digits=18), False),
        (pl.Float64(), ExistingType(pl.Decimal(38, 0), "numeric"), False),
        (pl.String(), ExistingType(pl.String(), "varchar(5)", most_characters=5), True),
        (pl.String(), ExistingType(pl.String(), "varchar(4)", most_characters=4), False),
        (INSTANT, ExistingType(pl.String(), "varchar(26)", most_characters=26), False),
        (INSTANT, TEXT, True),
        (pl.Boolean(), TEXT, True),
        (pl.String(), ExistingType(None, "citext"), False),
        (pl.Date(), ExistingType(INSTANT, "timestamp with time zone"), False),
    ],
)
def test_which_types_keep_every_value(
    dtype: pl.DataType, there: ExistingType, is_kept: bool
) -> None:
    assert keeps_every_value(dtype, there, longest=5) is is_kept
