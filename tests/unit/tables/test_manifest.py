from __future__ import annotations

import hashlib
import json
import os
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import polars as pl
import pytest

from batch_screen.config.sections import Output
from batch_screen.errors import OutputError
from batch_screen.runs.layout import DATA_FOLDERS, RESULTS, TABLES, Layout, layout_of_run
from batch_screen.schema import SCHEMA_VERSION, Column, results
from batch_screen.storage import atomic
from batch_screen.tables.manifest import (
    ManifestHead,
    completing,
    describe,
    is_whole,
    list_files,
    write_manifest,
    write_marker,
    write_schema,
)
from batch_screen.tables.results import enrich

from .frames import outcomes_of, rows_of

RUN, DAY = "20261123-c0ffee0000", "2026-11-23"
HEAD = ManifestHead(schema_version=SCHEMA_VERSION, run_id=RUN, run_date=DAY, shards=2)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A run's output but for what the manifest module writes."""
    layout = Layout(tmp_path, RUN, DAY)
    atomic.make_folder(layout.run)
    for table in TABLES:
        for part in (0, 1):
            frame = enrich(rows_of(range(3 + part)), outcomes_of([]), RUN)
            layout.write_part(table, part, frame, Output())
    for path in (layout.summary, layout.errors_csv, layout.pace, layout.html):
        atomic.write_atomically(path, path.name.encode())
    return layout


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_bytes())
    return content


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_manifest_has_every_file_with_its_digest_rows_and_bytes(layout: Layout) -> None:
    write_schema(layout, {})
    write_manifest(layout, list_files(layout), HEAD)
    manifest = read(layout.manifest)
    assert (manifest["run_id"], manifest["run_date"]) == (RUN, DAY)
    assert (manifest["schema_version"], manifest["shards"]) == (SCHEMA_VERSION, 2)
    entries = {entry["path"]: entry for entry in manifest["files"]}
    on_disk = {p.relative_to(layout.folder).as_posix(): p for p in layout.folder.rglob("*.*")}
    on_disk = {name: p for name, p in on_disk.items() if p.is_file() and p != layout.manifest}
    assert set(entries) == set(on_disk)
    for name, path in on_disk.items():
        assert entries[name]["sha256"] == digest(path)
        assert entries[name]["bytes"] == path.stat().st_size
    rows = {e["path"][-13:]: e["rows"] for e in manifest["files"] if e.get("table") == RESULTS}
    assert rows == {"00000.parquet": 3, "00001.parquet": 4}


def test_the_marker_holds_the_manifests_digest_and_latest_points_to_it(layout: Layout) -> None:
    write_schema(layout, {})
    write_manifest(layout, list_files(layout), HEAD)
    write_marker(layout)
    assert layout.marker.read_text() == f"{digest(layout.manifest)}\n"
    assert read(layout.latest) == {
        "run_id": RUN,
        "run_date": DAY,
        "manifest": f"runs/{RUN}/manifest.json",
        "manifest_sha256": digest(layout.manifest),
    }


def test_latest_moves_on_to_the_next_run(layout: Layout) -> None:
    write_schema(layout, {})
    write_manifest(layout, list_files(layout), HEAD)
    write_marker(layout)
    atomic.write_atomically(layout.manifest, b"{}")
    write_marker(layout)
    assert read(layout.latest)["manifest_sha256"] == digest(layout.manifest)


def test_there_is_no_manifest_without_all_its_files(layout: Layout) -> None:
    with pytest.raises(OutputError, match=r"schema\.json"):
        write_manifest(layout, list_files(layout), HEAD)
    assert not layout.manifest.exists()
    with pytest.raises(FileNotFoundError):
        write_marker(layout)
    assert not layout.marker.exists()


def test_the_schema_describes_every_column_in_its_order(layout: Layout) -> None:
    kept: dict[str, pl.DataType] = {"in_id": pl.Int64(), "in_day": pl.Date()}
    write_schema(layout, kept)
    tables = read(layout.schema)["tables"]
    assert list(tables) == list(DATA_FOLDERS)
    described = [(c["name"], c["required"]) for c in tables[RESULTS]]
    assert described == [(c.name, c.required) for c in results(kept)]
    assert {c["type"] for table in tables.values() for c in table} == {
        "String",
        "Boolean",
        "Int32",
        "Int64",
        "Float64",
        "Date",
        "Datetime(time_unit='us', time_zone='UTC')",
    }
    assert all(c["meaning"] for table in tables.values() for c in table)


def test_whole_is_what_the_manifest_names(layout: Layout) -> None:
    assert not is_whole(layout)
    write_schema(layout, {})
    write_manifest(layout, list_files(layout), HEAD)
    assert not is_whole(layout)
    write_marker(layout)
    assert is_whole(layout)
    part = layout.parts(RESULTS)[0]
    content = part.read_bytes()
    part.write_bytes(content[:-1])
    assert not is_whole(layout)
    part.unlink()
    assert not is_whole(layout)
    part.write_bytes(content)
    assert is_whole(layout)
    layout.manifest.write_bytes(b"[]")
    assert not is_whole(layout)


def completed(layout: Layout) -> datetime:
    with completing(layout) as now:
        head = msgspec.structs.replace(HEAD, run_id=layout.run_id, completed_at=now)
        write_manifest(layout, [], head)
        write_marker(layout)
    return now


def another(layout: Layout, run_id: str) -> Layout:
    other = layout_of_run(layout.folder, run_id)
    atomic.make_folder(other.run)
    atomic.write_atomically(other.html, b"")
    return other


def test_runs_are_completed_one_after_the_other(layout: Layout) -> None:
    """Else the marker of the one with the earlier time might appear after the other's."""
    times: list[datetime] = []
    other = another(layout, "20261124-c0ffee0000")
    thread = Thread(target=lambda: times.append(completed(other)))
    with ExitStack() as stack:
        now = stack.enter_context(completing(layout))
        thread.start()
        thread.join(0.1)
        assert not other.marker.exists()
    thread.join()
    assert times > [now]


def test_a_clock_that_was_set_back_completes_no_run_before_another(layout: Layout) -> None:
    first = completed(layout)
    ahead = first + timedelta(hours=1)
    manifest = json.loads(layout.manifest.read_bytes()) | {"completed_at": ahead.isoformat()}
    layout.manifest.write_text(json.dumps(manifest))
    os.utime(layout.marker, (ahead.timestamp(), ahead.timestamp()))
    other = another(layout, "20261124-c0ffee0000")
    assert completed(other) == ahead + timedelta(microseconds=1)
    assert first < datetime.now(UTC) < ahead


def test_a_kept_column_named_by_a_number_is_masked_in_the_schema() -> None:
    said = str(describe(Column("in_+4915112345678", pl.String, "kept")))
    assert "4915112345678" not in said
    assert "in_+4915" in said
