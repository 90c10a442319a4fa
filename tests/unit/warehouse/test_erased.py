"""People are erased from every kind of warehouse, and what is left there is what OUT has."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import batch_screen
from batch_screen.commands.erase import EraseReport, erase_people
from batch_screen.commands.erase_warehouses import Warehouse
from batch_screen.config.sections import Ids, Privacy
from batch_screen.erasure.journal import journal_of
from batch_screen.erasure.people import People
from batch_screen.errors import WarehouseError
from batch_screen.privacy.ids import make_id_key, read_id_key
from batch_screen.runs.layout import DATA_FOLDERS, runs_at
from batch_screen.warehouse.address import parse
from batch_screen.warehouse.lake import Lake
from tests.nights import NIGHTS, job, listed
from tests.thoroughness import in_full

from .conftest import Database
from .lakes import LakeUnderTest, delta, iceberg
from .test_targets import assert_equal, load

__all__ = ["delta", "iceberg"]

SOMEBODY = "+442079460007"
TWICE = "+442079460000"  # on two rows of the list
KINDS = ["postgres", "duck", "delta", "iceberg"]


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nights, with a cell of another customer that holds the number."""
    folder = tmp_path_factory.mktemp("erased")
    rows = listed(20).with_columns(
        branch=pl.when(pl.int_range(20) == 3).then(pl.lit("call 020 7946 0007")).otherwise("branch")
    )
    rows.write_csv(folder / "list.csv")
    for day in (23, 24):
        batch_screen.run(job(folder, NIGHTS[0]._replace(day=f"2026-11-{day}", kept=("branch",))))
    return folder / "screened"


@pytest.fixture
def nights(two_nights: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(two_nights, tmp_path / "screened"))


def mostly(*kinds: str) -> pytest.MarkDecorator:
    """For what these prove of all: what is common to them decides it."""
    params = [pytest.param(kind, marks=() if kind in kinds else in_full) for kind in KINDS]
    return pytest.mark.parametrize("warehouse", params, indirect=True)


