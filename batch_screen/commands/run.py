"""Run: read → normalise → plan → ask → enrich → report.

Every output file is a pure function of (input, plan, journal); asking only appends to the
journal. So a resume is the same line again, which finds its work done up to some point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from batch_screen.commands.open_run import OpenRun, open_run
from batch_screen.commands.purge import remove_state
from batch_screen.commands.rewrite import keep_other_columns
from batch_screen.commands.write import count_stopped, judge_run, write_outputs, write_stopped
from batch_screen.config.sections import Engine
from batch_screen.config.settings import Settings
from batch_screen.engine.contracts import by_contract
from batch_screen.engine.engine import Asked, How, ask_alone, run_engine
from batch_screen.engine.tasks import Clock, utc_now
from batch_screen.errors import BatchScreenError, ConfigurationError, InputError
from batch_screen.job import Job
from batch_screen.model import Plan, Session
from batch_screen.planning.build import plan_inputs
from batch_screen.planning.shards import check_plan, read_plan
from batch_screen.runs.events import RunEvents
from batch_screen.runs.layout import Layout
from batch_screen.runs.sessions import keep_session, read_sessions
from batch_screen.runs.state import Run
from batch_screen.sandbox.config import DEFAULT_KEY, SandboxConfig
from batch_screen.sandbox.run import SandboxThread
from batch_screen.storage.lock import waited_for
from batch_screen.tables.summary import Summary, read_summary

if TYPE_CHECKING:
    from batch_screen.cluster.place import RunPlace

_ORPHANS_SECONDS = 30.0


class RunResult(msgspec.Struct, frozen=True):
    """The result of a run: its figures, its files, and whether it was complete before."""

    summary: Summary
    layout: Layout
    was_complete: bool = False


OnStopped = Callable[[RunResult], None]


def run(
    job: Job, events: RunEvents | None = None, on_stopped: OnStopped = lambda _: None
) -> RunResult:
    """Screens the inputs, resumes, or returns the run that is complete already.

    Raises the exceptions of ``errors``; what was answered by then is saved. Where there was
    a plan already, ``on_stopped`` is first called with how far the run has come.
    """
    started_at, job = datetime.now(UTC), job.with_ids().with_keys()
    with open_run(job, events or RunEvents()) as opened:
        run, layout = opened.run, opened.layout
        # It may be an unfinished one of another date.
        job = replace(job, run_date=date.fromisoformat(layout.run_date))

        def make_plan() -> Plan:
            identity = run.file.identity
            return plan_inputs(
                opened.files,
                job.settings,
                run.plan,
                opened.events,
                identity,
                now=job.now,
                ids=job.ids,
            )

        keep_other_columns(job, opened)
        note = (
            f"run {run.run_id}; if it is stopped, the same command resumes it without --new-run "
            f"and with --run-date {layout.run_date}"
        )
        return carry_out(job, opened, make_plan, started_at, note, on_stopped)


def carry_out(  # noqa: PLR0913, PLR0917 (a run, how it is planned, and what is said of it)
    job: Job,
    opened: OpenRun,
    make_plan: Callable[[], Plan],
    started_at: datetime,
    note: str,
    on_stopped: OnStopped,
) -> RunResult:
    """Plans the opened run unless it has a plan, asks what is left, and writes the output.

    ``note`` says how it is resumed, before anything is asked.
    """
    run, layout, events = opened.run, opened.layout, opened.events
    if opened.is_complete:
        if opened.place and opened.place.is_open():  # a start was stopped before it said so
            opened.place.complete()
        _drop_state(job, run, opened.place)
        summary = judge_run(read_summary(layout.summary), job.settings)
        return RunResult(summary, layout, was_complete=True)
    start = _PlannedRun(job, opened, _plan(opened, make_plan), started_at, ended=[])
    with _summed_up(start, on_stopped), _kept(opened.place):
        if opened.place:  # before anything is asked: a journal is worth nothing without its plan
            events.progress.stage("keeping the plan")
            opened.place.keep_plan(run)
        read_sessions(run.sessions, run.run_id)  # damage stops it before more is bought
        layout.check_writable()
        events.progress.note(note)
        session = _ask(start)
        events.progress.stage("writing", total=len(start.plan.shards))
        summary = write_outputs(run, start.plan, job.settings, session, events)
        if opened.place:
            opened.place.complete()
    _drop_state(job, run, opened.place)
    return RunResult(summary, layout)


def _drop_state(job: Job, run: Run, place: RunPlace | None) -> None:
    """Removes a complete run's state where its output has ids: the state holds the numbers."""
    if job.ids and not job.settings.privacy.keep_state:
        if place:
            place.remove()
        if run.folder.exists():
            remove_state(job.state, run.run_id)


