"""A complete run as its own files tell of it, opened for a comparison once its digests are checked.

A file whose digest is wrong is not read: what is in it is nobody's word, and a damaged page may
end the process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from batch_screen.config.cohorts import Cohorts
from batch_screen.output.feed import Told
from batch_screen.output.parts import Layout
from batch_screen.output.reread import DamagedPartError
from batch_screen.output.sides import Side
from batch_screen.output.summary import COMPLETE, Summary
from batch_screen.output.validate import (
    Manifest,
    files_check,
    marker_check,
    own_files,
    read_manifest,
)
from batch_screen.schema import SCHEMA_VERSION

BASE_URL = "api.base_url"
_COHORTS = "cohorts."


class UnusableRunError(Exception):
    """A run is not complete, not whole or not readable; its message says which."""


class Recorded(NamedTuple):
    """What a complete run's summary says of it."""

    layout: Layout
    told: Told
    base_url: str
    ended_at: datetime
    bounds: Cohorts


class _Rows(msgspec.Struct):
    unique_numbers: int


class _Session(msgspec.Struct):
    ended_at: datetime


class _Summary(msgspec.Struct):
    """The part of summary.json that a comparison needs, whatever else is in it."""

    run_id: str
    run_date: str
    status: str
    rows: _Rows
    endpoints: dict[str, msgspec.Raw]
    settings: dict[str, Any]
    session: _Session


def recorded(layout: Layout) -> Recorded:
    """The run whose marker is there. Raises ``UnusableRunError``."""
    if not layout.marker.exists():
        raise UnusableRunError("it is not complete")
    try:
        summary = msgspec.json.decode(layout.summary.read_bytes(), type=_Summary)
        settings = summary.settings
        own = {k.removeprefix(_COHORTS): v for k, v in settings.items() if k.startswith(_COHORTS)}
        bounds = Cohorts(**own)
    except (OSError, ValueError) as error:  # msgspec's and pydantic's errors are ValueErrors
        raise UnusableRunError("its summary.json cannot be read") from error
    if (summary.run_id, summary.status) != (layout.run_id, COMPLETE):
        raise UnusableRunError("its summary.json is not that of a complete run")
    base_url = str(settings.get(BASE_URL, ""))
    return Recorded(layout, told_by(summary), base_url, summary.session.ended_at, bounds)


def told_by(summary: _Summary | Summary) -> Told:
    """What the run of this summary says of itself."""
    return Told(
        summary.run_id, summary.run_date, summary.rows.unique_numbers, tuple(summary.endpoints)
    )


def opened(layout: Layout, tables: Sequence[str]) -> tuple[Side, str]:
    """The run's shards and the digest of these tables, whose files are what was written.

    Raises ``UnusableRunError``.
    """
    manifest = _manifest(layout)
    listed = [file for file in own_files(layout, manifest) if file.table in tables]
    found, _ = files_check(layout, listed, lambda: None)
    for difference in found.differences:
        raise UnusableRunError(f"{difference.where}: {difference.what}")
    digest = hashlib.sha256("".join(f"{f.path} {f.sha256}\n" for f in listed).encode())
    try:
        return Side(layout, manifest.shards), digest.hexdigest()
    except DamagedPartError as error:
        raise UnusableRunError(str(error)) from error


def _manifest(layout: Layout) -> Manifest:
    manifest = read_manifest(layout)
    for difference in marker_check(layout).differences:
        raise UnusableRunError(f"{difference.where}: {difference.what}")
    if manifest is None or not manifest.shards:
        raise UnusableRunError("its manifest.json cannot be read")
    if manifest.schema_version != SCHEMA_VERSION:
        raise UnusableRunError(
            f"it has schema version {manifest.schema_version}, {SCHEMA_VERSION} can be compared"
        )
    return manifest
