"""Iceberg: its catalogs, its types, and files that are gone."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from pyiceberg.types import (
    DecimalType,
    DoubleType,
    IcebergType,
    IntegerType,
    StringType,
    TimestampType,
)
from pyiceberg.utils.config import Config

from batch_screen import LoadOptions
from batch_screen.runs.layout import RESULTS
from batch_screen.warehouse.runs import complete_runs
from tests.thoroughness import in_full

from .lakes import IcebergNamespace, iceberg
from .test_targets import assert_equal, load, of_files, refused

__all__ = ["iceberg"]


def test_tables_say_what_they_hold(six_nights: Path, iceberg: IcebergNamespace) -> None:
    runs = complete_runs(six_nights)[:2]
    load(six_nights, iceberg, run_ids=[run.run_id for run in runs])
    found = iceberg.table_of(RESULTS)
    assert "an accepted row of the list" in found.properties["comment"]
    assert found.schema().find_field("in_branch").doc == "kept from the input: branch"
    assert found.schema().fields[0].name == "run_date"
    snapshot = found.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert snapshot.summary.additional_properties["batch_screen.run_id"] == runs[1].run_id


TYPES = [
    ("in_credit_limit", DoubleType(), False),
    pytest.param("in_credit_limit", IntegerType(), False, marks=in_full),
    pytest.param("in_credit_limit", DecimalType(20, 2), False, marks=in_full),
    ("in_credit_limit", DecimalType(19, 0), True),
    ("in_opened", StringType(), True),
    pytest.param("in_opened", TimestampType(), False, marks=in_full),
]


@pytest.mark.parametrize(("column", "kind", "is_fine"), TYPES)
def test_other_types_are_taken_only_where_every_value_survives(
    six_nights: Path, iceberg: IcebergNamespace, column: str, kind: IcebergType, is_fine: bool
) -> None:
    first, second = (run.run_id for run in complete_runs(six_nights)[:2])
    only = LoadOptions(tables=(RESULTS,))
    load(six_nights, iceberg, run_ids=[first], options=only)
    with iceberg.table_of(RESULTS).update_schema() as update:
        update.add_column(column, kind)
    if not is_fine:
        error = refused(six_nights, iceberg, run_ids=[second], options=only)
        assert (error.exit_code, f"column results.{column}" in str(error)) == (65, True)
        assert str(kind) in str(error)
        assert iceberg.counts(["runs"]) == [1]
        return
    load(six_nights, iceberg, run_ids=[second], options=only)
    expected = of_files(six_nights, RESULTS, {second}).sort("row_index")[column]
    rows = pl.DataFrame(iceberg.read(RESULTS)).filter(run_id=second).sort("row_index")[column]
    values = rows if kind == StringType() else rows.cast(pl.Int64)
    assert values.cast(pl.String).to_list() == expected.cast(pl.String).to_list()


def test_a_namespace_may_be_named_in_the_address(
    six_nights: Path, iceberg: IcebergNamespace
) -> None:
    named = IcebergNamespace("lake.screening")
    run_id = complete_runs(six_nights)[0].run_id
    load(six_nights, named, run_ids=[run_id])
    assert iceberg.table_of("runs", "screening").scan().count() == 1
    assert refused(six_nights, named, schema="other").exit_code == 2


def test_catalogs_that_cannot_be_used(
    six_nights: Path, iceberg: IcebergNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = refused(six_nights, IcebergNamespace("nowhere"))
    assert (error.exit_code, "PYICEBERG_CATALOG__NOWHERE__URI" in str(error)) == (2, True)
    (tmp_path / "file").write_text("+442079460000 garbage " * 100)
    for kind, uri, code in (
        ("sql", f"sqlite:///{tmp_path}/no/c.db", 73),
        ("sql", f"sqlite:///{tmp_path}/file", 65),
        ("rest", "http://127.0.0.1:9/?token=hush", 69),
    ):
        monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__TYPE", kind)
        monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__URI", uri)
        monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", Config())
        error = refused(six_nights, iceberg)
        assert (error.exit_code, "hush" in str(error)) == (code, False), kind


@in_full
def test_a_table_whose_metadata_is_gone(six_nights: Path, iceberg: IcebergNamespace) -> None:
    first, second = (run.run_id for run in complete_runs(six_nights)[:2])
    load(six_nights, iceberg, run_ids=[first])
    metadata = Path(iceberg.table_of("lookups").metadata_location.removeprefix("file://"))
    whole = metadata.read_bytes()
    for damage in (whole[:-40], None):
        metadata.write_bytes(damage) if damage else metadata.unlink()
        error = refused(six_nights, iceberg, run_ids=[second])
        assert (error.exit_code, "lookups" in str(error)) == (65, True)
    metadata.write_bytes(whole)
    load(six_nights, iceberg, run_ids=[second])
    assert_equal(six_nights, iceberg, {first, second})
