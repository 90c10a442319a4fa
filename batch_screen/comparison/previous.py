"""The previous run that changes are counted from: chosen once, then kept in the run's state.

The output folder goes on changing, so a report that is written again must not decide again: it
could take another run. The decision names the earlier run's lookups by their digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl

from batch_screen.comparison.feed import RunFacts, RunTables, feed_of, shared_endpoints
from batch_screen.config.screening import Cohorts
from batch_screen.config.sections import Output
from batch_screen.errors import OutputError
from batch_screen.model import Instant
from batch_screen.runs.events import RunEvents
from batch_screen.runs.layout import CHANGES, LOOKUPS, Layout, is_run_id, layout_of_run
from batch_screen.runs.state import BASE_URL, id_key_of, limit_of
from batch_screen.schema import CHANGES as CHANGE_COLUMNS
from batch_screen.schema import READ_VERSIONS, dtypes
from batch_screen.storage.reading import read_json
from batch_screen.storage.records import read_record, write_record
from batch_screen.tables.coverage import Changes
from batch_screen.tables.integrity import files_check, marker_check, own_files
from batch_screen.tables.manifest import ListedFile, read_manifest
from batch_screen.tables.reader import DamagedPartError
from batch_screen.tables.summary import COMPLETE, Summary, read_summary

# A complete run as its own files describe it, opened for a comparison once its digests are checked.
#
# A file with a wrong digest is not read: its content cannot be trusted, and a damaged page may end
# the process.

_COHORTS = "cohorts."
_READ = " and ".join(map(str, READ_VERSIONS))


class UnusableRunError(Exception):
    """A run that is incomplete, damaged or unreadable; the message says which."""


class CompleteRun(NamedTuple):
    """A complete run, by its summary.

    ``supersedes`` are the runs whose place it takes; ``since_run`` is the one that its changes are
    counted from, if there is one.
    """

    layout: Layout
    facts: RunFacts
    base_url: str
    ended_at: Instant
    bounds: Cohorts
    supersedes: Sequence[str] = ()
    since_run: str = ""


class _Rows(msgspec.Struct):
    unique_numbers: int


class _SessionEnd(msgspec.Struct):
    ended_at: Instant


class _Since(msgspec.Struct):
    since_run: str


class _Summary(msgspec.Struct):
    """The fields of summary.json that a comparison reads; others are ignored."""

    run_id: str
    run_date: str
    status: str
    rows: _Rows
    endpoints: dict[str, msgspec.Raw]
    settings: dict[str, Any]
    session: _SessionEnd
    changes: _Since | None = None
    supersedes: list[str] = []


def recorded(layout: Layout) -> CompleteRun:
    """The complete run in this place. Raises ``UnusableRunError``."""
    if not layout.is_marked:
        raise UnusableRunError("it is not complete")
    try:
        summary = read_json(layout.summary, _Summary)
        settings = summary.settings
        own = {k.removeprefix(_COHORTS): v for k, v in settings.items() if k.startswith(_COHORTS)}
        bounds = Cohorts(**own)
    except (OSError, ValueError) as error:  # msgspec's and pydantic's errors are ValueErrors
        raise UnusableRunError("its summary.json cannot be read") from error
    if (summary.run_id, summary.status) != (layout.run_id, COMPLETE):
        raise UnusableRunError("its summary.json is not that of a complete run")
    # Answers of a sandbox or of another environment are no news of a number.
    base_url = str(settings.get(BASE_URL, ""))
    since_run = summary.changes.since_run if summary.changes else ""
    ended_at = summary.session.ended_at
    return CompleteRun(
        layout, _facts(summary), base_url, ended_at, bounds, summary.supersedes, since_run
    )


def _facts(summary: _Summary | Summary) -> RunFacts:
    return RunFacts(
        summary.run_id,
        summary.run_date,
        summary.rows.unique_numbers,
        tuple(summary.endpoints),
        limit_of(summary.settings),
        id_key_of(summary.settings),
    )


def opened(run: CompleteRun, tables: Sequence[str]) -> tuple[RunTables, str]:
    """The run's tables, and a digest of the named ones, whose files are verified.

    Raises ``UnusableRunError``.
    """
    manifest = read_manifest(run.layout)
    for difference in marker_check(run.layout).differences:
        raise UnusableRunError(f"{difference.where}: {difference.what}")
    if manifest is None or not manifest.shards:
        raise UnusableRunError("its manifest.json cannot be read")
    if manifest.schema_version not in READ_VERSIONS:
        raise UnusableRunError(
            f"it has schema version {manifest.schema_version}, {_READ} can be compared"
        )
    # Only what is compared is hashed: the other tables are not opened.
    listed = [file for file in own_files(run.layout, manifest) if file.table in tables]
    found, _ = files_check(run.layout, listed, lambda: None)
    for difference in found.differences:
        raise UnusableRunError(f"{difference.where}: {difference.what}")
    try:
        return RunTables(run.facts, run.layout, manifest.shards), digest_of(listed)
    except DamagedPartError as error:
        raise UnusableRunError(str(error)) from error


def digest_of(listed: Sequence[ListedFile]) -> str:
    """A digest of these files' names and content."""
    content = "".join(f"{file.path} {file.sha256}\n" for file in listed)
    return hashlib.sha256(content.encode()).hexdigest()


