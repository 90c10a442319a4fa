"""Retry: asks the failed lookups of a complete run again, in a new run that replaces it.

The new run is made from the old one's tables, so neither input nor state need be there any more.
What is not asked again is carried over, each answer with its own time, and nothing is paid twice.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from batch_screen.commands.open_run import (
    bucket_held,
    folders_held,
    grown_opt_outs,
    opened,
    refuse_other_ids,
    refuse_unaskable,
    resumed,
)
from batch_screen.commands.run import OnStopped, RunResult, carry_out
from batch_screen.comparison.previous import complete_runs
from batch_screen.config.screening import OPT_OUT_FILE
from batch_screen.config.settings import Settings
from batch_screen.errors import ConfigurationError, InputError
from batch_screen.input.files import digest
from batch_screen.job import Job
from batch_screen.masking import mask_text
from batch_screen.model import Endpoint, OutcomeKind, Plan
from batch_screen.planning.build import opt_out_list, opt_outs
from batch_screen.planning.carry import CarriedRun, MissingNumbersError
from batch_screen.planning.opt_outs import OptOuts
from batch_screen.planning.shards import read_plan, read_rows
from batch_screen.privacy.vault import read_vault, vault_path
from batch_screen.runs.events import RunEvents
from batch_screen.runs.finding import find_run
from batch_screen.runs.layout import (
    ERRORS,
    LOOKUPS,
    TABLES,
    Layout,
    is_run_id,
    layout_of_run,
    place_of,
    run_at,
)
from batch_screen.runs.state import (
    BASE_URL,
    RETRY_OF,
    RETRY_OUTCOMES,
    SANDBOX,
    Identity,
    create_run,
    new_run_id,
    read_run,
)
from batch_screen.storage.records import damaged
from batch_screen.tables.errors import RETRY_CAN_HELP
from batch_screen.tables.integrity import own_files, refuse_changed, whole_manifest
from batch_screen.tables.manifest import is_whole, read_manifest
from batch_screen.tables.reader import DamagedPartError
from batch_screen.tables.summary import Summary, read_summary

_AS_IT_WAS = ("screening", "planner", "input", "cohorts")
"""Sections of the settings that a retry takes from the run itself."""
_SAME_SERVER = ("api.dialect", "api.paths")


def retry(
    job: Job,
    run: Path | str | None = None,
    outcomes: Collection[OutcomeKind] = RETRY_CAN_HELP,
    events: RunEvents | None = None,
    on_stopped: OnStopped = lambda _: None,
) -> RunResult | None:
    """Asks the lookups of a complete run that ended with these outcomes again.

    ``run`` is a run's id in the job's output folder, or a run's own folder or an output folder; by
    default the latest run. The result is a run of its own with all rows and answers, which
    supersedes the first one; None, and nothing is made, where no lookup failed so. What was asked
    is asked in the same way: of the job's settings those about the server, the pace, the bounds
    and the output count, and the opt-out list. The same call resumes it. Raises as ``run`` does.
    """
    events, started_at = events or RunEvents(), datetime.now(UTC)
    job, layout = located(job.with_ids().with_keys(), run)
    summary = _summary_of(layout)
    refuse_other_ids(job)
    job = _as_it_was(job, summary)
    refuse_unaskable(job)
    with (
        folders_held(job, events) as with_heartbeat,
        bucket_held(job, with_heartbeat) as bucket,
    ):
        identity = _identity(job, layout, summary, outcomes)
        inputs = [f"run {layout.run_id}"]
        is_grown = grown_opt_outs(job, identity, with_heartbeat)
        sought = partial(find_run, identity=identity, inputs=inputs, is_grown=is_grown)
        found, own = sought(job.state), new_run_id(identity, 1)
        taken = bucket.pass_over(own, sought, with_heartbeat) if bucket else []
        run_id = found.run_id if found else own
        source, failures = None, Counter[tuple[str, str]]()
        if not is_whole(layout_of_run(job.out, run_id)):
            _refuse_outdated(layout, run_id)
            if found is None or not found.plan.exists():
                source = _source(job, layout, outcomes, identity, with_heartbeat)
                failures = source.failures()
            if source is not None and not failures:
                if found is not None:  # a start that was stopped before it had a plan
                    found.discard()
                return None
        if found is None:
            found = create_run(job.state, identity, inputs, taken)
        found = resumed(job, found, identity, with_heartbeat)
        folder = found.plan

        def make_plan() -> Plan:
            if source is None:
                raise damaged(folder)
            plan = _plan_again(source, layout, summary, folder, with_heartbeat)
            with_heartbeat.progress.note(_planned(job, layout, plan, failures))
            return plan

        going = opened(job, found, [], with_heartbeat, bucket)
        note = (
            f"run {found.run_id}; if it is stopped, batch-screen retry {layout.run_id} resumes it"
        )
        return carry_out(job, going, make_plan, started_at, note, on_stopped)


def _plan_again(
    source: CarriedRun, layout: Layout, summary: Summary, folder: Path, events: RunEvents
) -> Plan:
    """Writes the plan of all rows and answers of the run. Raises ``InputError``."""
    rows, supersedes = summary.rows, [layout.run_id, *summary.supersedes]
    columns = [*rows.by_phone_column]
    events.progress.stage("reading", total=rows.accepted)
    with _readable(layout):
        return source.plan(
            folder, summary.facts, columns, supersedes, rows.left_out, summary.erased, events
        )


def is_of_sandbox(job: Job, run: Path | str | None = None) -> bool:
    """Whether the run is one of the sandbox, whose retry needs no key."""
    _, layout = located(job, run)
    return _summary_of(layout).settings.get(BASE_URL) == SANDBOX


def located(job: Job, run: Path | str | None) -> tuple[Job, Layout]:
    """The job with the run's output folder, and the run in it."""
    run_id = None if run is None else str(run)
    if run_id is not None and not is_run_id(run_id):
        folder, run_id = place_of(Path(run_id))
        output = job.settings.output.model_copy(update={"folder": str(folder)})
        job = replace(job, settings=job.settings.model_copy(update={"output": output}))
    return job, run_at(job.out, run_id)


