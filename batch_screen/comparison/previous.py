"""Which run a run's changes are counted from: decided once, and kept in the run's state.

The output folder goes on changing, so whoever decided again when a report is written again could
take another run. What was decided names the earlier run's lookups by their digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from batch_screen.comparison.feed import ChangeFeed, RunFacts, RunTables, feed_of, shared_endpoints
from batch_screen.config.screening import Cohorts
from batch_screen.config.sections import Output
from batch_screen.errors import OutputError
from batch_screen.runs.events import RunEvents
from batch_screen.runs.layout import CHANGES, LOOKUPS, Layout, ShardOf, is_run_id, layout_of_run
from batch_screen.schema import SCHEMA_VERSION
from batch_screen.storage.records import read_record, write_record
from batch_screen.tables.integrity import (
    Manifest,
    files_check,
    marker_check,
    own_files,
    read_manifest,
)
from batch_screen.tables.reader import DamagedPartError
from batch_screen.tables.summary import COMPLETE, Changes, Summary, read_summary

# A complete run as its own files tell of it, opened for a comparison once its digests are checked.
#
# A file whose digest is wrong is not read: what is in it is nobody's word, and a damaged page may
# end the process.

BASE_URL = "api.base_url"
_COHORTS = "cohorts."


class UnusableRunError(Exception):
    """A run is not complete, not whole or not readable; its message says which."""


class CompleteRun(NamedTuple):
    """What a complete run's summary says of it."""

    layout: Layout
    told: RunFacts
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


def recorded(layout: Layout) -> CompleteRun:
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
    return CompleteRun(layout, told_by(summary), base_url, summary.session.ended_at, bounds)


def told_by(summary: _Summary | Summary) -> RunFacts:
    """What the run of this summary says of itself."""
    return RunFacts(
        summary.run_id, summary.run_date, summary.rows.unique_numbers, tuple(summary.endpoints)
    )


def opened(layout: Layout, tables: Sequence[str]) -> tuple[RunTables, str]:
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
        return RunTables(layout, manifest.shards), digest.hexdigest()
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


FIRST_RUN = ""


class Previous(msgspec.Struct, frozen=True):
    """The earlier run, ``FIRST_RUN`` where there was none, and the digest of its lookups.

    ``unusable`` says why it could not be compared with when that was decided.
    """

    run_id: str = FIRST_RUN
    lookups_sha256: str = ""
    unusable: str = ""


def previous_run(record: Path, layout: Layout, told: RunFacts, base_url: str) -> Previous:
    """What the file ``record`` says, or else what is decided now and written there."""
    if record.exists():
        return read_record(record, Previous)
    decided = _decide(layout, told, base_url)
    write_record(record, decided)
    return decided


def open_previous(layout: Layout, previous: Previous) -> tuple[RunFacts, RunTables]:
    """The previous run's lookups, if they are what they were. Raises ``UnusableRunError``."""
    earlier = layout_of_run(layout.folder, previous.run_id)
    if previous.unusable:
        raise UnusableRunError(previous.unusable)
    told = recorded(earlier).told
    side, digest = opened(earlier, [LOOKUPS])
    if digest != previous.lookups_sha256:
        raise UnusableRunError("it has been written anew since, with other lookups")
    return told, side


def summary_before(layout: Layout, summary: Summary) -> Summary | None:
    """The summary of the latest complete run that had ended when this one ended; None: no such run.

    What cannot be read is passed over: it is another run's, and ``validate`` tells of it.
    """
    base_url = str(summary.settings.get(BASE_URL, ""))
    latest = _latest(layout, told_by(summary), base_url, summary.session.ended_at)
    try:
        return read_summary(latest.layout.summary) if latest else None
    except OutputError:
        return None