FIRST_RUN = ""


class Previous(msgspec.Struct, frozen=True):
    """The previous run, or ``FIRST_RUN``, and the digest of its lookups.

    ``unusable`` says why it could not be compared with when that was decided.
    """

    run_id: str = FIRST_RUN
    lookups_sha256: str = ""
    unusable: str = ""


class CurrentRun(NamedTuple):
    """A run with written results and lookups, in ``parts`` for its ``shards``.

    ``supersedes`` are the runs whose place it takes.
    """

    layout: Layout
    facts: RunFacts
    base_url: str
    shards: int
    parts: int
    record: Path
    """File in the state: the previous run's id."""
    supersedes: Sequence[str] = ()


def previous_run(run: CurrentRun, note: Callable[[str], None] = lambda _: None) -> Previous:
    """The previous run that ``run.record`` names; if none yet, chooses one and records it.

    ``note`` gets a line on each run that was complete and cannot be read any more.
    """
    if run.record.exists():
        return read_record(run.record, Previous)
    chosen = Previous()
    if run.supersedes:
        latest = _before_superseded(run.layout, run.supersedes)
    else:
        latest = _latest(run.layout, run.facts, run.base_url, note=note)
    if latest is not None:
        run_id = latest.facts.run_id
        try:
            chosen = Previous(run_id, opened(latest, [LOOKUPS])[1])
        except UnusableRunError as error:
            chosen = Previous(run_id, unusable=str(error))
    # Recorded even where there is none or it cannot be used: another answer later would make
    # other tables of the same run.
    write_record(run.record, chosen)
    return chosen


def open_previous(layout: Layout, previous: Previous) -> RunTables:
    """The previous run's tables, if its lookups are unchanged. Raises ``UnusableRunError``."""
    if previous.unusable:
        raise UnusableRunError(previous.unusable)
    earlier = recorded(layout_of_run(layout.folder, previous.run_id))
    tables, digest = opened(earlier, [LOOKUPS])
    if digest != previous.lookups_sha256:
        raise UnusableRunError("it has been written anew since, with other lookups")
    return tables


def summary_before(layout: Layout, summary: Summary) -> Summary | None:
    """The summary of the latest run that was complete before this one was; None: none.

    Of a run that supersedes another it is the one that its changes are counted from. A run that
    cannot be read is passed over: reporting it is the business of ``validate``.
    """
    base_url = str(summary.settings.get(BASE_URL, ""))
    latest = None
    if not summary.supersedes:
        latest = _latest(layout, _facts(summary), base_url, summary.session.ended_at)
    elif summary.changes:
        with suppress(UnusableRunError):
            latest = recorded(layout_of_run(layout.folder, summary.changes.since_run))
    try:
        return read_summary(latest.layout.summary) if latest else None
    except OutputError:
        return None


def complete_runs(folder: Path) -> list[CompleteRun]:
    """The complete runs of the folder that can be read."""
    found = []
    for path in sorted((folder / "runs").glob("*")):
        if is_run_id(path.name):
            with suppress(UnusableRunError):
                found.append(recorded(layout_of_run(folder, path.name)))
    return found