def _summary_of(layout: Layout) -> Summary:
    """The summary of the run. Raises ``InputError`` where it is not complete and whole."""
    if not layout.is_marked:
        raise InputError(
            f"run {layout.run_id} is not complete, so what it lacks is not asked again but for the "
            "first time: batch-screen status says how to resume it"
        )
    whole_manifest(layout)
    return read_summary(layout.summary)


def _as_it_was(job: Job, summary: Summary) -> Job:
    """The job of the same date, asking the same server in the same way.

    Raises ``ConfigurationError`` where the settings name another server, or no opt-out list though
    the run had one.
    """
    own, now = summary.settings, job.settings.identity()
    sandbox = own.get(BASE_URL) == SANDBOX
    for name in _SAME_SERVER if sandbox else (BASE_URL, *_SAME_SERVER):
        # Never taken from a file in the output folder: the key would go wherever that says.
        if own.get(name) != now[name]:
            raise ConfigurationError(
                f"run {summary.run_id} asked with {name} = {_shown(own.get(name))}, now it is "
                f"{_shown(now[name])}: one run cannot hold answers of two servers; set it back"
            )
    if own.get(OPT_OUT_FILE) and not job.settings.numbers.opt_out_file:
        raise ConfigurationError(
            f"run {summary.run_id} was made with an opt-out list; name it with --opt-out as it is "
            "now, so that nobody is asked about who has objected since"
        )
    settings = _settings(job.settings, summary)
    day = date.fromisoformat(summary.run_date)
    return replace(job, settings=settings, run_date=day, sandbox=sandbox)


def _settings(settings: Settings, summary: Summary) -> Settings:
    own = summary.settings

    def section(name: str) -> dict[str, Any]:
        dotted = f"{name}."
        return {n.removeprefix(dotted): v for n, v in own.items() if n.startswith(dotted)}

    try:
        as_it_was = {
            name: type(getattr(settings, name)).model_validate(section(name)) for name in _AS_IT_WAS
        }
    except ValueError as error:  # pydantic's; its text may quote a cell
        raise InputError(
            f"run {summary.run_id} has settings that this version does not know; use version "
            f"{summary.version} to retry it"
        ) from error
    return settings.model_copy(update=as_it_was)


def _shown(value: object) -> str:
    return mask_text(str(value) if value else "its default")


def _identity(
    job: Job, layout: Layout, summary: Summary, outcomes: Collection[OutcomeKind]
) -> Identity:
    """The identity of the retry: the run by its answers, and what to ask again."""
    listed = opt_out_list(job.settings)
    settings = {
        **summary.settings,
        OPT_OUT_FILE: digest(listed.path, listed.name or "") if listed else "",
        RETRY_OF: layout.run_id,
        RETRY_OUTCOMES: sorted(kind.value for kind in outcomes),
    }
    return Identity([_answers_of(layout)], summary.run_date, settings)


