"""What a run would ask, cost and take: the line up to the plan, and arithmetic."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from batch_screen.config.settings import Settings
from batch_screen.engine.budget import Budget, refuse_unpriced
from batch_screen.engine.history import SoFar, so_far
from batch_screen.engine.schedule import Timetable
from batch_screen.job import Job
from batch_screen.model import Endpoint, Plan
from batch_screen.numbers.permitted import refuse_unknown_regions
from batch_screen.output.summary import Rows, count_rows
from batch_screen.plan import read_plan
from batch_screen.planning import full_paths, on_disk, plan_inputs, runs_before
from batch_screen.reading.inputs import expand
from batch_screen.runs import Identity, Run, find_run, new_run_id
from batch_screen.sparing import Expected, Saving, Windows, expected
from batch_screen.watch import Watch


class Forecast(msgspec.Struct, frozen=True):
    """What a run would do, per endpoint; nothing was sent.

    ``seconds`` are those of asking at the rates that settings and timetable permit, pauses
    included. ``requests_left`` and ``cost_left`` of the budget; None: it has no such bound.
    What is ``to_ask``, its cost and its time are the most there can be; ``likely_requests`` is
    an estimate. ``savings`` and ``windows`` are told of runs that have asked nothing yet.
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


def forecast(job: Job, watch: Watch | None = None) -> Forecast:
    """What ``screen`` would ask and what it would cost; sends nothing and changes no state."""
    watch = watch or Watch()
    refuse_unpriced(job.settings)
    refuse_unknown_regions(job.settings.numbers)
    sources = expand(job.inputs, apart=job.apart)
    with (
        tempfile.TemporaryDirectory(prefix="batch-screen-") as scratch,
        on_disk(sources, Path(scratch), watch) as files,
    ):
        watch.progress.stage("reading")
        identity = job.identity(files)
        run = _resumable(job, identity, full_paths(files))
        folder = Path(scratch) / "plan"
        plan = read_plan(run.plan) if run else None
        if run and plan:
            folder = run.plan
        else:
            plan = plan_inputs(files, job.settings, folder, watch, identity, now=job.now)
        before = [other.summary for other in runs_before(job.settings, identity, job.now)]
        spared = expected(job.settings, plan, folder, job.now, before)
    endpoints = job.settings.endpoints
    if run is not None:
        earlier = so_far(run, plan, endpoints)
    else:  # a run whose state was removed is complete all the same
        was_complete = not job.new_run and new_run_id(identity, 1) in job.complete_runs()
        answered = dict.fromkeys(endpoints, plan.unique_numbers if was_complete else 0)
        earlier = SoFar(answered, {})
    return _forecast(job, plan, run, earlier, spared)


def _forecast(job: Job, plan: Plan, run: Run | None, earlier: SoFar, spared: Expected) -> Forecast:
    endpoints = job.settings.endpoints
    has_begun = any(earlier.answered.values())  # then what is spared is among what is answered
    to_ask = {e: plan.unique_numbers - earlier.answered[e] for e in endpoints}
    if not has_begun:
        to_ask = spared.to_ask
    prices, settings = job.settings.prices, job.settings
    budget = Budget(settings.budget, prices, earlier.spent)
    return Forecast(
        rows=count_rows(plan),
        lookups={e.value: plan.unique_numbers for e in endpoints},
        already_answered={e.value: earlier.answered[e] for e in endpoints},
        to_ask={e.value: count for e, count in to_ask.items()},
        cost=round(sum(n * prices.per_request.get(e, 0.0) for e, n in to_ask.items()), 6)
        if prices.per_request
        else None,
        currency=prices.currency,
        rate_per_second=settings.pacing.rate_per_second,
        seconds=round(_seconds(settings, to_ask), 1),
        requests_left=budget.requests_left,
        cost_left=None if budget.cost_left is None else float(budget.cost_left),
        resumes=run.run_id if run else None,
        facts=plan.facts,
        savings=[] if has_begun else spared.savings,
        windows={} if has_begun else spared.windows,
        likely_requests=None if has_begun else spared.likely,
    )


def _seconds(settings: Settings, to_ask: Mapping[Endpoint, int]) -> float:
    """How long the asking takes: as long as all together, or as the slowest endpoint alone."""
    pacing, now = settings.pacing, datetime.now(UTC)
    together = Timetable(settings.schedule, pacing.rate_per_second, headroom=pacing.headroom)
    alone = [
        Timetable(settings.schedule, rate, headroom=pacing.headroom).seconds_needed(
            to_ask.get(endpoint, 0), now
        )
        for endpoint, rate in pacing.rate_per_second_by_endpoint.items()
    ]
    return max(together.seconds_needed(sum(to_ask.values()), now), *alone, 0.0)


def _resumable(job: Job, identity: Identity, inputs: list[str]) -> Run | None:
    output = job.settings.output
    if job.new_run or not (output.state_folder or output.folder):
        return None
    return find_run(job.state, identity, inputs)