def _before_superseded(layout: Layout, supersedes: Sequence[str]) -> CompleteRun | None:
    """The run that the changes of the superseded one are counted from.

    Not the latest one: the two are the same night's run, and what was between the earlier night
    and the first of them must be in the second one's changes as well, once.
    """
    with suppress(UnusableRunError):
        since = recorded(layout_of_run(layout.folder, supersedes[0])).since_run
        return recorded(layout_of_run(layout.folder, since)) if since else None
    return None


def _latest(
    layout: Layout,
    facts: RunFacts,
    base_url: str,
    by: datetime | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> CompleteRun | None:
    """The comparable run with the latest date, then the latest end.

    ``by``: it had ended by then. ``note`` gets a line on each that cannot be read.
    """

    def date_of(run_id: str) -> str:
        return run_id[:8]

    names = {path.name for path in (layout.folder / "runs").glob("*") if is_run_id(path.name)}
    others = sorted(names - {layout.run_id}, reverse=True)
    older = (name for name in others if date_of(name) <= date_of(layout.run_id))
    # Date by date, the latest first: once a run fits, no summary of an older date is read.
    for _, run_ids in groupby(older, key=date_of):
        fitting = []
        for run_id in run_ids:
            try:
                run = recorded(layout_of_run(layout.folder, run_id))
            except UnusableRunError as error:
                # It is not known what it asked, and of whom.
                if layout_of_run(layout.folder, run_id).is_marked:
                    note(f"run {run_id} is passed over as the previous run, for {error}")
            else:
                had_ended = by is None or run.ended_at <= by
                shared, _ = shared_endpoints(run.facts, facts)
                # A trial with a few numbers is no baseline of a list: all others would be new.
                # Nor can anybody be compared whose ids are by another key, or who has none.
                own, other = ((f.limit, f.id_key) for f in (run.facts, facts))
                is_alike = run.base_url == base_url and own == other
                if is_alike and shared and had_ended:
                    fitting.append(run)
        if fitting:
            return max(fitting, key=lambda run: (run.ended_at, run.facts.run_id))
    return None


def write_changes(
    run: CurrentRun, bounds: Cohorts, output: Output, events: RunEvents
) -> Changes | None:
    """Writes the run's changes since the previous run, and returns their figures.

    None, and an empty table, where there is no earlier run. One that cannot be read any more is no
    failure of this run: a note says so. Raises ``Stopped`` between two shards if ``events``
    ask for that.
    """
    previous = previous_run(run, events.progress.note)
    if previous.run_id == FIRST_RUN:
        _write_no_changes(run, output)
        return None
    try:
        earlier = open_previous(run.layout, previous)
        later = RunTables(run.facts, run.layout, run.shards)
        events.progress.stage("comparing", total=run.shards)
        with feed_of(
            earlier, later, bounds, scratch=run.layout.run, on_shard=events.advance
        ) as feed:
            for part in range(run.parts):
                # The same shards as in that part of the other tables.
                shards = range(part, run.shards, run.parts)
                with run.layout.opened_part(CHANGES, shards, run.shards, output) as write:
                    for shard in shards:
                        write(feed.shard(shard))
    except (UnusableRunError, DamagedPartError) as error:
        events.progress.note(
            f"no changes are written: the previous run {previous.run_id} cannot be compared with, "
            f"for {error}"
        )
        _write_no_changes(run, output)
        return None
    if left_out := shared_endpoints(earlier.facts, run.facts)[1]:
        events.progress.note(
            f"changes since run {previous.run_id} leave out what only one of the two runs asked: "
            f"{', '.join(left_out)}"
        )
    return feed.changes


def _write_no_changes(run: CurrentRun, output: Output) -> None:
    """Writes the first part of changes without rows, so that the table can always be read."""
    shards = range(0, run.shards, run.parts)
    with run.layout.opened_part(CHANGES, shards, run.shards, output) as write:
        for _ in shards:
            write(pl.DataFrame(schema=dtypes(CHANGE_COLUMNS)))
