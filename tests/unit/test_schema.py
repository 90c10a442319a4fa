from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from batch_screen import schema
from batch_screen.model import Endpoint, Outcome
from batch_screen.schema import (
    CHANGES,
    CHECK_REJECTS,
    ERRORS,
    IDENTITY,
    INSTANT,
    LOOKUP,
    LOOKUPS,
    REJECT,
    RISK,
    ROW,
    Column,
    conform,
    dtypes,
    endpoint_group,
    of_version,
    results,
)

LOADS_EVERYWHERE = {pl.String, pl.Boolean, pl.Int32, pl.Int64, pl.Float64, pl.Date, INSTANT}
TABLES = [
    ROW,
    IDENTITY,
    REJECT,
    LOOKUP,
    LOOKUPS,
    ERRORS,
    CHECK_REJECTS,
    CHANGES,
    RISK,
    results({"in_x": pl.String()}),
]


@pytest.mark.parametrize("table", TABLES)
def test_columns_are_distinct_explained_and_load_everywhere(table: tuple[Column, ...]) -> None:
    names = [column.name for column in table]
    assert len(set(names)) == len(names)
    assert all(column.meaning for column in table)
    assert {column.dtype for column in table} <= LOADS_EVERYWHERE
    assert "run_date" not in names  # it is in the path


@pytest.mark.parametrize("endpoint", Endpoint)
def test_groups_are_drawn_from_lookups(endpoint: Endpoint) -> None:
    lookup = {column.name: column.dtype for column in LOOKUP}
    group = endpoint_group(endpoint)
    for name, column in group.items():
        assert column.name == f"{endpoint.column}_{name}"
        assert column.dtype == lookup[name]
        assert not column.required  # the endpoint need not have been asked
    value = "latest_change_at" if endpoint.answers_date else "swapped"
    assert ("active" if endpoint is Endpoint.CALL_FORWARDING_CHECK else value) in group
    assert ("max_age_minutes" in group) is endpoint.takes_max_age


def test_lookups_publish_every_field_of_an_outcome() -> None:
    fields = {"outcome" if f == "kind" else f for f in Outcome.__struct_fields__}
    assert {column.name for column in LOOKUP} == fields


def test_results_have_the_same_columns_whatever_is_asked() -> None:
    names = [column.name for column in results({"in_id": pl.Int64()})]
    assert names[0] == "run_id"
    groups = [c.name for e in Endpoint for c in endpoint_group(e).values()]
    first = names.index(groups[0])
    assert names[first : first + len(groups)] == groups
    checks = ("sim_swap_check", "device_swap_check")
    assert names[first + len(groups) :] == [
        *(f"sim_swap_check_{n}" for n in ("source", "window_start", "window_end", "gap_minutes")),
        "sim_swap_date_source",
        *(
            f"device_swap_check_{n}"
            for n in ("source", "window_start", "window_end", "gap_minutes")
        ),
        "device_swap_date_source",
        "call_forwarding_check_source",
        *(f"{name.removesuffix('_check')}_contradiction" for name in checks),
        *(column.name for column in RISK),
        "phone_column",
        "number_id",
        "in_id",
    ]
    assert [column.name for column in results({})] == names[:-1]


def test_kept_columns_move_no_other_column() -> None:
    contract = results({})
    assert results({"in_a": pl.String(), "in_b": pl.Int64()})[: len(contract)] == contract
    assert {table[-1].name for table in (contract, LOOKUPS, ERRORS, CHANGES)} == {"number_id"}


def test_version_4_had_kept_columns_first_and_no_id() -> None:
    names = [c.name for c in of_version(results({"in_id": pl.Int64()}), 4)]
    assert (names[:2], names[-1]) == (["in_id", "run_id"], "phone_column")
    assert of_version(LOOKUPS, 4) == LOOKUPS[:-1]
    assert of_version(LOOKUPS, schema.SCHEMA_VERSION) == LOOKUPS


def test_what_was_published_stays() -> None:
    # A change here is a change of SCHEMA_VERSION, and new columns go to the end.
    assert schema.SCHEMA_VERSION == 5
    assert " ".join(c.name for c in LOOKUPS) == (
        "run_id e164 endpoint max_age_minutes outcome reason swapped active latest_change "
        "latest_change_at latest_change_raw http_status code message attempts refusals "
        "latency_ms responded_at correlator unanswered source source_run_id last_observed_at "
        "window_start window_end gap_minutes contradiction number_id"
    )
    assert " ".join(c.name for c in ERRORS) == (
        "run_id kind row_index source_file source_row raw_masked raw_region e164 endpoint "
        "reason detail remedy retry_can_help http_status code attempts phone_column number_id"
    )
    assert " ".join(c.name for c in IDENTITY) == (
        "run_id row_index source_file source_row e164 region number_type rule"
    )


def test_the_change_feed_stays_as_it_was_published() -> None:
    assert " ".join(c.name for c in CHANGES) == (
        "run_id since_run_id e164 endpoint change before_outcome after_outcome before_swapped "
        "after_swapped before_active after_active before_latest_change_at after_latest_change_at "
        "before_responded_at after_responded_at cohort likely_migration number_id"
    )
    assert " ".join(c.name for c in RISK) == (
        "sim_change_age_hours sim_change_age_band device_change_age_hours device_change_age_band "
        "risk_sim_and_device_recent risk_sim_recent risk_device_recent risk_forwarding_active "
        "risk_version"
    )


def test_conform_orders_casts_and_fills() -> None:
    columns = (
        Column("a", pl.Int64, "a"),
        Column("b", pl.String, "b"),
        Column("at", INSTANT, "at"),
    )
    frame = pl.DataFrame({"extra": [1.5], "b": ["x"], "a": pl.Series([7], dtype=pl.Int8)})
    wanted = pl.DataFrame({"a": [7], "b": ["x"], "at": [None]}, schema=dtypes(columns))
    assert_frame_equal(conform(frame, columns), wanted)
    assert conform(frame.clear(), columns).schema == dtypes(columns)


def test_conform_never_changes_a_value_silently() -> None:
    with pytest.raises(pl.exceptions.InvalidOperationError):
        conform(pl.DataFrame({"a": [2**40]}), (Column("a", pl.Int32, "a"),))
