"""PostgreSQL under test by a server of our own: connections that end, roles, locks, readers."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import batch_screen
from batch_screen import LoadOptions
from batch_screen.errors import BatchScreenError
from batch_screen.runs.layout import DATA_FOLDERS
from batch_screen.warehouse.postgres import Postgres
from batch_screen.warehouse.runs import Batch, TableToLoad, complete_runs
from tests.thoroughness import IS_FULL

from .conftest import PASSWORD, PostgresDatabase
from .test_targets import EVERY, assert_equal, load, refused

AfterBatch = Callable[[Callable[[], None]], None]
REPLACES = LoadOptions(replaces=True)


@pytest.fixture
def after_batch(monkeypatch: pytest.MonkeyPatch) -> AfterBatch:
    """Has a function called after each batch that was copied, in the same transaction."""

    def set_up(action: Callable[[], None]) -> None:
        copy = Postgres._copy

        def copy_then(self: Postgres, table: TableToLoad, batch: Batch) -> None:
            copy(self, table, batch)
            action()

        monkeypatch.setattr(Postgres, "_copy", copy_then)

    return set_up


TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name = 'batch-screen' AND datname = current_database()"
)


def test_a_backend_terminated_in_the_middle_leaves_nothing(
    six_nights: Path,
    postgres: PostgresDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy = psycopg.Copy.write
    written = []

    def write(self: Any, data: Any) -> None:
        half = len(data) // 2
        copy(self, data[:half])
        written.append(half)
        if len(written) == 7:  # in the middle of a COPY of the second run
            postgres.do(TERMINATE)
        copy(self, data[half:])

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.Copy, "write", write)
        error = refused(six_nights, postgres)
    assert (error.exit_code, "start the same command again" in str(error)) == (69, True)
    [first, *_] = complete_runs(six_nights)
    assert postgres.ask("SELECT run_id FROM batch_screen.runs") == [(first.run_id,)]
    assert_equal(six_nights, postgres, {first.run_id})
    load(six_nights, postgres)
    assert_equal(six_nights, postgres)


def test_a_reader_never_sees_part_of_a_run(
    six_nights: Path, postgres: PostgresDatabase, after_batch: AfterBatch
) -> None:
    seen = []
    with postgres.connect() as reader:

        def look() -> None:
            counts = ", ".join(f"(SELECT count(*) FROM batch_screen.{each})" for each in EVERY)
            seen.extend(reader.execute(f"SELECT {counts}".encode()).fetchall())

        after_batch(look)
        load(six_nights, postgres)
    whole = [(0,) * 5]
    for run in complete_runs(six_nights):
        rows = [of_run(postgres, table, run.run_id) for table in DATA_FOLDERS]
        whole.append(tuple(a + b for a, b in zip(whole[-1], [*rows, 1], strict=True)))
    assert len(seen) > 20
    assert set(seen) <= set(whole)


@pytest.mark.parametrize("second", ["replace", "unload"])
def test_rows_of_a_load_that_ends_meanwhile_are_deleted_with_their_run_or_not_at_all(
    six_nights: Path, postgres: PostgresDatabase, after_batch: AfterBatch, second: str
) -> None:
    run_id = complete_runs(six_nights)[1].run_id
    load(six_nights, postgres, run_ids=[run_id])
    postgres.do("UPDATE batch_screen.runs SET manifest_sha256 = 'of another writing'")
    others = []

    def other() -> None:
        if second == "unload":
            others.append(batch_screen.unload(postgres.to, run_ids=[run_id]).rows["runs"])
        else:
            report = load(six_nights, postgres, run_ids=[run_id], options=REPLACES)
            others.append(report.runs[0].state)

    thread = threading.Thread(target=other)

    def begin() -> None:
        if thread.ident is None:
            thread.start()
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            until = time.monotonic() + 10
            while postgres.ask(waits) == [(0,)] and time.monotonic() < until:
                time.sleep(0.02)

    after_batch(begin)
    load(six_nights, postgres, run_ids=[run_id], options=REPLACES)
    thread.join()
    if second == "unload":
        assert (others, postgres.counts(EVERY)) == ([1], [0] * 5)
    else:
        assert others == ["already loaded"]
        assert_equal(six_nights, postgres, {run_id})


def of_run(postgres: PostgresDatabase, table: str, run_id: str) -> int:
    [[rows]] = postgres.ask(f"SELECT count(*) FROM batch_screen.{table} WHERE run_id = '{run_id}'")
    return int(rows)


@pytest.fixture
def role(postgres: PostgresDatabase) -> Iterator[str]:
    name = f"role_{postgres.name}"
    postgres.do(f"CREATE ROLE {name} LOGIN")
    yield name
    postgres.do(f"REASSIGN OWNED BY {name} TO loader", f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def refused_to(six_nights: Path, to: str, **more: Any) -> BatchScreenError:
    with pytest.raises(BatchScreenError) as raised:
        batch_screen.load([six_nights], to, sandbox=True, lock_seconds=1.0, **more)
    return raised.value


def follow_advice(six_nights: Path, postgres: PostgresDatabase, role: str) -> list[str]:
    """Loads as the role, granting what each refusal asks for, until it is loaded."""
    said = list[str]()
    while len(said) < 15:
        with contextlib.suppress(BatchScreenError):
            batch_screen.load([six_nights], postgres.as_role(role), sandbox=True)
            return said
        error = refused_to(six_nights, postgres.as_role(role))
        assert (error.exit_code, "SQLSTATE 42501" in str(error)) == (73, True)
        said.append(str(error).partition("let an owner say: ")[2])
        postgres.do(*said[-1].split("; "))
    pytest.fail(f"the advice leads nowhere: {said}")


def test_a_role_is_told_each_right_it_lacks(
    six_nights: Path, postgres: PostgresDatabase, role: str
) -> None:
    said = follow_advice(six_nights, postgres, role)
    assert said == [f'GRANT CREATE ON DATABASE "{postgres.name}" TO "{role}"']
    assert_equal(six_nights, postgres)


def test_a_role_is_told_the_rights_on_tables_of_others(
    six_nights: Path, postgres: PostgresDatabase, role: str
) -> None:
    [first, *_] = complete_runs(six_nights)
    load(six_nights, postgres, run_ids=[first.run_id])
    said = follow_advice(six_nights, postgres, role)
    assert said[0].startswith("GRANT USAGE ON SCHEMA")
    assert f'ALTER TABLE "batch_screen"."results" OWNER TO "{role}"' in said, "columns are added"
    assert any("INSERT ON" in each for each in said)
    assert_equal(six_nights, postgres)


def test_logins_that_are_refused(six_nights: Path, postgres: PostgresDatabase) -> None:
    for to in (postgres.as_role("nobody_there"), postgres.as_role("guarded")):
        error = refused_to(six_nights, to)
        assert (error.exit_code, "login was refused" in str(error)) == (77, True)


def test_a_wrong_password_is_not_shown(
    six_nights: Path, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "not-the-secret")
    error = refused_to(six_nights, postgres.as_role("guarded"))
    assert (error.exit_code, "not-the-secret" in str(error)) == (77, False)


def test_a_database_that_is_not_there(
    six_nights: Path, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    for role in ("loader", "guarded"):
        to = postgres.as_role(role).replace(f"/{postgres.name}", "/nowhere")
        error = refused_to(six_nights, to)
        assert (error.exit_code, "no such database" in str(error)) == (77, True)
    postgres.do(f"REVOKE CONNECT ON DATABASE {postgres.name} FROM PUBLIC")
    assert "GRANT CONNECT" in str(refused_to(six_nights, postgres.as_role("guarded")))


def test_no_server(six_nights: Path) -> None:
    error = refused_to(six_nights, "postgresql://127.0.0.1:1/wh")
    assert error.exit_code == 69
    assert refused_to(six_nights, "postgresql://127.0.0.1/wh?nonsense=1").exit_code == 2


NUMBER = "+44207946"
BAD_TABLES = {
    "constraint": "ALTER TABLE batch_screen.lookups ADD CHECK (e164 NOT LIKE '+44%')",
    "trigger": (
        "CREATE FUNCTION batch_screen.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'not %', NEW.e164 USING DETAIL = NEW.e164, HINT = NEW.e164, "
        "COLUMN = NEW.e164, TABLE = NEW.e164; END $$; "
        "CREATE TRIGGER no BEFORE INSERT ON batch_screen.lookups FOR EACH ROW "
        "EXECUTE FUNCTION batch_screen.no()"
    ),
    "domain": (
        "CREATE DOMAIN batch_screen.short AS text CHECK (length(VALUE) < 3); "
        "DROP VIEW batch_screen.signals; "
        "ALTER TABLE batch_screen.lookups ALTER COLUMN e164 TYPE batch_screen.short"
    ),
    "other type": (
        "DROP VIEW batch_screen.signals; ALTER TABLE batch_screen.lookups "
        "ALTER COLUMN e164 TYPE bigint USING NULL"
    ),
    "not null": "ALTER TABLE batch_screen.lookups ADD COLUMN loaded_by text NOT NULL",
    "too short": (
        "DROP VIEW batch_screen.signals; "
        "ALTER TABLE batch_screen.lookups ALTER COLUMN e164 TYPE varchar(5)"
    ),
    "unique": "CREATE UNIQUE INDEX ON batch_screen.lookups (run_date)",
}


ALL = ", ".join(f"batch_screen.{table}" for table in EVERY)


@pytest.mark.parametrize("what", BAD_TABLES)
def test_no_value_of_a_cell_is_in_a_message_or_a_log(
    six_nights: Path,
    postgres: PostgresDatabase,
    what: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    load(six_nights, postgres, run_ids=[complete_runs(six_nights)[0].run_id])
    postgres.do(f"TRUNCATE {ALL}", BAD_TABLES[what])
    error = refused(six_nights, postgres)
    shown = [str(error), repr(error), *map(str, error.args), caplog.text, *capfd.readouterr()]
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    assert not [each for each in shown if NUMBER in each or "07946" in each]
    assert "lookups" in str(error)
    assert error.exit_code == (73 if what == "trigger" else 65)
    assert postgres.counts(["runs"]) == [0]


def test_row_and_column_of_a_refused_value_are_named(
    six_nights: Path, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows hold texts with line breaks, so a line of the copied text is no row."""
    run = complete_runs(six_nights)[1]
    load(six_nights, postgres, run_ids=[complete_runs(six_nights)[0].run_id])
    postgres.do("ALTER TABLE batch_screen.results ADD COLUMN in_credit_limit integer")
    monkeypatch.setattr(
        "batch_screen.warehouse.sql.keeps_every_value", lambda *_: True
    )  # as if it had been changed after the look at it
    postgres.do(
        "ALTER TABLE batch_screen.results ADD CONSTRAINT c CHECK (in_credit_limit <> 21000)"
    )
    part = run.layout.part("results", 0)
    table = batch_screen_rows(part)
    row = table.index(21000) + 1 if 21000 in table else None
    error = refused(six_nights, postgres, run_ids=[run.run_id])
    assert "SQLSTATE 23514" in str(error)
    if row is not None:
        assert f"row {row} of results/" in str(error)


