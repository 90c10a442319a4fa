"""Loads the complete runs that a PostgreSQL database does not know yet, each in one transaction.

    python load_postgres.py OUT [--sandbox]

PostgreSQL reads no Parquet: polars, which comes with batch-screen, turns each file into lines, and
psql takes them with COPY. psql learns from PGHOST, PGDATABASE, PGUSER and a password file where the
database is, never from an argument. Kept columns are loaded as text, because one list may have them
as text and the next as numbers. It needs warehouse.sql beside it. Runs of the sandbox need
--sandbox.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl

TABLES = ("results", "lookups", "errors", "changes")
# Terse, because the context of an error would show the row, with its number.
PSQL = ["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse"]
PSQL += ["-v", "SHOW_CONTEXT=never"]
OPTIONS = "-c timezone=UTC -c client_min_messages=warning"
# COPY's text format: what a cell contains can neither end its line nor the data.
ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": ""}


def psql(script: Iterator[bytes]) -> str:
    """What psql prints of the script; where an error ends it, nothing of a transaction is left."""
    environment = {**os.environ, "PGCLIENTENCODING": "UTF8", "PGOPTIONS": OPTIONS}
    process = subprocess.Popen(PSQL, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    said = b""
    if process.stdin and process.stdout:
        with contextlib.suppress(BrokenPipeError):  # psql has said why on stderr
            process.stdin.writelines(script)
            process.stdin.close()
        with process.stdout:
            said = process.stdout.read()
    if process.wait():
        raise SystemExit(f"psql ended with {process.returncode}; nothing of this run was loaded")
    return said.decode()


def name(column: str) -> str:
    """A column's name as SQL writes it."""
    return '"{}"'.format(column.replace('"', '""'))


def text(value: str) -> str:
    """A text as SQL writes it."""
    return "'{}'".format(value.replace("'", "''"))


def lines(file: Path, day: str) -> tuple[str, str]:
    """The columns of a part and its rows, as COPY reads them."""
    frame = pl.read_parquet(file, hive_partitioning=False)
    frame = frame.with_columns(pl.col("^in_.*$").cast(pl.String), run_date=pl.lit(day))
    for found, escaped in ESCAPES.items():
        frame = frame.with_columns(pl.col(pl.String).str.replace_all(found, escaped, literal=True))
    rows = frame.write_csv(
        include_header=False, separator="\t", quote_style="never", null_value="\\N"
    )
    return ", ".join(map(name, frame.columns)), rows


def statements(out: Path, run: Path, digest: str) -> Iterator[bytes]:
    """Puts one run in the place of what the tables hold of it."""
    manifest, summary, schema = (
        json.loads((run / f"{each}.json").read_text("utf-8"))
        for each in ("manifest", "summary", "schema")
    )
    run_id, day = text(manifest["run_id"]), manifest["run_date"]
    yield b"BEGIN;\n"
    for column in schema["tables"]["results"]:
        if column["name"].startswith("in_"):
            added = f"ALTER TABLE results ADD COLUMN IF NOT EXISTS {name(column['name'])} text;\n"
            yield added.encode()
    for table in TABLES:
        yield f"DELETE FROM {table} WHERE run_id = {run_id};\n".encode()
        files = [file for file in manifest["files"] if file.get("table") == table]
        for file in files:
            columns, rows = lines(out / file["path"], day)
            yield f"COPY {table} ({columns}) FROM STDIN;\n{rows}\\.\n".encode()
        expected = sum(file["rows"] for file in files)
        loaded = f"(SELECT count(*) FROM {table} WHERE run_id = {run_id})"
        claim = f"ASSERT {loaded} = {expected}, '{table}: rows are missing'"
        yield f"DO $$ BEGIN {claim}; END $$;\n".encode()
    values = ", ".join(map(text, (day, summary["session"]["ended_at"], digest)))
    yield f"DELETE FROM runs WHERE run_id = {run_id};\n".encode()
    yield b"INSERT INTO runs (run_id, run_date, ended_at, manifest_sha256) "
    yield f"VALUES ({run_id}, {values});\nCOMMIT;\n".encode()


def main(out: Path, *, takes_sandbox: bool) -> None:
    """Looks for runs with the marker, and loads what is new or has been written anew."""
    tables = Path(__file__).with_name("warehouse.sql").read_bytes()
    known = psql(iter([tables, b"SELECT run_id || ' ' || manifest_sha256 FROM runs;\n"])).split(
        "\n"
    )
    for marker in sorted(out.glob("runs/*/_SUCCESS")):
        run, digest = marker.parent, marker.read_text("ascii").strip()
        if hashlib.sha256((run / "manifest.json").read_bytes()).hexdigest() != digest:
            raise SystemExit(f"{run.name}: the manifest is not what the marker says")
        settings = json.loads((run / "summary.json").read_text("utf-8"))["settings"]
        if settings["api.base_url"] == "sandbox" and not takes_sandbox:
            print(f"{run.name}: answers of the sandbox, left out")
        elif f"{run.name} {digest}" not in known:
            psql(statements(out, run, digest))
            print(f"{run.name}: loaded")


if __name__ == "__main__":
    names = [word for word in sys.argv[1:] if word != "--sandbox"]
    main(Path(names[0]), takes_sandbox="--sandbox" in sys.argv)
