"""Files beside a run's tables: schema, manifest, latest.json, marker.

Written in that order, each whole: a reader that sees the marker sees everything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import polars as pl

from batch_screen.config.sections import Mode
from batch_screen.errors import OutputError
from batch_screen.masking import mask_text
from batch_screen.model import Erasure, Instant
from batch_screen.runs.layout import (
    CHANGES,
    DATA_FOLDERS,
    ERRORS,
    LOOKUPS,
    RESULTS,
    Layout,
    layout_of_run,
)
from batch_screen.runs.state import BASE_URL, SANDBOX, id_key_of, limit_of
from batch_screen.schema import CHANGES as CHANGE_COLUMNS
from batch_screen.schema import ERRORS as ERROR_COLUMNS
from batch_screen.schema import KEPT_PREFIX, SCHEMA_VERSION, Column, keyed_by, of_version, results
from batch_screen.schema import LOOKUPS as LOOKUP_COLUMNS
from batch_screen.storage.atomic import sha256_of, translated, write_atomically
from batch_screen.storage.lock import in_turn
from batch_screen.storage.parquet import metadata_of
from batch_screen.storage.prefetch import ordered_map
from batch_screen.storage.reading import MOST_BYTES, read_json
from batch_screen.tables.summary import Summary, read_summary

_LAST_YEAR = 9998
"""Behind the next one no time can be told, so nothing is later than that."""
_ID_CHARACTERS = len("20261123-0123456789")


class ListedFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file in the manifest; ``table`` and ``rows`` only for Parquet parts."""

    path: str
    bytes: int
    sha256: str
    table: str | None = None
    rows: int | None = None


class AskedApi(msgspec.Struct, frozen=True):
    """The server that was asked: its host, ``sandbox`` for the sandbox's, and its contract."""

    host: str
    dialect: str


class RunCounts(msgspec.Struct, frozen=True):
    """A run's size: rows of the input, and lookups."""

    rows_read: int
    rows_accepted: int
    rows_rejected: int
    lookups: int
    failed: int


class ManifestHead(msgspec.Struct, frozen=True, kw_only=True):
    """manifest.json but for its files: what a loader wants to know of a run.

    ``shards`` is how many there are: a number's digits, or its id's, say in which it lies. ``mode``
    says who may read the files. ``supersedes`` are the runs whose place it takes; ``inputs`` the
    SHA-256 of the input files, of a retry those of the run it retries; ``limit`` how many numbers
    it took at most, 0: all. ``id_key`` names the key whose ids stand for numbers, None: numbers are
    plain. ``erased`` are the erasures of people since it was complete. Of runs of
    schema version 4 ``mode``, and all from ``started_at`` on, are these defaults.
    """

    schema_version: int
    run_id: str
    run_date: str
    shards: int = 0
    mode: str = Mode.PRIVATE
    supersedes: Sequence[str] = ()
    started_at: Instant | None = None
    completed_at: Instant | None = None
    version: str = ""
    sandbox: bool = False
    api: AskedApi | None = None
    since_run_id: str | None = None
    inputs: Sequence[str] = ()
    limit: int = 0
    kept_columns: Sequence[str] = ()
    counts: RunCounts | None = None
    id_key: str | None = None
    erased: Sequence[Erasure] = ()


class Manifest(ManifestHead, frozen=True, kw_only=True):
    """manifest.json: the run, and every file of it."""

    files: Sequence[ListedFile]


def head_of(summary: Summary, schema_version: int = SCHEMA_VERSION) -> ManifestHead:
    """What the summary of a complete run says of its manifest's head."""
    base_url, rows = str(summary.settings.get(BASE_URL, "")), summary.rows
    return ManifestHead(
        schema_version=schema_version,
        run_id=summary.run_id,
        run_date=summary.run_date,
        supersedes=summary.supersedes,
        version=summary.version,
        sandbox=base_url == SANDBOX,
        api=AskedApi(
            urlsplit(base_url).netloc or base_url, str(summary.settings.get("api.dialect"))
        ),
        since_run_id=summary.changes.since_run if summary.changes else None,
        limit=limit_of(summary.settings),
        counts=RunCounts(rows.read, rows.accepted, rows.rejected, summary.lookups, summary.failed),
        id_key=id_key_of(summary.settings),
        erased=summary.erased,
    )


def read_manifest(layout: Layout, folder: Path | None = None) -> Manifest | None:
    """The run's manifest, or None if it cannot be read; ``folder`` is another than its own."""
    path = layout.manifest if folder is None else folder / layout.manifest.name
    try:
        return read_json(path, Manifest)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return None


def read_facts(layout: Layout) -> Manifest | None:
    """The run's manifest, or None if it cannot be read.

    What that of schema version 4 lacks comes from the summary, but for the inputs.
    """
    manifest = read_manifest(layout)
    if manifest is None or manifest.completed_at is not None:
        return manifest
    try:
        summary = read_summary(layout.summary)
        described = read_json(layout.schema, dict)["tables"][RESULTS]
        kept = [c["name"] for c in described if str(c["name"]).startswith(KEPT_PREFIX)]
    except (OutputError, OSError, ValueError, LookupError, TypeError):
        return None
    found = head_of(summary)
    return msgspec.structs.replace(
        manifest,
        started_at=min(each.started_at for each in (*summary.starts, summary.session)),
        completed_at=summary.session.ended_at,
        version=found.version,
        sandbox=found.sandbox,
        api=found.api,
        since_run_id=found.since_run_id,
        limit=found.limit,
        kept_columns=kept,
        counts=found.counts,
    )


def rows_of(manifest: Manifest) -> dict[str, int]:
    """How many rows each table has of the run."""
    rows = dict.fromkeys(DATA_FOLDERS, 0)
    for file in manifest.files:
        if file.table in rows:
            rows[file.table] += file.rows or 0
    return rows