@pytest.fixture
def warehouse(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(request.param)
    return found


def erased(out: Path, *databases: Database, who: People | None = None, **more: Any) -> EraseReport:
    places = [Warehouse(parse(each.to), "batch_screen") for each in databases]
    people = who or People(pl.Series([TWICE, SOMEBODY]))
    return erase_people(people, out, out / ".state", warehouses=places, **more)


def holding(database: Database, *texts: str) -> list[str]:
    """Tables with a cell that holds one of the texts, whatever stands between its digits."""
    found = []
    for table in (*DATA_FOLDERS, "runs"):
        for row in database.ask(f"SELECT * FROM batch_screen.{table}"):
            cells = [str(cell).replace(" ", "") for cell in row]
            if any(text in cell for cell in cells for text in texts):
                found.append(table)
                break
    return found


def erased_rows(database: Database) -> dict[str, int]:
    return dict(database.ask("SELECT run_id, erased_rows FROM batch_screen.runs"))


@mostly("postgres")
def test_nothing_is_left_of_them_and_load_finds_every_run_there(
    nights: Path, warehouse: Database
) -> None:
    load(nights, warehouse)
    purged = runs_at(nights)[0]
    for path in [nights / "runs" / purged, *nights.glob(f"*/*/{purged}-*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert {"results", "lookups"} <= {*holding(warehouse, "79460007")}
    before = warehouse.counts([*DATA_FOLDERS])
    looked = erased(nights, warehouse, dry_run=True)
    assert warehouse.counts([*DATA_FOLDERS]) == before
    report = erased(nights, warehouse)
    [there], [seen] = report.targets, looked.targets
    assert (there.rows, there.runs, there.cells) == (seen.rows, seen.runs, seen.cells)
    assert (there.rows["results"], there.rows["lookups"], there.cells) == (6, 12, 2)
    assert (len(there.runs), there.to_replace) == (2, ())
    assert holding(warehouse, "79460007", "79460000") == []
    assert SOMEBODY[3:] not in repr(report)
    counts = warehouse.counts([*DATA_FOLDERS])
    assert [b - c for b, c in zip(before, counts, strict=True)] == [*there.rows.values()]
    in_out = {run.run_id: sum(run.rows.values()) for run in report.runs}
    rest = sum(there.rows.values()) - sum(in_out.values())
    assert erased_rows(warehouse) == {**in_out, purged: rest}
    [accepted] = warehouse.ask(
        f"SELECT rows_accepted, lookups FROM batch_screen.runs WHERE run_id = '{purged}'"
    )
    assert accepted == (15, 45)
    assert load(nights, warehouse).runs == ()
    again = erased(nights, warehouse)
    assert again.is_empty
    assert again.targets[0].rows == dict.fromkeys(DATA_FOLDERS, 0)
    assert erased_rows(warehouse) == {**in_out, purged: rest}
    batch_screen.unload(warehouse.to, run_ids=[purged])
    assert_equal(nights, warehouse)


@mostly("postgres")
def test_ids_in_the_place_of_numbers(tmp_path: Path, warehouse: Database) -> None:
    listed(20).write_csv(tmp_path / "list.csv")
    key = tmp_path / "ids.key"
    make_id_key(key)
    privacy = Privacy(ids=Ids.HMAC, id_key_file=str(key))
    batch_screen.run(job(tmp_path, NIGHTS[0], privacy=privacy))
    out = tmp_path / "screened"
    load(out, warehouse)
    people = People(pl.Series([SOMEBODY]), read_id_key(key))
    [theirs] = people.key_values["number_id"]
    assert holding(warehouse, theirs)
    assert erased(out, warehouse, who=people).targets[0].rows["lookups"] == 3
    assert holding(warehouse, theirs) == []
    assert load(out, warehouse).runs == ()


@pytest.mark.parametrize("kind", ["delta", pytest.param("iceberg", marks=in_full)])
def test_a_lake_that_was_killed_between_two_tables_is_completed(
    nights: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """Each start gets one table further than the one before, and is killed at the next."""
    lake: LakeUnderTest = request.getfixturevalue(kind)
    last = runs_at(nights)[-1]
    load(nights, lake, run_ids=[last])
    target = type(Warehouse(parse(lake.to), "batch_screen").opened())
    rewrite: Callable[..., None] = target._rewrite  # type: ignore[attr-defined]
    calls: list[str] = []

    def dying(self: Lake, *given: Any) -> None:
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(given[0])
        rewrite(self, *given)

    starts = list[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, "_rewrite", dying)
        while True:
            calls.clear()
            try:
                report = erased(nights, lake)
                break
            except KeyboardInterrupt:
                assert journal_of(nights).exists()
                starts += calls
    assert starts[:2] == ["results", "lookups"]
    assert calls == ["runs"]
    assert not journal_of(nights).exists()
    assert holding(lake, "79460007", "79460000") == []
    [run] = [run for run in report.runs if run.run_id == last]
    assert erased_rows(lake) == {last: sum(run.rows.values())}
    assert load(nights, lake, run_ids=[last]).runs == ()
    assert_equal(nights, lake, {last})
    if kind == "delta":
        assert_its_log_does_not_name_them(nights.parent / "lake")


def test_one_that_fails_leaves_the_rest_done_and_the_same_command_goes_on(
    nights: Path, duck: Database, postgres: Database
) -> None:
    for each in (duck, postgres):
        load(nights, each)
    postgres.do(
        "CREATE FUNCTION batch_screen.no() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'not %', OLD.e164; END $$",
        "CREATE TRIGGER no BEFORE DELETE ON batch_screen.lookups FOR EACH ROW "
        "EXECUTE FUNCTION batch_screen.no()",
    )
    before = postgres.counts([*DATA_FOLDERS])
    with pytest.raises(WarehouseError, match="start the same batch-screen erase again") as raised:
        erased(nights, postgres, duck)
    assert "7946" not in str(raised.value)
    assert postgres.counts([*DATA_FOLDERS]) == before
    assert holding(duck, "79460007") == []
    assert journal_of(nights).exists()
    postgres.do("DROP TRIGGER no ON batch_screen.lookups")
    report = erased(nights, postgres, duck)
    assert [target.is_empty for target in report.targets] == [False, True]
    assert len(report.runs) == 2
    assert load(nights, postgres).runs == load(nights, duck).runs == ()


def test_a_warehouse_that_is_not_reached_is_refused_before_anything_is_changed(
    nights: Path, tmp_path: Path, duck: Database
) -> None:
    duck.path.write_text("no database")  # type: ignore[attr-defined]
    before = {path: path.stat().st_mtime_ns for path in nights.glob("runs/*/manifest.json")}
    with pytest.raises(WarehouseError):
        erased(nights, duck)
    assert {p: p.stat().st_mtime_ns for p in nights.glob("runs/*/manifest.json")} == before


def test_what_an_earlier_erasure_left_there_is_not_taken_for_the_new_run(
    nights: Path, duck: Database
) -> None:
    load(nights, duck)
    erased(nights, who=People(pl.Series([SOMEBODY])))  # without --to
    report = erased(nights, duck, who=People(pl.Series([TWICE])))
    assert [*report.targets[0].to_replace] == sorted(runs_at(nights))
    with pytest.raises(WarehouseError, match="--replace"):
        load(nights, duck)
    later = erased(nights, duck, who=People(pl.Series([SOMEBODY])))
    assert later.targets[0].rows["results"] == 2
    assert holding(duck, "79460007", "79460000") == []


@in_full
def test_the_log_of_a_lake_does_not_name_them(nights: Path, delta: LakeUnderTest) -> None:
    load(nights, delta)
    erased(nights, delta)
    assert_its_log_does_not_name_them(nights.parent / "lake")


def assert_its_log_does_not_name_them(lake: Path) -> None:
    commits = [
        line
        for path in lake.glob("**/_delta_log/*.json")
        for line in path.read_text().splitlines()
        if line.startswith('{"commitInfo"')
    ]
    assert [line for line in commits if '"predicate"' in line]
    assert [line for line in commits if "7946" in line] == []
