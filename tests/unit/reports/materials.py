"""Runs as the page is given them: a plain one, one that was stopped, and the largest there is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from batch_screen.config.settings import Settings
from batch_screen.model import Endpoint, OutcomeKind, Pace, Session
from batch_screen.numbers.rules import RejectReason
from batch_screen.reports.verdict import Material
from batch_screen.tables.breakdown import FUTURE, Breakdown, Signs
from batch_screen.tables.coverage import Changes, Cohort
from batch_screen.tables.errors import ErrorSummary, Failure, RejectExample
from batch_screen.tables.manifest import ListedFile
from batch_screen.tables.results import NAMES
from batch_screen.tables.summary import COMPLETE, STOPPED, Ending, LookupFigures, Rows, Summary

BEGAN = datetime(2026, 11, 23, 2, 15, tzinfo=UTC)
RUN = "20261123-0123456789"
CHECK = {"yes": 3, "no": 95, "unknown": 2}
DATES = {**dict.fromkeys(NAMES, 6), "none_reported": 8, "unknown": 2}
SIGNS = Signs(sim_and_device=1, forwarded=1, sim_only=2, device_only=1, unknown=2, unanswered=1)


def session(pace: Pace | None = None) -> Session:
    pace = pace or Pace(1.0, [10, 40, 49, 30], [0, 0, 2, 0], [10.0, 40.0, 49.0, 49.0])
    seconds = len(pace.attempts) * pace.step_seconds
    return Session(BEGAN, BEGAN + timedelta(seconds=9), sum(pace.attempts), seconds, pace)


def lookups(**by_outcome: int) -> LookupFigures:
    total = sum(by_outcome.values())
    latency = {"p50": 12.0, "p95": 80.5, "p99": 1200.0}
    return LookupFigures(total, by_outcome, 3, total + 2, 1, 0, latency, 0.5)


def summary(**changed: Any) -> Summary:
    plain = Summary(
        run_id=RUN,
        run_date="2026-11-23",
        version="0.1.0",
        status=COMPLETE,
        rows=Rows(130, 110, 20, {"empty": 12, "too_short": 8}, 10, 100),
        endpoints={e.value: lookups(success=98, not_found=1, timeout=1) for e in Endpoint},
        cost=2.5,
        currency="EUR",
        session=session(),
        settings=Settings().identity(),
        facts={"phone_column": "phone", "number_metadata": "9.0.43"},
        starts=[session()],
        max_failure_share=0.05,
        risk={"risk_version": {"1": 110}},
    )
    return replace(plain, **changed)


def breakdown(regions: int = 2) -> Breakdown:
    names = ["GB", "DE"] if regions == 2 else [f"R{n:03}" for n in range(regions)]
    values = {e.value: dict.fromkeys(names, DATES if e.answers_date else CHECK) for e in Endpoint}
    return Breakdown(100 * regions, SIGNS, values)


def errors() -> ErrorSummary:
    failures = [
        Failure("sim-swap/check", "not_found", 404, "NOT_FOUND", "not here", 1),
        Failure("sim-swap/check", "timeout", None, "", "", 1),
    ]
    examples = {
        "empty": [RejectExample("", "GB", "list.csv", 3)],
        "too_short": [
            RejectExample("01•", "", "list.csv", 4),
            RejectExample("02•", "", "list.csv", 99),
        ],
    }
    return ErrorSummary(failures, examples)


def files() -> list[ListedFile]:
    part = f"run_date=2026-11-23/{RUN}-00000.parquet"
    return [
        ListedFile(f"results/{part}", 123_456, "a1" * 32, "results", 110),
        ListedFile(f"runs/{RUN}/summary.json", 5_000, "b2" * 32),
    ]


def material(**changed: Any) -> Material:
    return Material(summary(**changed), breakdown(), errors(), files())


def stopped() -> Material:
    ending = Ending("the account is empty: top it up", 4)
    some = {e: replace(f, left=40) for e, f in summary().endpoints.items()}
    return Material(summary(status=STOPPED, stopped=ending, endpoints=some))


def largest() -> Material:
    """Everything at once and as long as it can be: 200 regions, 1,200 steps, all reasons."""
    long, count = "W" * 4_000, 98_765_432
    pace = Pace(1.0, [*range(9_000, 10_200)], [n % 7 for n in range(1200)], [9_800.5] * 1200)
    every = dict.fromkeys((kind.value for kind in OutcomeKind), count)
    values = dict.fromkeys([FUTURE, *DATES], count // 200)
    checks = dict.fromkeys(CHECK, count // 200)
    by_region = {
        e.value: {f"R{n:03}": values if e.answers_date else checks for n in range(200)}
        for e in Endpoint
    }
    counts = dict.fromkeys(
        ("newly_positive", "newly_negative", "date_moved", "became_unknown", "became_known"), count
    )
    cohorts = [Cohort("block", f"{long[:300]}{n}", count, count, 0.5, 0.1) for n in range(500)]
    changes = Changes(
        RUN, "2026-11-22", {e.value: counts for e in Endpoint}, count, count, count, cohorts
    )
    full = summary(
        rows=Rows(count, count, count, dict.fromkeys(RejectReason, count), count, count),
        endpoints={e.value: lookups(**every) for e in Endpoint},
        settings={f"section.setting_{n}": long for n in range(300)},
        facts={"phone_column": long},
        starts=[session(pace) for _ in range(20)],
        max_failure_share=0.0,
        changes=changes,
    )
    example = RejectExample("•" * 120, "R" * 120, "f" * 120, count)
    failures = [
        Failure(e.value, kind.value, status, "C" * 120, f"{status}" + "d" * 117, count)
        for e in Endpoint
        for kind in OutcomeKind
        for status in range(400, 430)
    ]
    table = [
        ListedFile(f"{t}/run_date=2026-11-23/{RUN}-{n:05}.parquet", count, "0f" * 32, t, count)
        for t in ("results", "lookups", "errors")
        for n in range(500)
    ]
    examples = {reason.value: [example, example] for reason in RejectReason}
    found = Breakdown(count, replace(SIGNS, unknown=count), by_region)
    return Material(full, found, ErrorSummary(failures, examples), table)
