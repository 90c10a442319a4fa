"""Status of every run in a folder: complete, running, resumable or unreadable; read-only.

Takes no lock and checks no digest, so it is quick and safe beside a run. A run that cannot be read
is one of the states and no error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from batch_screen.config.screening import Screening
from batch_screen.errors import BatchScreenError, JournalError, no_input
from batch_screen.job import STATE
from batch_screen.journal.segments import outcomes_at_a_glance
from batch_screen.masking import safe_line, safe_text
from batch_screen.planning.shards import read_plan
from batch_screen.runs.heartbeat import Heartbeat, read_heartbeat
from batch_screen.runs.layout import is_run_id, layout_of_run, run_date_of
from batch_screen.runs.state import Run, read_run
from batch_screen.storage.lock import Holder, holder_of
from batch_screen.storage.scratch import scratch_folder
from batch_screen.tables.summary import read_summary

_SCREENING = "screening."
_FRESH_SECONDS = 30.0
"""A heartbeat older than this means that nothing has advanced since."""


class State(StrEnum):
    """The state of a run."""

    COMPLETE = "complete"
    RUNNING = "running"
    RESUMABLE = "resumable"
    UNREADABLE = "unreadable"


class RunStatus(msgspec.Struct, frozen=True):
    """A run: ``done`` of its ``lookups`` have an outcome; None: unknown.

    ``inputs`` are paths, masked. ``problem`` says why it is unreadable. ``settings`` are those of
    its identity, from which the command that resumes it is made.
    """

    run_id: str
    run_date: str
    state: State
    inputs: list[str] = []
    created_at: datetime | None = None
    rows: int | None = None
    lookups: int | None = None
    done: int | None = None
    problem: str = ""
    settings: dict[str, Any] = {}


class Status(msgspec.Struct, frozen=True):
    """All runs of a folder, oldest first, and the process running there.

    ``state_folder`` and what the process says of itself are masked.
    """

    state_folder: str
    runs: list[RunStatus]
    holder: Holder | None = None
    heartbeat: Heartbeat | None = None
    idle_seconds: float | None = None

    @property
    def is_running(self) -> bool:
        """Whether a process is running: here or, judged by a fresh heartbeat, elsewhere."""
        return self.holder is not None and (
            self.holder.is_alive is True
            or (
                self.holder.is_alive is None
                and self.idle_seconds is not None
                and self.idle_seconds < _FRESH_SECONDS
            )
        )

    @property
    def is_stalled(self) -> bool:
        """Whether the process runs but has not advanced for a while: a pause, or an outage."""
        return self.is_running and (self.idle_seconds or 0.0) >= _FRESH_SECONDS


def status(
    out: Path | None, state: Path | None = None, now: datetime | None = None, *, bucket: str = ""
) -> Status:
    """The status of the runs in the state folder, and of complete ones in the output folder.

    ``bucket``: the address that keeps the state, by which any machine can tell. Raises
    ``InputError`` (66) where neither can be read, ``OutputError`` where the bucket cannot.
    """
    if bucket:
        from batch_screen.cluster.store import glance  # noqa: PLC0415 (for buckets only)

        with scratch_folder() as copy:
            is_there = out is not None and out.exists()
            found = glance(bucket, copy)
            place, damaged = found.place, found.damaged
            return _status_of(place, out if is_there else None, copy, *found.life, now, damaged)
    state = state or (out or Path()) / STATE
    if out is not None:
        _must_be_readable(out)
    if out is None or state.parent != out or state.exists():
        _must_be_readable(state)
    return _status_of(str(state), out, state, holder_of(state), read_heartbeat(state), now)


def _status_of(  # noqa: PLR0913, PLR0917 (what is read, and who is at work)
    name: str,
    out: Path | None,
    state: Path,
    holder: Holder | None,
    heartbeat: Heartbeat | None,
    now: datetime | None,
    damaged: Mapping[str, JournalError] = MappingProxyType({}),
) -> Status:
    if holder is not None:  # what the file says is not ours until it is masked
        holder = holder._replace(since=safe_line(holder.since), host=safe_line(holder.host))
    if heartbeat is not None:
        contracts = heartbeat.contracts
        if contracts:
            contracts = {safe_line(name): pace for name, pace in contracts.items()}
        stage = safe_line(heartbeat.stage)
        heartbeat = msgspec.structs.replace(heartbeat, stage=stage, contracts=contracts)
    idle = heartbeat.age_seconds(now or datetime.now(UTC)) if heartbeat else None
    found = Status(safe_text(name), [], holder, heartbeat, idle)
    at_work = heartbeat.run_id if heartbeat and found.is_running else ""
    ended = (out / "runs").glob("*/_SUCCESS") if out is not None else iter(())
    names = {path.name for path in state.glob("runs/*")} | {path.parent.name for path in ended}
    here = filter(is_run_id, names - damaged.keys())
    runs = [run for name in here if (run := _status(name, state, out, at_work))]
    for run_id, error in damaged.items():
        problem = safe_line(f"its state in the bucket is damaged: {error}", 1_000)
        runs.append(RunStatus(run_id, run_date_of(run_id), State.UNREADABLE, problem=problem))
    return msgspec.structs.replace(
        found,
        runs=sorted(runs, key=attrgetter("run_id")),
        holder=holder if found.is_running else None,
        heartbeat=heartbeat if found.is_running else None,
    )


def _must_be_readable(folder: Path) -> None:
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise no_input(
            f"{folder}: {error.strerror}; check the path of --out or --state-dir, or ask its owner"
        ) from error


def _status(run_id: str, state: Path, out: Path | None, at_work: str) -> RunStatus | None:
    """The run's status, or None if its start was killed before it wrote anything."""
    layout = layout_of_run(out or state.parent, run_id)
    is_marked = out is not None and layout.is_marked
    known = RunStatus(run_id, layout.run_date, State.COMPLETE if is_marked else State.RESUMABLE)
    folder = state / "runs" / run_id
    try:
        if is_marked and not folder.exists():
            summary = read_summary(layout.summary)  # all there is where the state was removed
            asked = summary.lookups
            return msgspec.structs.replace(known, rows=summary.rows.read, lookups=asked, done=asked)
        run = read_run(folder) if folder.exists() else None
        if run is None:
            return None
        found = _counted(known, run)
    except (BatchScreenError, OSError, ValueError) as error:  # also what another version wrote
        problem = safe_line(str(error), 1_000)
        return msgspec.structs.replace(known, state=State.UNREADABLE, problem=problem)
    if at_work == run_id:
        return msgspec.structs.replace(found, state=State.RUNNING)
    if out is None and found.lookups is not None and found.done == found.lookups:
        return msgspec.structs.replace(found, state=State.COMPLETE)
    return found


def _counted(known: RunStatus, run: Run) -> RunStatus:
    identity = run.identity
    plan = read_plan(run.plan)
    lookups = done = None
    if plan is not None:
        own = {k: v for k, v in identity.settings.items() if k.startswith(_SCREENING)}
        screening = Screening(**{k.removeprefix(_SCREENING): v for k, v in own.items()})
        endpoints = len(screening.lookup_endpoints)
        of_shards = [shard.unique_numbers * endpoints for shard in plan.shards]
        lookups = sum(of_shards)
        carried = [shard.carried for shard in plan.shards]
        done = outcomes_at_a_glance(run.journal, run.sealed, of_shards, carried)
    return msgspec.structs.replace(
        known,
        inputs=[safe_line(path, 1_000) for path in run.file.inputs],
        created_at=run.file.created_at,
        rows=plan.rows if plan else None,
        lookups=lookups,
        done=done,
        settings=identity.settings,
    )
