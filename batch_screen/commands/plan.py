"""Plan: estimates a run's requests, cost and time, from its plan and earlier runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl

from batch_screen.commands.contracts import ContractEstimate, estimate_contracts
from batch_screen.commands.open_run import (
    grown_opt_outs,
    plan_without_objected,
    refuse_other_ids,
    unfinished_run,
)
from batch_screen.config.settings import Settings
from batch_screen.engine.budget import BudgetGuard, refuse_unpriced
from batch_screen.engine.dependencies import Rules, rules_of
from batch_screen.engine.resume import SoFar, so_far
from batch_screen.engine.schedule import Timetable
from batch_screen.errors import ConfigurationError
from batch_screen.input.files import expand
from batch_screen.job import Job
from batch_screen.masking import mask_text
from batch_screen.model import LONGEST_WINDOW_MINUTES, Endpoint, LatestChange, OutcomeKind, Plan
from batch_screen.numbers.regions import refuse_unknown_regions
from batch_screen.planning.build import full_paths, on_disk, opened, plan_inputs, runs_before
from batch_screen.planning.history import read_history
from batch_screen.planning.shards import history_path, read_plan
from batch_screen.runs.events import RunEvents
from batch_screen.runs.finding import find_run
from batch_screen.runs.layout import layout_of_run
from batch_screen.runs.state import Identity, Run, limit_of, new_run_id
from batch_screen.storage.scratch import scratch_folder
from batch_screen.tables.manifest import kept_names, read_facts
from batch_screen.tables.summary import Rows, Summary, count_rows

# What a run will not ask, before it is begun: counted where it is known, estimated where not.
#
# What earlier runs know is in the plan, so reuse and windows are counted, as of now. What a date
# or another signal will save depends on answers: that is bounded, and estimated by the shares of
# the latest earlier run that asked the same.

REUSE, DERIVE, CHAIN = "reuse", "derive", "chain"
_CHAIN = (Endpoint.DEVICE_SWAP_CHECK, Endpoint.SIM_SWAP_CHECK)


class Saving(msgspec.Struct, frozen=True):
    """Requests to an endpoint that one rule of the planner saves, by itself.

    ``is_on``: the settings ask for it; else it could be had. ``likely`` is exact where
    ``at_least`` is ``at_most``, else as it was in the run ``as_in``; None: no run is comparable.
    """

    how: str
    endpoint: str
    is_on: bool
    at_least: int
    at_most: int
    likely: int | None = None
    as_in: str | None = None

    @property
    def is_exact(self) -> bool:
        return self.at_least == self.at_most


class Windows(msgspec.Struct, frozen=True):
    """How many of a check's windows reach back to an earlier run, as of now."""

    reaching: int
    beyond: int
    first: int


class Estimate(msgspec.Struct, frozen=True):
    """The most requests that a run started now would send to each endpoint, and the savings."""

    to_ask: dict[Endpoint, int]
    savings: list[Saving]
    windows: dict[str, Windows]

    @property
    def likely(self) -> int | None:
        """Estimated requests in all; None if all is exact, or no run is comparable."""
        estimated = [s for s in self.savings if s.is_on and not s.is_exact]
        if not estimated or any(s.likely is None for s in estimated):
            return None
        left = {endpoint.value: float(count) for endpoint, count in self.to_ask.items()}
        for saving in estimated:
            left[saving.endpoint] *= 1 - (saving.likely or 0) / saving.at_most
        return round(sum(left.values()))


def estimate(
    settings: Settings, plan: Plan, folder: Path, now: datetime, earlier: Sequence[Summary]
) -> Estimate:
    """The estimate of a plan. ``earlier`` are summaries, the newest first."""
    rules = rules_of(settings)
    reused, observed, beyond = _known(plan, folder, rules, now)
    numbers = plan.unique_numbers
    to_ask = {e: numbers - reused[e] for e in rules.endpoints}
    to_ask |= {date: beyond[date.check] for date in rules.joined}
    exact = [
        Saving(REUSE, e.value, is_on=True, at_least=n, at_most=n, likely=n)
        for e in Endpoint
        if e in rules.endpoints and (n := reused[e])
    ]
    checks = [e for e in rules.endpoints if e.takes_max_age]
    windows = {
        e.value: Windows(observed[e] - beyond[e], beyond[e], numbers - observed[e])
        for e in checks
        if rules.reaches_back
    }
    guesses = [*_derivable(rules, to_ask, beyond), *_chainable(rules, to_ask)]
    savings = [guess for saving in guesses if (guess := _guessed(saving, rules, earlier)).at_most]
    return Estimate(to_ask, [*exact, *savings], windows)