def _decide(layout: Layout, told: RunFacts, base_url: str) -> Previous:
    latest = _latest(layout, told, base_url)
    if latest is None:
        return Previous()
    run_id = latest.told.run_id
    try:
        _, digest = opened(latest.layout, [LOOKUPS])
    except UnusableRunError as error:
        return Previous(run_id, unusable=str(error))
    return Previous(run_id, digest)


def _latest(
    layout: Layout, told: RunFacts, base_url: str, by: datetime | None = None
) -> CompleteRun | None:
    """The complete run with the latest date, then the latest end, that can be compared with.

    ``by``: it had ended by then.
    """
    for _, run_ids in groupby(_older_runs(layout), key=_date):
        runs = [r for r in map(_recorded, (layout_of_run(layout.folder, n) for n in run_ids)) if r]
        fitting = [
            run
            for run in runs
            if run.base_url == base_url
            and {*run.told.endpoints} & {*told.endpoints}
            and (by is None or run.ended_at <= by)
        ]
        if fitting:
            return max(fitting, key=lambda run: (run.ended_at, run.told.run_id))
    return None


def _recorded(layout: Layout) -> CompleteRun | None:
    try:
        return recorded(layout)
    except UnusableRunError:  # what it asked, and of whom, cannot be known
        return None


def _older_runs(layout: Layout) -> Iterator[str]:
    """Other runs of this date or an earlier one, the latest date first."""
    names = {path.name for path in (layout.folder / "runs").glob("*") if is_run_id(path.name)}
    for name in sorted(names - {layout.run_id}, reverse=True):
        if _date(name) <= _date(layout.run_id):
            yield name


def _date(run_id: str) -> str:
    return run_id[:8]


# Writes a run's table of changes since the previous complete run of its output folder.


class CurrentRun(NamedTuple):
    """A run whose results and lookups are written, in ``parts`` that hold its ``shards``."""

    layout: Layout
    told: RunFacts
    base_url: str
    shards: int
    parts: int
    record: Path
    """The file of its state that says which run is the previous one."""


def write_changes(
    tonight: CurrentRun, bounds: Cohorts, output: Output, shard_of: ShardOf, watch: RunEvents
) -> Changes | None:
    """The table of changes and its figures; None, and no table, where there is no earlier run.

    An earlier run that cannot be read any more is no failure of this one: a note says so. Raises
    ``Stopped`` between two shards if the watcher wants that.
    """
    previous = previous_run(tonight.record, tonight.layout, tonight.told, tonight.base_url)
    if previous.run_id == FIRST_RUN:
        return None
    try:
        told, side = open_previous(tonight.layout, previous)
        later = (tonight.told, RunTables(tonight.layout, tonight.shards))
        watch.progress.stage("comparing", total=tonight.shards)
        with feed_of(
            (told, side),
            later,
            bounds,
            shard_of=shard_of,
            scratch=tonight.layout.run,
            on_shard=watch.advance,
        ) as feed:
            for part in range(tonight.parts):
                _write_part(tonight, part, feed, output)
    except (UnusableRunError, DamagedPartError) as error:
        watch.progress.note(
            f"no changes are told: the previous run {previous.run_id} cannot be compared with, "
            f"for {error}"
        )
        return None
    if left_out := shared_endpoints(told, tonight.told)[1]:
        watch.progress.note(
            f"changes since run {told.run_id} leave out what only one of the two runs asked: "
            f"{', '.join(left_out)}"
        )
    return feed.changes


def _write_part(tonight: CurrentRun, part: int, feed: ChangeFeed, output: Output) -> None:
    """The part that holds the changes of the same shards as that part of the other tables."""
    layout, shards = tonight.layout, range(part, tonight.shards, tonight.parts)
    if len(shards) == 1:
        frame = feed.shard(part)
        if part == 0 or frame.height:
            layout.write_part(CHANGES, part, frame, output)
        return
    with layout.growing_part(CHANGES, part, tonight.shards, output) as growing:
        for shard in shards:
            growing.add(feed.shard(shard))
