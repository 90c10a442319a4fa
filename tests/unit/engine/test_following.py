"""A run whose lookups wait for each other comes to the same end, wherever it was cut."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from batch_screen.config.screening import Planner, Screening
from batch_screen.config.sections import Guards
from batch_screen.config.settings import Pacing, Settings
from batch_screen.engine.checkpoint import Checkpointer
from batch_screen.engine.dependencies import (
    Number,
    Rules,
    rules_of,
)
from batch_screen.engine.following import Following
from batch_screen.engine.resume import so_far
from batch_screen.engine.tasks import Places, Result, Sent, outcome_of
from batch_screen.errors import Stopped
from batch_screen.model import (
    Answer,
    Endpoint,
    Key,
    LatestChange,
    Lookup,
    Outcome,
    OutcomeKind,
    Plan,
)
from batch_screen.runs.state import Run
from tests.making import dispatcher_of, known_rows, made, number

SIM, SIM_DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
DEVICE = Endpoint.DEVICE_SWAP_CHECK
CELLS = range(60)
BEGUN = datetime.now(UTC)
SENT = Sent("a name", Places(1, 1), at=0.0, began=0.0)
TIMES = ["latency_ms", "responded_at", "correlator", "max_age_minutes"]


def settings_for(canary: int = 5, **screening: Any) -> Settings:
    return Settings(
        screening=Screening(
            **{
                "endpoints": [SIM, SIM_DATE, DEVICE],
                **screening,
            }
        ),
        planner=Planner(
            derive_checks=True,
            only_where_changed={DEVICE: SIM},
            reuse_within_minutes={SIM_DATE: 600},
        ),
        pacing=Pacing(rate_per_second=1e5, ramp_up_seconds=0, max_concurrency=8),
        guards=Guards(grace_seconds=5, canary_answers=canary),
    )


def earlier() -> pl.DataFrame:
    """Every fifth number was seen two days ago, and every seventh has a date to be reused."""
    seen, at = BEGUN - timedelta(days=2), BEGUN - timedelta(hours=1)
    seen_by = {"outcome": "success", "source_run_id": "20260301-0123456789"}
    rows: list[dict[str, Any]] = [
        {
            "e164": number(i),
            "endpoint": SIM.value,
            "responded_at": seen,
            "swapped": False,
            **seen_by,
        }
        for i in range(0, 60, 5)
    ]
    rows += [
        {
            "e164": number(i),
            "endpoint": SIM_DATE.value,
            "responded_at": at,
            "latest_change": "none_reported",
            **seen_by,
        }
        for i in range(0, 60, 7)
    ]
    return known_rows([{**row, "reusable": row["endpoint"] == SIM_DATE.value} for row in rows])


class Server:
    """Answers at once, always the same, and counts what it was asked."""

    def __init__(self, *, knows_dates: bool = True) -> None:
        self.asked: Counter[Key] = Counter()
        self.windows: list[int | None] = []
        self._knows_dates = knows_dates

    async def ask(self, lookup: Lookup, _correlator: str) -> Answer:
        self.asked[lookup.key] += 1
        self.windows.append(lookup.max_age_minutes)
        await asyncio.sleep(0)
        i = int(lookup.e164[-5:])
        if not lookup.endpoint.answers_date:
            return Answer(kind=OutcomeKind.SUCCESS, swapped=i % 3 == 0, http_status=200)
        if i % 4 == 0 or not self._knows_dates:
            return Answer(kind=OutcomeKind.NOT_FOUND, http_status=404)
        return Answer(
            kind=OutcomeKind.SUCCESS,
            latest_change=LatestChange.REPORTED,
            latest_change_at=datetime.now(UTC) - timedelta(hours=1 if i % 3 == 0 else 500),
            http_status=200,
        )


async def start(run: Run, plan: Plan, settings: Settings, server: Server, most: int) -> None:
    """One start, which is stopped after so many requests."""

    def saved(_count: int) -> None:
        dispatcher.wake()

    line = Checkpointer(
        run,
        plan,
        rules_of(settings),
        on_saved=saved,
        on_failure=lambda error: dispatcher.halt(error),  # noqa: PLW0108 (made below)
    )

    async def ask(lookup: Lookup, correlator: str) -> Answer:
        if dispatcher.attempts >= most:
            dispatcher.halt(Stopped("enough"))
        return await server.ask(lookup, correlator)

    dispatcher = dispatcher_of(settings, ask, line, rate=1e5, correlate=run.correlator)
    try:
        await dispatcher.run(line.tasks())
    except Stopped:
        pass
    finally:
        await line.close()


def outcomes(run: Run) -> pl.DataFrame:
    frame = pl.concat([pl.read_parquet(path) for path in sorted(run.sealed.glob("*.parquet"))])
    dates = [name for name in ("latest_change_at", "latest_change_raw") if name in frame.columns]
    return frame.drop(*TIMES, *dates).sort("e164", "endpoint")


def finished(
    folder: Path, settings: Settings, server: Server, cuts: Iterator[int], shard_rows: int
) -> pl.DataFrame:
    run, plan = made(folder, CELLS, settings, shard_rows=shard_rows, known=earlier())
    for _ in range(200):
        asyncio.run(start(run, plan, settings, server, next(cuts)))
        answered = so_far(run, plan, settings.endpoints).answered
        if sum(answered.values()) == 60 * len(settings.endpoints):
            break
    assert len(list(run.sealed.glob("*.seal"))) == len(plan.shards)
    return outcomes(run)


@pytest.mark.parametrize("max_age", ["", "since-last-run"])
@pytest.mark.parametrize(("cut", "shard_rows"), [(7, 1000), (23, 15)])
def test_any_cut_and_a_resume_is_one_run_and_nothing_is_bought_twice(
    tmp_path: Path, cut: int, max_age: str, shard_rows: int
) -> None:
    settings = settings_for(max_age=max_age)
    whole, halves = Server(), Server()
    one = finished(tmp_path / "one", settings, whole, iter([10**6] * 200), shard_rows)
    other = finished(tmp_path / "other", settings, halves, iter([cut] * 200), shard_rows)
    assert one.equals(other)
    assert whole.asked == halves.asked
    assert set(halves.asked.values()) == {1}
    if max_age:  # the numbers that were seen before have their date asked, or a gap
        assert set(halves.windows) == {None, 2400}
    sources = Counter(one["source"])
    assert sources["asked"] == whole.asked.total()
    assert min(sources["derived"], sources["reused"], sources[None]) > 0
    reasons = set(one["reason"].drop_nulls())
    assert reasons >= {"sim_unchanged"}
    assert one.height == 60 * len(settings.endpoints)


def test_what_the_canary_held_to_the_end_is_followed_too(tmp_path: Path) -> None:
    settings = settings_for(canary=60)
    server = Server(knows_dates=False)
    found = finished(tmp_path, settings, server, iter([10**6] * 200), 1000)
    assert Counter(found.filter(pl.col("endpoint") == SIM.value)["source"]) == {"asked": 60}
    assert Counter(found.filter(pl.col("endpoint") == DEVICE.value)["reason"]) == {
        None: 20,
        "sim_unchanged": 40,
    }


def rules(*endpoints: Endpoint, **planner: Any) -> Rules:
    return rules_of(Settings(screening=Screening(endpoints=endpoints), planner=Planner(**planner)))


CHAIN = {"derive_checks": True, "only_where_changed": {DEVICE: SIM}}


def test_a_forgotten_number_says_how_many_waited_and_learns_nothing_more() -> None:
    following = Following(rules(SIM, SIM_DATE, DEVICE, **CHAIN))
    begun = following.begin(Number(0, number(1)))
    assert begun.ask == [SIM_DATE]
    assert following.forget(number(1), SIM_DATE) == 2
    assert not following.is_waiting
    assert following.learn(Outcome(number(1), SIM_DATE, kind=OutcomeKind.NOT_FOUND)) is None
    assert following.forget(number(1), SIM_DATE) == 0, "they were counted"


def test_what_is_asked_already_did_not_wait() -> None:
    following = Following(rules(SIM, SIM_DATE, DEVICE, **CHAIN))
    following.begin(Number(0, number(1)))
    found = following.learn(Outcome(number(1), SIM_DATE, kind=OutcomeKind.NOT_FOUND))
    assert found is not None
    assert found[1].ask == [SIM]
    assert following.forget(number(1), SIM) == 1
    plain = Following(rules(SIM, DEVICE))
    plain.begin(Number(0, number(2)))
    assert plain.forget(number(2), SIM) == plain.forget(number(3), SIM) == 0


async def dropping(run: Run, plan: Plan, settings: Settings, given_up: Endpoint) -> None:
    """A start in which one endpoint was given up before it began."""
    line = Checkpointer(
        run, plan, rules_of(settings), on_saved=lambda _: None, on_failure=lambda _: None
    )
    server, idle = Server(), 0
    while idle < 5:
        for task in line.tasks():
            idle = 0
            if task.lookup.endpoint is given_up:
                line.drop(task.shard, task.lookup)
                continue
            answer = await server.ask(task.lookup, "")
            result = Result(task, answer, SENT, datetime.now(UTC), 0.0)
            line.save(task.shard, outcome_of(result))
        idle += 1
        line.hurry()
        await asyncio.sleep(0.01)
    await line.close()


def test_what_was_dropped_and_all_that_waited_for_it_is_asked_by_the_next_start(
    tmp_path: Path,
) -> None:
    settings, server = settings_for(), Server()
    run, plan = made(tmp_path, CELLS, settings, shard_rows=15)
    asyncio.run(dropping(run, plan, settings, SIM_DATE))
    assert so_far(run, plan, settings.endpoints).answered == {
        SIM: 0,
        SIM_DATE: 0,
        DEVICE: 0,
    }
    assert not list(run.sealed.glob("*.seal"))
    asyncio.run(start(run, plan, settings, server, 10**6))
    assert set(so_far(run, plan, settings.endpoints).answered.values()) == {60}
    assert len(list(run.sealed.glob("*.seal"))) == len(plan.shards)


def test_what_waits_for_another_endpoint_does_not_fall_with_the_one_given_up(
    tmp_path: Path,
) -> None:
    settings = Settings(
        screening=Screening(endpoints=[SIM, SIM_DATE, DEVICE]),
        planner=Planner(derive_checks=True),
    )
    run, plan = made(tmp_path, CELLS, settings)
    asyncio.run(dropping(run, plan, settings, DEVICE))
    assert so_far(run, plan, settings.endpoints).answered == {
        SIM: 60,
        SIM_DATE: 60,
        DEVICE: 0,
    }


def test_outcomes_that_need_no_asking_do_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch_screen.engine.checkpoint._MOST_WRITTEN", 20)
    settings = Settings(
        screening=Screening(endpoints=[SIM_DATE]),
        planner=Planner(reuse_within_minutes=600),
        pacing=Pacing(rate_per_second=1e5, ramp_up_seconds=0),
    )
    rows = [{**row, "e164": number(i)} for row in earlier().to_dicts()[-1:] for i in CELLS]
    run, plan = made(tmp_path, CELLS, settings, known=known_rows(rows))
    most = []
    saved = Checkpointer.save

    def save(line: Checkpointer, *arguments: Any) -> None:
        saved(line, *arguments)
        most.append(line.unsaved)

    monkeypatch.setattr(Checkpointer, "save", save)
    server = Server()
    asyncio.run(start(run, plan, settings, server, 0))
    assert server.asked.total() == 0
    assert max(most) == 20
    assert outcomes(run)["source"].to_list() == ["reused"] * 60