@contextmanager
def _kept(place: RunPlace | None) -> Iterator[None]:
    """Keeps the session's record in the bucket, also if the session was stopped."""
    try:
        yield
    finally:
        if place:
            with suppress(BatchScreenError):  # only its pace would be lost
                place.keep_records()


class _PlannedRun(NamedTuple):
    """One session of a planned run; ``ended`` holds its record once it has asked."""

    job: Job
    opened: OpenRun
    plan: Plan
    started_at: datetime
    ended: list[Session]


def _plan(opened: OpenRun, make_plan: Callable[[], Plan]) -> Plan:
    run, events = opened.run, opened.events
    plan = read_plan(run.plan)
    if plan is not None and plan.accepted:  # else its start was killed before it said so
        with events.stop.interrupting():  # damage stops it before anything more is bought
            check_plan(run.plan, plan)
        return plan
    try:
        return make_plan()
    except (InputError, ConfigurationError):
        run.discard()
        raise


def _ask(start: _PlannedRun) -> Session:
    """Asks all open lookups. The session is recorded, even if the run is stopped."""
    run, began = start.opened.run, start.started_at

    def end(asked: Asked) -> None:
        now, seconds = datetime.now(UTC), round(asked.seconds, 3)
        start.ended.append(
            Session(began, now, asked.attempts, seconds, asked.pace, asked.contracts, asked.crew)
        )

    def keep() -> None:
        for session in start.ended:
            if session.attempts:  # a start that only writes files again has no pace
                keep_session(run.sessions, run.run_id, session)

    try:
        with _server(start.job, run) as (settings, key, clock):
            events = start.opened.events
            # Workers of a start that was killed save what is under way; their slots are void then.
            with waited_for(run.folder / "run.json", _ORPHANS_SECONDS, events.stop.check):
                pass
            run_engine(
                run,
                start.plan,
                settings,
                key,
                events,
                began_at=began,
                on_end=end,
                clock=clock,
                copy=start.opened.place,
                how=_how(start.job),
            )
    except BatchScreenError:
        with suppress(Exception):  # what stopped the run counts, not what fails now
            keep()
        raise
    keep()
    [session] = start.ended
    return session


def _how(job: Job) -> How:
    """How many processes and contracts ask."""
    cluster = job.settings.cluster
    if cluster.workers > 1 or cluster.engine is Engine.RAY:
        # Late: nothing of it is there where one worker runs.
        by_workers: How = import_module("batch_screen.cluster.driver").ask_by_workers
        return by_workers
    if job.settings.contracts:
        secrets = {} if job.sandbox else job.keys  # the sandbox has one key for all
        return by_contract({name: each.get_secret_value() for name, each in secrets.items()})
    return ask_alone


@contextmanager
def _server(job: Job, run: Run) -> Iterator[tuple[Settings, str, Clock]]:
    """Settings, key and clock to ask with; with ``sandbox``, runs the local server meanwhile.

    Its changes date from before the run's beginning, which is midnight where that was on another
    day than the run is of: both clocks, the sandbox's and the run's, are set by that.
    """
    if not job.sandbox:
        yield job.settings, job.key.get_secret_value() if job.key else "", utc_now
        return
    created_at = run.file.created_at
    began = created_at if created_at.date() == job.day else job.midnight
    ahead = began - created_at
    config = SandboxConfig(since=began, ahead=ahead, dialect=job.settings.api.dialect)
    with SandboxThread(config) as sandbox:
        # The sandbox lives at the dialect's own paths; others are meant for another server.
        api = job.settings.api.model_copy(
            update={"base_url": sandbox.url, "paths": {}, "proxy": ""}
        )
        settings = job.settings.model_copy(update={"api": api})
        yield settings, DEFAULT_KEY, lambda: utc_now() + ahead


@contextmanager
def _summed_up(start: _PlannedRun, on_stopped: OnStopped) -> Iterator[None]:
    """Counts and writes the progress if an error ends the session.

    What fails while doing so is only noted: the error that ended the start is the one to raise.
    """
    try:
        yield
    except Exception as error:
        job, run, events = start.job, start.opened.run, start.opened.events
        with _noted(events, run):
            session = [*start.ended, Session(start.started_at, datetime.now(UTC))][0]
            summary = count_stopped(run, start.plan, job.settings, session, error)
            with _noted(events, run):
                write_stopped(run, job.settings, summary)
            on_stopped(RunResult(summary, start.opened.layout))
        raise


@contextmanager
def _noted(events: RunEvents, run: Run) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 (something worse has ended the start)
        with suppress(Exception):
            events.progress.note(
                f"run {run.run_id}: its summary.json could not be written: {error}"
            )