def _known(
    plan: Plan, folder: Path, rules: Rules, now: datetime
) -> tuple[Counter[Endpoint], Counter[Endpoint], Counter[Endpoint]]:
    """Per endpoint: outcomes to reuse, numbers observed before, and those observed too long ago."""
    reused: Counter[Endpoint] = Counter()
    observed: Counter[Endpoint] = Counter()
    beyond: Counter[Endpoint] = Counter()
    slack = timedelta(minutes=LONGEST_WINDOW_MINUTES - rules.margin_minutes)
    for shard, planned in enumerate(plan.shards):
        known = read_history(history_path(folder, shard), planned.history_sha256)
        for name, rows in known.filter("reusable").group_by("endpoint").len().iter_rows():
            reused[Endpoint(name)] += 0 if Endpoint(name) in rules.joined else rows
        for check, last in _last_observed(known):
            is_beyond = (pl.col("responded_at") < now - slack) & ~pl.col("reusable")
            observed[check] += last.height
            beyond[check] += last.filter(is_beyond).height
    return reused, observed, beyond


def _last_observed(known: pl.DataFrame) -> list[tuple[Endpoint, pl.DataFrame]]:
    """Per check, one row a number: when it was last observed, and whether it is reused."""
    is_conclusive = pl.col("latest_change").is_null() | (
        pl.col("latest_change") == LatestChange.REPORTED.value
    )
    found = []
    for check in (e for e in Endpoint if e.takes_max_age and e.date):
        names = [check.value, str(check.date)]
        rows = known.filter(pl.col("endpoint").is_in(names), is_conclusive)
        is_reused = (pl.col("reusable") & (pl.col("endpoint") == check.value)).any()
        last = rows.group_by("e164").agg(pl.col("responded_at").max(), reusable=is_reused)
        found.append((check, last))
    return found


def _derivable(
    rules: Rules, to_ask: Mapping[Endpoint, int], beyond: Mapping[Endpoint, int]
) -> list[Saving]:
    """Checks that a date may derive."""
    found = []
    for check in (e for e in rules.endpoints if e.takes_max_age):
        if check.date in rules.endpoints and check.date not in rules.joined:
            is_on = rules.derives or bool(rules.asks_dates_beyond and beyond[check])
            most = to_ask[check] if rules.derives or not is_on else beyond[check]
            found.append(Saving(DERIVE, check.value, is_on=is_on, at_least=0, at_most=most))
        elif rules.asks_dates_beyond:
            most = min(beyond[check], to_ask[check])
            found.append(Saving(DERIVE, check.value, is_on=True, at_least=0, at_most=most))
    return found


def _chainable(rules: Rules, to_ask: Mapping[Endpoint, int]) -> list[Saving]:
    """Lookups that are asked only if another signal has changed."""
    chain = dict(rules.only_where_changed)
    if all(e in rules.endpoints for e in _CHAIN) and _CHAIN[0] not in chain:
        chain.setdefault(*_CHAIN)
    return [
        Saving(CHAIN, e.value, is_on=e in rules.only_where_changed, at_least=0, at_most=to_ask[e])
        for e in chain
    ]


def _guessed(saving: Saving, rules: Rules, earlier: Sequence[Summary]) -> Saving:
    """The saving, estimated by the shares of the latest comparable run."""
    endpoint = Endpoint(saving.endpoint)
    first = rules.only_where_changed.get(endpoint, _CHAIN[1])
    basis = endpoint.date if saving.how == DERIVE else first
    for summary in earlier:
        figures = summary.endpoints.get(str(basis))
        if figures is not None and (asked := figures.total - figures.spared):
            # Saved are the numbers with a date, or those of which it is known that nothing changed.
            unchanged = figures.by_outcome.get(OutcomeKind.SUCCESS.value, 0) - figures.positives
            saved = figures.positives if saving.how == DERIVE else unchanged
            likely = round(saved / asked * saving.at_most)
            return msgspec.structs.replace(saving, likely=likely, as_in=summary.run_id)
    return saving


class PlanResult(msgspec.Struct, frozen=True):
    """The estimate per endpoint; nothing was sent.

    ``seconds`` are those of asking at the rates that settings and timetable permit, pauses
    included. ``requests_left`` and ``cost_left`` of the budget; None: it has no such bound.
    What is ``to_ask``, its cost and its time are the most there can be; ``likely_requests`` is
    an estimate. ``savings`` and ``windows`` are empty once the run has asked. ``contracts`` are
    those of regions; unset where one serves all.
    """

    rows: Rows
    lookups: dict[str, int]
    already_answered: dict[str, int]
    to_ask: dict[str, int]
    cost: float | None
    currency: str
    rate_per_second: float
    seconds: float
    requests_left: int | None
    cost_left: float | None
    resumes: str | None
    facts: dict[str, str]
    savings: list[Saving] = []
    windows: dict[str, Windows] = {}
    likely_requests: int | None = None
    contracts: dict[str, ContractEstimate] | msgspec.UnsetType = msgspec.UNSET


