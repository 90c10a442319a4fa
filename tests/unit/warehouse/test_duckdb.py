"""DuckDB: a file of one process, a full disk, foreign files."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from threading import current_thread, main_thread

import duckdb
import pytest

from batch_screen import LoadOptions
from batch_screen.errors import ConfigurationError
from batch_screen.warehouse import duckdb as target
from batch_screen.warehouse.address import open_target, parse
from batch_screen.warehouse.runs import complete_runs, opened
from tests.thoroughness import IS_FULL, in_full

from .conftest import DuckDBFile
from .test_targets import EVERY, assert_equal, load, refused

HOLD = """
import duckdb, sys
with duckdb.connect(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_file_that_is_open_elsewhere(six_nights: Path, duck: DuckDBFile) -> None:
    load(six_nights, duck, run_ids=[complete_runs(six_nights)[0].run_id])
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, duck.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"open\n"
    try:
        error = refused(six_nights, duck, lock_seconds=0.2)
    finally:
        holder.communicate()
    assert (error.exit_code, f"(process {holder.pid})" in str(error)) == (75, True)
    load(six_nights, duck)


FULL = """
import resource, sys
import batch_screen
from batch_screen.errors import BatchScreenError
resource.setrlimit(resource.RLIMIT_FSIZE, (900_000, 900_000))
try:
    batch_screen.load([sys.argv[1]], sys.argv[2], sandbox=True)
except BatchScreenError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@in_full
def test_a_full_disk_leaves_whole_runs(six_nights: Path, duck: DuckDBFile) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, six_nights, duck.to],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.count("\n")) == (73, 1), done.stderr
    known = {run_id for [run_id] in duck.ask("SELECT run_id FROM batch_screen.runs")}
    assert len(known) < 6
    assert_equal(six_nights, duck, known) if known else None
    load(six_nights, duck)
    assert_equal(six_nights, duck)


def test_what_is_no_database(six_nights: Path, duck: DuckDBFile) -> None:
    duck.path.write_text("customers")
    error = refused(six_nights, duck)
    assert (error.exit_code, "is no DuckDB database" in str(error)) == (65, True)


def test_a_folder_that_is_missing(six_nights: Path, tmp_path: Path) -> None:
    elsewhere = DuckDBFile(tmp_path / "missing" / "warehouse.duckdb")
    assert refused(six_nights, elsewhere).exit_code == 73


def test_the_file_is_its_owners_alone(six_nights: Path, duck: DuckDBFile) -> None:
    [run, *_] = complete_runs(six_nights)
    umask = os.umask(0o022)
    try:
        load(six_nights, duck, run_ids=[run.run_id])
    finally:
        os.umask(umask)
    assert stat.S_IMODE(duck.path.stat().st_mode) == 0o600


def test_no_value_of_a_cell_is_in_a_message(
    six_nights: Path, duck: DuckDBFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(six_nights, duck, run_ids=[complete_runs(six_nights)[0].run_id])
    duck.do(
        "DROP VIEW batch_screen.signals",
        *(f"DELETE FROM batch_screen.{table}" for table in EVERY),
        "ALTER TABLE batch_screen.lookups DROP COLUMN correlator",
        "ALTER TABLE batch_screen.lookups ADD COLUMN correlator integer",
    )
    error = refused(six_nights, duck)
    assert (error.exit_code, "INTEGER" in str(error)) == (65, True)
    monkeypatch.setattr("batch_screen.warehouse.sql.keeps_every_value", lambda *_: True)
    error = refused(six_nights, duck)
    assert error.exit_code == 65
    assert "table lookups" in str(error)
    assert "0794" not in str(error)
    assert duck.counts(["runs"]) == [0]


def test_comments_are_there(six_nights: Path, duck: DuckDBFile) -> None:
    load(six_nights, duck)
    bare = duck.ask(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'batch_screen' "
        "AND comment IS NULL AND table_name IN ('results', 'lookups', 'errors', 'changes', 'runs')"
    )
    assert bare == []


def test_names_of_an_account_elsewhere_are_files(
    six_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    [run, *_] = complete_runs(six_nights)
    load(six_nights, DuckDBFile(Path("md:warehouse")), run_ids=[run.run_id])
    assert (tmp_path / "md:warehouse").is_file()
    with duckdb.connect(tmp_path / "md:warehouse") as db:
        assert db.execute("SELECT count(*) FROM batch_screen.runs").fetchall() == [(1,)]


def test_a_folder_whose_name_looks_like_a_pattern(
    six_nights: Path, duck: DuckDBFile, tmp_path: Path
) -> None:
    own = shutil.copytree(six_nights, tmp_path / "night*[1]?'s")
    runs = [run.run_id for run in complete_runs(six_nights)[:2]]
    load(own, duck, run_ids=runs)
    assert_equal(six_nights, duck, {*runs})


@in_full
def test_too_little_memory_is_made_more(
    six_nights: Path, duck: DuckDBFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(target._CONFIG, "memory_limit", "3MB")
    load(six_nights, duck)
    assert_equal(six_nights, duck)


@pytest.mark.parametrize(
    ("name", "schema"),
    [("batch_screen.duckdb", "batch_screen"), ("Batch_Screen.v2.db", "batch_screen"), ("x", "X")],
)
def test_a_file_named_as_the_schema_would_make_every_name_ambiguous(
    tmp_path: Path, name: str, schema: str
) -> None:
    """DuckDB calls the database as its file, and takes both for the catalog."""
    with pytest.raises(ConfigurationError, match="name the file otherwise, or another --schema"):
        open_target(parse(f"duckdb:{tmp_path / name}"), schema)
    assert [*tmp_path.iterdir()] == []
    with duckdb.connect(str(tmp_path / name)) as db:
        db.execute(f"CREATE SCHEMA {schema}")
        with pytest.raises(duckdb.BinderException, match="Ambiguous"):
            db.execute(f"CREATE TABLE {schema}.runs (run_id VARCHAR)")


SIGNALLED = """
import os, sys
from threading import Timer
from batch_screen.__main__ import main
from batch_screen.warehouse import duckdb
number, value = int(sys.argv.pop()), duckdb._value
def slow(column, table, texts):
    if column.name != "row_index":
        return value(column, table, texts)
    Timer(0.3, os.kill, (os.getpid(), number)).start()
    return "(SELECT sum(a.range * b.range) FROM range(10000000) a, range(100000) b) AS row_index"
duckdb._value = slow
main()
"""


# The torture of loads sends both, in the quick run too.
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), *[(signal.SIGINT, 130)] * IS_FULL]
)
def test_a_signal_ends_a_long_statement(
    six_nights: Path, duck: DuckDBFile, number: int, code: int
) -> None:
    command = [sys.executable, "-c", SIGNALLED, "load", six_nights, "--to", duck.to, "--sandbox"]
    done = subprocess.run(
        [*command, str(int(number))], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert duck.ask("SELECT table_name FROM duckdb_tables()") == []


class WatchedConnection:
    """A connection that notes each statement, and whether the main thread waits in it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.statements: dict[str, bool] = {}

    def execute(self, statement: str, values: list[object]) -> duckdb.DuckDBPyConnection:
        self.statements[statement] = current_thread() is main_thread()
        return self._connection.execute(statement, values)

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)


def test_no_statement_keeps_a_signal_waiting(six_nights: Path, duck: DuckDBFile) -> None:
    """In the main thread it would be heard at the end, or come as an error of the database."""
    with open_target(parse(duck.to), "batch_screen") as database:
        assert isinstance(database, target.DuckDB)
        watched = WatchedConnection(database._database)
        database._database = watched  # type: ignore[assignment]
        with opened(complete_runs(six_nights)[0]) as run:
            database.load(run, LoadOptions())
    assert {"BEGIN", "COMMIT"} <= {*watched.statements}
    assert [statement for statement, is_deaf in watched.statements.items() if is_deaf] == []


def test_a_signal_during_any_statement_is_what_ends_it(duck: DuckDBFile) -> None:
    def leave(*_: object) -> None:
        raise SystemExit(143)

    before = signal.signal(signal.SIGALRM, leave)
    try:
        with open_target(parse(duck.to), "batch_screen") as database:
            assert isinstance(database, target.DuckDB)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(SystemExit, match="143"):
                database._rows(
                    "SELECT sum(a.range * b.range) FROM range(10000000) a, range(100000) b"
                )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