def _answers_of(layout: Layout) -> str:
    """A digest of the run's answers, which other kept columns do not change."""
    manifest = read_manifest(layout)
    listed = [f for f in manifest.files if f.table in (LOOKUPS, ERRORS)] if manifest else []
    return hashlib.sha256("".join(f"{f.path} {f.sha256}\n" for f in listed).encode()).hexdigest()


def _refuse_outdated(layout: Layout, own: str) -> None:
    """Raises ``ConfigurationError`` where another run has taken the run's place, or built on it."""
    for other in complete_runs(layout.folder):
        run_id = other.facts.run_id
        if run_id != own and layout.run_id in other.supersedes:
            raise ConfigurationError(
                f"run {layout.run_id} is superseded by run {run_id}; name that one: batch-screen "
                f"retry {run_id}"
            )
        if other.since_run == layout.run_id:
            raise ConfigurationError(
                f"run {run_id} has counted its changes from run {layout.run_id}, which must stay "
                f"as it is; retry the later one: batch-screen retry {run_id}"
            )


def _source(
    job: Job,
    layout: Layout,
    outcomes: Collection[OutcomeKind],
    identity: Identity,
    events: RunEvents,
) -> CarriedRun:
    """The run's tables, whose files are what was written. Raises ``InputError``."""
    manifest = whole_manifest(layout)
    listed = [file for file in own_files(layout, manifest) if file.table in TABLES]
    refuse_changed(layout, listed, events)
    numbers = opt_outs(job.settings, events, identity)
    opt_out_file = identity.settings[OPT_OUT_FILE]
    with _readable(layout):
        kept = OptOuts(opt_out_file, numbers) if opt_out_file else None
        return CarriedRun(layout, manifest.shards, outcomes, kept, _numbers(job, layout))


def _numbers(job: Job, layout: Layout) -> Callable[[int], pl.DataFrame] | None:
    """The numbers behind a shard's ids: from the run's state, if it was kept, or from the vault."""
    ids, vault = job.ids, job.settings.privacy.id_vault
    if ids is None:
        return None
    folder = job.state / "runs" / layout.run_id
    run = read_run(folder) if folder.exists() else None
    plan = read_plan(run.plan) if run else None
    if not plan and not (vault and vault_path(Path(vault), layout.run_id).exists()):
        raise _no_numbers(layout, vault)

    def of_shard(shard: int) -> pl.DataFrame:
        if run and plan:
            return read_rows(run.plan, plan, shard).select("number_id", "e164").unique()
        try:
            found = read_vault(Path(vault), layout.run_id, shard)
        except (OSError, ValueError, pa.ArrowException):  # a library's text may quote a cell
            raise _no_numbers(layout, vault) from None
        if not ids.of(found["e164"]).equals(found["number_id"]):
            raise _no_numbers(layout, vault)
        return found

    return of_shard


def _no_numbers(layout: Layout, vault: str) -> ConfigurationError:
    where = f"the vault {vault} has no whole file of it" if vault else "no vault is named"
    return ConfigurationError(
        f"run {layout.run_id} has ids in the place of numbers, its state is gone, and {where}, so "
        "nobody can say whom to ask again; name the vault with --id-vault, or ask the whole list "
        "with batch-screen run --new-run, where planner.reuse_within_minutes spares what is known"
    )


@contextmanager
def _readable(layout: Layout) -> Iterator[None]:
    try:
        yield
    except MissingNumbersError:
        raise _no_numbers(layout, "") from None
    except DamagedPartError as error:
        raise InputError(
            f"run {layout.run_id} cannot be read ({error}); batch-screen validate {layout.run} "
            "says more"
        ) from error


def _planned(job: Job, layout: Layout, plan: Plan, failures: Counter[tuple[str, str]]) -> str:
    """What the retry asks, costs and carries over, in a line."""
    kinds: Counter[str] = Counter()
    prices, cost = job.settings.prices, 0.0
    for (endpoint, outcome), lookups in failures.items():
        kinds[outcome] += lookups
        cost += lookups * prices.per_request.get(Endpoint(endpoint), 0.0)
    counts = ", ".join(f"{outcome} {lookups:,}" for outcome, lookups in kinds.most_common())
    priced = f", for {cost:,.2f} {mask_text(prices.currency)} before retries" if cost else ""
    return (
        f"of run {layout.run_id} {kinds.total():,} failed lookups are asked again ({counts})"
        f"{priced}; {plan.carried:,} outcomes are carried over"
    )
