"""Loads the complete runs that a DuckDB file does not know yet, each in one transaction.

    python load_duckdb.py OUT FILE [--sandbox]

It needs `pip install duckdb`, and warehouse.sql beside it. Kept columns are loaded as text, because
one list may have them as text and the next as numbers. Runs of the sandbox need --sandbox.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import duckdb

TABLES = ("results", "lookups", "errors", "changes")


def load(db: duckdb.DuckDBPyConnection, out: Path, run: Path, digest: str) -> None:
    """Puts one run in the place of what the tables hold of it."""
    manifest, summary, schema = (
        json.loads((run / f"{name}.json").read_text("utf-8"))
        for name in ("manifest", "summary", "schema")
    )
    run_id, day = manifest["run_id"], manifest["run_date"]
    kept = [c["name"] for c in schema["tables"]["results"] if c["name"].startswith("in_")]
    quoted = ['"{}"'.format(name.replace('"', '""')) for name in kept]
    as_text = ", ".join(f"CAST({name} AS VARCHAR) AS {name}" for name in quoted)
    for name in quoted:
        db.execute(f"ALTER TABLE results ADD COLUMN IF NOT EXISTS {name} VARCHAR")
    db.begin()
    for table in TABLES:
        db.execute(f"DELETE FROM {table} WHERE run_id = ?", [run_id])
        files = [file for file in manifest["files"] if file.get("table") == table]
        if not files:  # a first run has no changes
            continue
        columns = f"* REPLACE ({as_text})" if table == "results" and kept else "*"
        [(loaded,)] = db.execute(
            f"INSERT INTO {table} BY NAME SELECT CAST(? AS DATE) AS run_date, {columns} "
            "FROM read_parquet(?, hive_partitioning = false)",
            [day, [str(out / file["path"]) for file in files]],
        ).fetchall()
        if loaded != sum(file["rows"] for file in files):
            raise SystemExit(f"{run_id}: {loaded} rows of {table} are not those of the manifest")
    db.execute("DELETE FROM runs WHERE run_id = ?", [run_id])
    db.execute(
        "INSERT INTO runs BY NAME SELECT ? AS run_id, CAST(? AS DATE) AS run_date, "
        "CAST(? AS TIMESTAMPTZ) AS ended_at, ? AS manifest_sha256",
        [run_id, day, summary["session"]["ended_at"], digest],
    )
    db.commit()
    print(f"{run_id}: loaded")


def main(out: Path, database: str, *, takes_sandbox: bool) -> None:
    """Looks for runs with the marker, and loads what is new or has been written anew."""
    with duckdb.connect(database) as db:
        db.execute(Path(__file__).with_name("warehouse.sql").read_text("utf-8"))
        known = dict(db.execute("SELECT run_id, manifest_sha256 FROM runs").fetchall())
        for marker in sorted(out.glob("runs/*/_SUCCESS")):
            run, digest = marker.parent, marker.read_text("ascii").strip()
            if hashlib.sha256((run / "manifest.json").read_bytes()).hexdigest() != digest:
                raise SystemExit(f"{run.name}: the manifest is not what the marker says")
            settings = json.loads((run / "summary.json").read_text("utf-8"))["settings"]
            if settings["api.base_url"] == "sandbox" and not takes_sandbox:
                print(f"{run.name}: answers of the sandbox, left out")
            elif known.get(run.name) != digest:
                load(db, out, run, digest)


if __name__ == "__main__":
    names = [word for word in sys.argv[1:] if word != "--sandbox"]
    main(Path(names[0]), names[1], takes_sandbox="--sandbox" in sys.argv)
