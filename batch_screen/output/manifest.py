"""What a finished run leaves beside its data: schema, manifest, latest.json, marker.

Written in that order, each whole: a reader that sees the marker sees everything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from batch_screen.files import sha256_of, translated, write_whole
from batch_screen.output.parts import CHANGES, DATA_FOLDERS, ERRORS, LOOKUPS, RESULTS, Layout
from batch_screen.schema import CHANGES as CHANGE_COLUMNS
from batch_screen.schema import ERRORS as ERROR_COLUMNS
from batch_screen.schema import LOOKUPS as LOOKUP_COLUMNS
from batch_screen.schema import SCHEMA_VERSION, Column, results


def write_schema(layout: Layout, kept: Mapping[str, pl.DataType]) -> None:
    """schema.json: every table's columns in their order, with type and meaning."""
    tables = {
        RESULTS: results(kept),
        LOOKUPS: LOOKUP_COLUMNS,
        ERRORS: ERROR_COLUMNS,
        CHANGES: CHANGE_COLUMNS,
    }
    described = {table: [describe(c) for c in columns] for table, columns in tables.items()}
    _write_json(layout.schema, {"schema_version": SCHEMA_VERSION, "tables": described})


def write_manifest(layout: Layout, shards: int) -> None:
    """manifest.json: every file of the run with its rows, bytes and SHA-256.

    ``shards`` is by how many the rows were dealt out: a number's digits say in which it lies.
    """
    data = [
        _entry(layout.folder, path, table) for table in DATA_FOLDERS for path in layout.parts(table)
    ]
    files = data + [_entry(layout.folder, path, None) for path in layout.reports]
    content = {
        "schema_version": SCHEMA_VERSION,
        "run_id": layout.run_id,
        "run_date": layout.run_date,
        "shards": shards,
        "files": files,
    }
    _write_json(layout.manifest, content)


def is_whole(layout: Layout) -> bool:
    """Whether the run was marked complete and every file of its manifest is still there."""
    if not layout.marker.exists():
        return False
    try:
        entries = json.loads(layout.manifest.read_bytes())["files"]
        sizes = {layout.folder / entry["path"]: entry["bytes"] for entry in entries}
        return all(path.stat().st_size == size for path, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_marker(layout: Layout) -> None:
    """latest.json, replaced atomically, and last of all _SUCCESS with the manifest's digest.

    In this order a crash between the two is mended by the next start; after the marker no
    start would write latest.json again.
    """
    digest = sha256_of(layout.manifest)
    write_whole(layout.latest, latest_content(layout, digest))
    write_whole(layout.marker, marker_content(digest))


def latest_content(layout: Layout, digest: str) -> bytes:
    """latest.json for a run whose manifest has this SHA-256."""
    latest = {
        "run_id": layout.run_id,
        "run_date": layout.run_date,
        "manifest": str(layout.manifest.relative_to(layout.folder)),
        "manifest_sha256": digest,
    }
    return _json(latest)


def marker_content(digest: str) -> bytes:
    """_SUCCESS for a run whose manifest has this SHA-256."""
    return f"{digest}\n".encode()


def describe(column: Column) -> dict[str, Any]:
    """The column as schema.json has it."""
    # Nullability never varies between files, so "required" is a promise about content only.
    return {
        "name": column.name,
        "type": str(column.dtype() if isinstance(column.dtype, type) else column.dtype),
        "required": column.required,
        "meaning": column.meaning,
    }


def _entry(folder: Path, path: Path, table: str | None) -> dict[str, Any]:
    with translated("read", path):
        entry: dict[str, Any] = {
            "path": str(path.relative_to(folder)),
            "bytes": path.stat().st_size,
            "sha256": sha256_of(path),
        }
        if table is not None:
            entry |= {"table": table, "rows": pq.read_metadata(path).num_rows}
    return entry


def _write_json(path: Path, content: Mapping[str, Any] | Sequence[Any]) -> None:
    write_whole(path, _json(content))


def _json(content: Mapping[str, Any] | Sequence[Any]) -> bytes:
    return json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"