def batch_screen_rows(part: Path) -> list[int | None]:
    import polars as pl

    frame = pl.read_parquet(part, hive_partitioning=False)
    values: list[int | None] = frame["in_credit_limit"].to_list()
    return values


def test_the_gate_counts_what_the_table_took(six_nights: Path, postgres: PostgresDatabase) -> None:
    load(six_nights, postgres, run_ids=[complete_runs(six_nights)[0].run_id])
    postgres.do(
        "CREATE FUNCTION batch_screen.drop_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RETURN CASE WHEN NEW.row_index = 3 THEN NULL ELSE NEW END; END $$; "
        "CREATE TRIGGER drop_one BEFORE INSERT ON batch_screen.results FOR EACH ROW "
        "EXECUTE FUNCTION batch_screen.drop_one()"
    )
    error = refused(six_nights, postgres)
    assert (error.exit_code, "in its manifest" in str(error)) == (65, True)
    assert postgres.counts(["runs"]) == [1]


@pytest.mark.parametrize("table", ["runs", "results"])
def test_locks_of_others_are_waited_for_and_named(
    six_nights: Path, postgres: PostgresDatabase, table: str
) -> None:
    runs = complete_runs(six_nights)
    load(six_nights, postgres, run_ids=[runs[0].run_id])
    with postgres.connect() as other, other.transaction():
        other.execute(f"LOCK TABLE batch_screen.{table} IN SHARE MODE".encode())
        pid = other.info.backend_pid
        error = refused(six_nights, postgres, lock_seconds=0.3)
    assert error.exit_code == 75
    assert "55P03" in str(error)
    assert f"process {pid} of loader" in str(error)
    load(six_nights, postgres)