def plan(job: Job, events: RunEvents | None = None) -> PlanResult:
    """Estimates requests and cost of ``run``; sends nothing and changes no state."""
    events = events or RunEvents()
    job = job.with_ids()
    refuse_unpriced(job.settings)
    refuse_unknown_regions(job.settings)
    refuse_other_ids(job)
    sources = expand(job.inputs, excluded=job.excluded, note=events.progress.note)
    with (
        scratch_folder() as scratch,
        on_disk(sources, scratch, events) as files,
    ):
        events.progress.stage("reading")
        identity = job.identity(files)
        run = _resumable(job, identity, full_paths(files), events)
        folder = made = scratch / "plan"
        plan = None
        if run and (plan := plan_without_objected(job, run, identity, made, events)) is None:
            folder, plan = run.plan, read_plan(run.plan)
        if run and run.identity.keep_columns != identity.keep_columns:
            opened(files, job.settings)  # a column that is not there is said now
            events.progress.note(
                f"run {run.run_id} has other kept columns: it is written with these, and that asks "
                "nothing"
            )
        if plan is None:
            folder = made
            plan = plan_inputs(
                files, job.settings, made, events, identity, now=job.now, ids=job.ids
            )
        before = [other.summary for other in runs_before(job.settings, identity, job.now)]
        # The shares of a trial with a few numbers say little.
        before = [summary for summary in before if not limit_of(summary.settings)]
        expected = estimate(job.settings, plan, folder, job.now, before)
        endpoints = job.settings.endpoints
        if run is not None:
            earlier = so_far(run, plan, endpoints, folder)
        else:  # a run whose state was removed is complete all the same
            was_complete = not job.new_run and _is_complete(job, new_run_id(identity, 1), plan)
            answered = dict.fromkeys(endpoints, plan.unique_numbers if was_complete else 0)
            earlier = SoFar(answered, {})
        found = _result(job, plan, run, earlier, expected)
        if not job.settings.contracts:
            return found
        to_ask = {Endpoint(name): count for name, count in found.to_ask.items()}
        each = estimate_contracts(job.settings, plan, folder, run, to_ask, _seconds)
    # They are asked at the same time: the slowest one ends last.
    slowest = max(contract.seconds for contract in each.values())
    return msgspec.structs.replace(found, contracts=each, seconds=slowest)


def _is_complete(job: Job, run_id: str, plan: Plan) -> bool:
    """Whether the run is complete with the plan's columns: without its state it gets no others."""
    if run_id not in job.complete_runs():
        return False
    manifest = read_facts(layout_of_run(job.out, run_id))
    return manifest is not None and kept_names(manifest.kept_columns) == kept_names(plan.kept)


def _result(
    job: Job, plan: Plan, run: Run | None, earlier: SoFar, expected: Estimate
) -> PlanResult:
    endpoints = job.settings.endpoints
    has_begun = any(earlier.answered.values())  # then what is saved is among what is answered
    to_ask = {e: plan.unique_numbers - earlier.answered[e] for e in endpoints}
    if not has_begun:
        to_ask = expected.to_ask
    prices, settings = job.settings.prices, job.settings
    budget = BudgetGuard(settings.budget, prices, earlier.spent)
    return PlanResult(
        rows=count_rows(plan),
        lookups={e.value: plan.unique_numbers for e in endpoints},
        already_answered={e.value: earlier.answered[e] for e in endpoints},
        to_ask={e.value: count for e, count in to_ask.items()},
        cost=round(sum(n * prices.per_request.get(e, 0.0) for e, n in to_ask.items()), 6)
        if prices.per_request
        else None,
        currency=mask_text(prices.currency),
        rate_per_second=settings.pacing.rate_per_second,
        seconds=round(_seconds(settings, to_ask), 1),
        requests_left=budget.requests_left,
        cost_left=None if budget.cost_left is None else float(budget.cost_left),
        resumes=run.run_id if run else None,
        facts=plan.facts,
        savings=[] if has_begun else expected.savings,
        windows={} if has_begun else expected.windows,
        likely_requests=None if has_begun else expected.likely,
    )


def _seconds(settings: Settings, to_ask: Mapping[Endpoint, int]) -> float:
    """Seconds of asking: by the overall rate, or by the slowest endpoint's."""
    pacing, now = settings.pacing, datetime.now(UTC)
    together = Timetable(settings.schedule, pacing.rate_per_second, headroom=pacing.headroom)
    alone = [
        Timetable(settings.schedule, rate, headroom=pacing.headroom).seconds_needed(
            to_ask.get(endpoint, 0), now
        )
        for endpoint, rate in pacing.rate_per_second_by_endpoint.items()
    ]
    return max(together.seconds_needed(sum(to_ask.values()), now), *alone, 0.0)


def _resumable(job: Job, identity: Identity, inputs: list[str], events: RunEvents) -> Run | None:
    output = job.settings.output
    if job.new_run or not (output.state_folder or output.folder):
        return None
    is_grown = grown_opt_outs(job, identity, events)
    found = find_run(job.state, identity, inputs, is_grown, job.out_if_named)
    if found is None and not job.is_attended:
        with suppress(ConfigurationError):  # the run will say so
            found = unfinished_run(job, identity, is_grown)
    return found