class RunIds(msgspec.Struct, frozen=True):
    """The key of a run's ids, None: its numbers are plain."""

    run_id: str
    id_key: str | None = None


def id_key_in(folder: Path) -> RunIds | None:
    """What the latest complete run of an output folder has for numbers; None: there is none.

    All are alike, for a start of another kind is refused.
    """
    for marker in sorted((folder / "runs").glob("*/_SUCCESS"), reverse=True):
        with suppress(OSError, ValueError):  # a damaged one says nothing
            return read_json(marker.with_name("manifest.json"), RunIds)
    return None


def list_key(manifest: Manifest) -> tuple[str, ...]:
    """What runs over the same list, limit and server have in common, and no others.

    Version 4 does not name the inputs; an id but for its serial follows from them.
    """
    api = f"{manifest.api.host} {manifest.api.dialect}" if manifest.api else None
    inputs = sorted(manifest.inputs) or [manifest.run_id[:_ID_CHARACTERS]]
    return (*inputs, str(manifest.limit), str(api))


def table_columns(
    of_results: Mapping[str, pl.DataType],
    version: int = SCHEMA_VERSION,
    id_key: str | None = None,
) -> dict[str, tuple[Column, ...]]:
    """The columns of each table; those of results are given, as some are kept from the input."""
    kept = {name: dtype for name, dtype in of_results.items() if name.startswith(KEPT_PREFIX)}
    tables = {
        RESULTS: results(kept),
        LOOKUPS: LOOKUP_COLUMNS,
        ERRORS: ERROR_COLUMNS,
        CHANGES: CHANGE_COLUMNS,
    }
    keyed = {table: keyed_by(columns, id_key) for table, columns in tables.items()}
    return {table: of_version(columns, version) for table, columns in keyed.items()}


def write_schema(
    layout: Layout, of_results: Mapping[str, pl.DataType], id_key: str | None = None
) -> None:
    """Writes schema.json: every table's columns in order, with type and meaning."""
    tables = table_columns(of_results, id_key=id_key)
    described = {table: [describe(c) for c in columns] for table, columns in tables.items()}
    content = {"schema_version": SCHEMA_VERSION, "tables": described}
    write_atomically(layout.schema, _json(content), mode=layout.file_mode)


def list_files(layout: Layout) -> list[ListedFile]:
    """Manifest entries for all files written so far, except the report."""
    parts = [(path, table) for table in DATA_FOLDERS for path in layout.parts(table)]
    others = [(path, None) for path in layout.reports if path != layout.html]
    # In threads, for hashing releases the lock of Python.
    with ordered_map(lambda each: listed_file(layout, *each), [*parts, *others]) as listed:
        return list(listed)


def kept_names(columns: Iterable[str]) -> list[str]:
    """The kept ones of these columns as a manifest names them: a header may be a number.

    >>> kept_names(["in_city", "in_+4915112345678", "e164"])
    ['in_city', 'in_+4915•••••••78']
    """
    return [mask_text(name) for name in columns if name.startswith(KEPT_PREFIX)]


def write_manifest(layout: Layout, listed: Sequence[ListedFile], head: ManifestHead) -> None:
    """Writes manifest.json with these files and the report."""
    files = [*listed, listed_file(layout, layout.html, None)]
    manifest = Manifest(**msgspec.structs.asdict(head), files=files)
    content = _json(msgspec.to_builtins(manifest))
    write_atomically(layout.manifest, content, mode=layout.file_mode)


def is_whole(layout: Layout) -> bool:
    """Whether the run is marked complete and every file of its manifest has the right size."""
    if not layout.is_marked:
        return False
    try:
        entries = read_json(layout.manifest, dict)["files"]
        sizes = {layout.folder / entry["path"]: entry["bytes"] for entry in entries}
        return all(path.stat().st_size == size for path, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


@contextmanager
def completing(layout: Layout) -> Iterator[datetime]:
    """The time of a run's completion, whose marker is written before the block ends.

    Runs of a folder complete one after the other, so that who has seen one has seen all that were
    completed before it. No clock that was set back changes that.
    """
    with in_turn(layout.run.parent):
        now = datetime.now(UTC)
        markers = layout.run.parent.glob("*/_SUCCESS")
        later = [path.parent.name for path in markers if _modified(path) >= now.timestamp()]
        ends = [m.completed_at for r in later if (m := read_facts(layout_of_run(layout.folder, r)))]
        last = max((end for end in ends if end and end.year <= _LAST_YEAR), default=now)
        yield max(now, last + timedelta(microseconds=1))


def _modified(path: Path) -> float:
    with suppress(FileNotFoundError):  # purge removed it
        return path.stat().st_mtime
    return 0.0


def write_marker(layout: Layout) -> None:
    """Writes latest.json, then _SUCCESS with the manifest's digest, each atomically.

    In this order a crash between the two is fixed by the next start; after the marker no
    start would write latest.json again.
    """
    digest = sha256_of(layout.manifest, MOST_BYTES)
    write_atomically(layout.latest, latest_content(layout, digest), mode=layout.file_mode)
    write_atomically(layout.marker, marker_content(digest), mode=layout.file_mode)


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
        "name": mask_text(column.name),  # a kept one is foreign text
        "type": str(column.dtype() if isinstance(column.dtype, type) else column.dtype),
        "required": column.required,
        "meaning": column.meaning,
    }


def listed_file(layout: Layout, path: Path, table: str | None) -> ListedFile:
    """The manifest's entry of a file, which is hashed."""
    with translated("read", path):
        size, digest = path.stat().st_size, sha256_of(path)
        rows = None if table is None else metadata_of(path).num_rows
    return ListedFile(layout.named(path), size, digest, table, rows)


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"