def test_keys_indexes_and_comments(six_nights: Path, postgres: PostgresDatabase) -> None:
    load(six_nights, postgres)
    keys = postgres.ask(
        "SELECT c.relname, pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN pg_class c "
        "ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'batch_screen' AND k.contype = 'p' ORDER BY 1"
    )
    assert keys == [
        ("changes", "PRIMARY KEY (run_id, e164, endpoint)"),
        ("lookups", "PRIMARY KEY (run_id, e164, endpoint)"),
        ("results", "PRIMARY KEY (run_id, row_index)"),
        ("runs", "PRIMARY KEY (run_id)"),
    ]
    [[bare]] = postgres.ask(
        "SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'batch_screen' "
        "AND c.relkind = 'r' AND a.attnum > 0 AND col_description(c.oid, a.attnum) IS NULL"
    )
    assert bare == 0
    indexes = postgres.ask(
        "SELECT indexname FROM pg_indexes WHERE schemaname = 'batch_screen' ORDER BY 1"
    )
    assert {"results_run_date", "results_e164", "errors_run_id"} <= {name for [name] in indexes}


def test_a_pooler_that_hands_out_other_sessions(
    six_nights: Path, postgres: PostgresDatabase
) -> None:
    """Nothing is set for the session: each transaction sets what it needs."""
    postgres.do(
        f"ALTER DATABASE {postgres.name} SET standard_conforming_strings = off",
        f"ALTER DATABASE {postgres.name} SET default_transaction_isolation = 'serializable'",
        f"ALTER DATABASE {postgres.name} SET datestyle = 'SQL, DMY'",
        f"ALTER DATABASE {postgres.name} SET escape_string_warning = off",
    )
    load(six_nights, postgres)
    assert_equal(six_nights, postgres)


