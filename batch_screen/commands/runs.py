"""Runs: the complete runs of an output folder, in the order in which they were completed.

This, and not latest.json, tells which runs are new: after a late night the latest one written is of
an older date. Needs no state and no key, and reads no table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl

from batch_screen.config.paths import refuse_address
from batch_screen.errors import no_input
from batch_screen.runs.layout import Layout, layout_of_run, place_of, runs_at
from batch_screen.runs.purged import PURGED, PurgedRun, read_purged
from batch_screen.schema import PURGED_RUNS, RUNS, dtypes
from batch_screen.storage.atomic import sha256_of, write_frame
from batch_screen.storage.reading import MOST_BYTES
from batch_screen.tables.integrity import marker_check
from batch_screen.tables.manifest import (
    AskedApi,
    Manifest,
    RunCounts,
    list_key,
    read_facts,
    rows_of,
)

_FIRST = datetime.min.replace(tzinfo=UTC)


class CompletedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A complete run; ``rows`` are those of each table.

    ``current``: it is the last complete one of its date and inputs, and none supersedes it.
    """

    run_id: str
    run_date: str
    started_at: datetime | None
    completed_at: datetime
    current: bool
    sandbox: bool
    manifest_sha256: str
    schema_version: int
    version: str
    api: AskedApi | None
    since_run_id: str | None
    supersedes: Sequence[str]
    inputs: Sequence[str]
    limit: int
    kept_columns: Sequence[str]
    rows: dict[str, int]
    counts: RunCounts | None


class RunList(msgspec.Struct, frozen=True):
    """Complete runs, the oldest completion first.

    ``unfinished`` runs have no marker; of the ``damaged`` ones marker or manifest cannot be read.
    """

    runs: list[CompletedRun]
    unfinished: list[str]
    damaged: list[str]


def list_runs(
    folder: Path | str, since: datetime | None = None, write: Path | str | None = None
) -> RunList:
    """The complete runs of an output folder, or the one whose own folder it is.

    ``since`` leaves out what was completed by then; an instant without a zone is taken for UTC.
    ``write`` is a Parquet file to write them into, with the columns ``schema.RUNS``. Raises
    ``InputError`` where no run has written there, and ``OutputError``.
    """
    if write is not None:
        refuse_address(write, "--parquet")
    out, _ = place_of(Path(folder))
    wanted = runs_at(Path(folder))
    found: dict[str, Manifest] = {}
    unfinished, damaged = _look(out, found)
    if found:
        # Runs that were completed during the look, but for those behind the last one seen.
        last = max(map(_completion, found.values()))
        unfinished, damaged = _look(out, found)
        later = [each.run_id for each in found.values() if _completion(each) > last]
        unfinished += later
        for run_id in later:
            del found[run_id]
    complete = sorted(found.values(), key=_completion)
    current = _current(complete)
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    runs = [
        _completed(out, each, is_current=each.run_id in current)
        for each in complete
        if each.run_id in wanted and (since is None or _completion(each)[0] > since)
    ]
    if write is not None:
        target = Path(write)
        layout_of_run(out, wanted[0]).refuse_inside(target)
        write_frame(target, as_table(runs))
    return RunList(runs, unfinished, damaged)


def list_purged(folder: Path | str, write: Path | str | None = None) -> list[PurgedRun]:
    """The runs that purge has removed from an output folder, the first one first.

    ``write`` is a Parquet file to write them into, with the columns ``schema.PURGED_RUNS``. Raises
    ``InputError`` where neither a run nor a record of purged ones is there, so that a folder that
    is not mounted is no folder from which nothing went, and ``OutputError``.
    """
    if write is not None:
        refuse_address(write, "--parquet")
    out, _ = place_of(Path(folder))
    purged = read_purged(out)
    if not purged and not (out / "runs").is_dir():
        raise no_input(
            f"{folder}: neither runs nor {PURGED} are there, the record of runs that purge has "
            "removed; check the path, and whether it is mounted"
        )
    if write is not None:
        Layout(out, "", "").refuse_inside(Path(write))
        rows = [
            {
                **msgspec.structs.asdict(run),
                **run.rows,
                "run_date": datetime.fromisoformat(run.run_date).date(),
            }
            for run in purged
        ]
        write_frame(Path(write), pl.DataFrame(rows, schema=dtypes(PURGED_RUNS)))
    return purged


def _look(out: Path, found: dict[str, Manifest]) -> tuple[list[str], list[str]]:
    """Adds complete runs to those that were found; the unfinished and the damaged ones."""
    unfinished, damaged = [], []
    for layout in [layout_of_run(out, run_id) for run_id in runs_at(out)]:
        if layout.run_id in found:
            continue
        if not layout.is_marked:
            unfinished.append(layout.run_id)
        elif marker_check(layout).differences or not _is_of(layout, manifest := read_facts(layout)):
            damaged.append(layout.run_id)
        elif manifest is not None:
            found[layout.run_id] = manifest
    return unfinished, damaged


def _is_of(layout: Layout, manifest: Manifest | None) -> bool:
    own = (layout.run_id, layout.run_date)
    return manifest is not None and (manifest.run_id, manifest.run_date) == own


def _completion(manifest: Manifest) -> tuple[datetime, str]:
    return manifest.completed_at or _FIRST, manifest.run_id


def _current(complete: Sequence[Manifest]) -> set[str]:
    """The last of these runs for each date and inputs, without those that another supersedes."""
    superseded = {run_id for each in complete for run_id in each.supersedes}
    alive = [each for each in complete if each.run_id not in superseded]
    return {*{(each.run_date, list_key(each)): each.run_id for each in alive}.values()}


def _completed(folder: Path, manifest: Manifest, *, is_current: bool) -> CompletedRun:
    return CompletedRun(
        run_id=manifest.run_id,
        run_date=manifest.run_date,
        started_at=manifest.started_at,
        completed_at=_completion(manifest)[0],
        current=is_current,
        sandbox=manifest.sandbox,
        manifest_sha256=sha256_of(layout_of_run(folder, manifest.run_id).manifest, MOST_BYTES),
        schema_version=manifest.schema_version,
        version=manifest.version,
        api=manifest.api,
        since_run_id=manifest.since_run_id,
        supersedes=manifest.supersedes,
        inputs=manifest.inputs,
        limit=manifest.limit,
        kept_columns=manifest.kept_columns,
        rows=rows_of(manifest),
        counts=manifest.counts,
    )


def as_table(runs: Iterable[CompletedRun]) -> pl.DataFrame:
    """The runs as a table with the columns ``schema.RUNS``."""
    rows = [
        {
            **msgspec.structs.asdict(run),
            **run.rows,
            "run_date": datetime.fromisoformat(run.run_date).date(),
            "api_host": run.api.host if run.api else None,
            "api_dialect": run.api.dialect if run.api else None,
            "supersedes": " ".join(run.supersedes),
            "inputs": " ".join(run.inputs),
            "limit_numbers": run.limit,
            "rows_read": run.counts.rows_read if run.counts else None,
            "rows_rejected": run.counts.rows_rejected if run.counts else None,
            "failed": run.counts.failed if run.counts else None,
        }
        for run in runs
    ]
    return pl.DataFrame(rows, schema=dtypes(RUNS))