def test_without_a_key_on_runs_there_is_no_claim(
    six_nights: Path, postgres: PostgresDatabase
) -> None:
    load(six_nights, postgres, run_ids=[complete_runs(six_nights)[0].run_id])
    postgres.do("ALTER TABLE batch_screen.runs DROP CONSTRAINT runs_pkey")
    error = refused(six_nights, postgres, options=LoadOptions(creates=False))
    assert (error.exit_code, "PRIMARY KEY" in str(error)) == (65, True)


SIGNALLED = """
import os, sys
from batch_screen.__main__ import main
from batch_screen.warehouse.postgres import Postgres
copy, number = Postgres._copy, int(sys.argv.pop())
def signalling(self, table, batch):
    copy(self, table, batch)
    os.kill(os.getpid(), number)
    copy(self, table, batch)
Postgres._copy = signalling
main()
"""


# The torture of loads sends both, in the quick run too.
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), *[(signal.SIGINT, 130)] * IS_FULL]
)
def test_a_signal_rolls_back(
    six_nights: Path, postgres: PostgresDatabase, number: int, code: int
) -> None:
    command = [sys.executable, "-c", SIGNALLED, "load", six_nights, "--to", postgres.to]
    done = subprocess.run(
        [*command, "--sandbox", str(int(number))], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert postgres.counts(EVERY) == [0] * 5


@pytest.fixture
def small_disk(postgres: PostgresDatabase) -> Iterator[Path]:
    """A disk of the server's on which it makes new tables; skips where nobody may mount one."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk for the server")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        disk = Path(name) / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("the machine does not permit to mount a disk for the server")
        try:
            (disk / "tables").mkdir()
            shutil.chown(disk / "tables", "postgres")
            postgres.do(
                f"CREATE TABLESPACE small LOCATION '{disk}/tables'",
                f"ALTER DATABASE {postgres.name} SET default_tablespace = small",
            )
            yield disk
            postgres.do("DROP SCHEMA batch_screen CASCADE", "DROP TABLESPACE small")
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk(six_nights: Path, postgres: PostgresDatabase, small_disk: Path) -> None:
    first, *others = (run.run_id for run in complete_runs(six_nights))
    load(six_nights, postgres, run_ids=[first])
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            os.write(file.fileno(), bytes(4096))
    error = refused(six_nights, postgres, run_ids=others)
    assert error.exit_code == 73
    assert "SQLSTATE 53100, disk full; nothing was kept" in str(error)
    whole = {run_id for [run_id] in postgres.ask("SELECT run_id FROM batch_screen.runs")}
    assert_equal(six_nights, postgres, whole)
    assert whole < {first, *others}
    filler.unlink()
    load(six_nights, postgres)
    assert_equal(six_nights, postgres)


def test_a_disk_that_is_full_says_the_server(six_nights: Path, postgres: PostgresDatabase) -> None:
    """As the disk's test, where no disk can be mounted."""
    load(six_nights, postgres, run_ids=[complete_runs(six_nights)[0].run_id])
    postgres.do(
        "CREATE FUNCTION batch_screen.full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'could not extend file for %', NEW.e164 USING ERRCODE = '53100'; END $$",
        "CREATE TRIGGER full_disk BEFORE INSERT ON batch_screen.errors FOR EACH ROW "
        "EXECUTE FUNCTION batch_screen.full_disk()",
    )
    error = refused(six_nights, postgres)
    assert (error.exit_code, "SQLSTATE 53100, disk full" in str(error)) == (73, True)
    assert postgres.counts(["runs"]) == [1]
