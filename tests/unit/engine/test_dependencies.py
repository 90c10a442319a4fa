"""Every number comes to one outcome at every endpoint, in whatever order answers come."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batch_screen.config.screening import Planner, Screening
from batch_screen.config.sections import Guards
from batch_screen.config.settings import Pacing, Settings
from batch_screen.engine.adaptive_rate import AdaptiveRate
from batch_screen.engine.budget import Budget
from batch_screen.engine.checkpoint import Checkpointer
from batch_screen.engine.dependencies import (
    NOBODY_ASKED,
    Decision,
    EarlierAnswers,
    Following,
    Number,
    Rules,
    aimed,
    decide,
    is_beyond,
    rules_of,
    wanted_minutes,
)
from batch_screen.engine.dispatcher import Dispatcher
from batch_screen.engine.pacer import Pacer
from batch_screen.engine.resume import so_far
from batch_screen.engine.tasks import Places, Result, Sent, outcome_of
from batch_screen.errors import Stopped
from batch_screen.model import (
    NOT_NEEDED,
    Answer,
    AnswerSource,
    Endpoint,
    Key,
    LatestChange,
    Lookup,
    Outcome,
    OutcomeKind,
    Plan,
)
from batch_screen.runs.state import Run
from tests.making import known_rows, made, number

SIM, SIM_DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
DEVICE, DEVICE_DATE = Endpoint.DEVICE_SWAP_CHECK, Endpoint.DEVICE_SWAP_DATE
FORWARDING = Endpoint.CALL_FORWARDING_CHECK
NOW = datetime(2026, 3, 2, tzinfo=UTC)
NUMBER = "+447700900001"
DAY = 1440


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def settings_of(endpoints: object, planner: dict[str, Any], **screening: Any) -> Settings:
    return Settings(
        screening=Screening(endpoints=endpoints, **screening), planner=Planner(**planner)
    )


def rules(endpoints: object = "all", **values: Any) -> Rules:
    screening = {k: values.pop(k) for k in ("max_age", "beyond_window") if k in values}
    return rules_of(settings_of(endpoints, values, **screening))


class World:
    """What the API would say of a number: a date in minutes ago, None, or a failure."""

    def __init__(self, said: dict[Endpoint, object]) -> None:
        self.said = said

    def answer(self, endpoint: Endpoint) -> Outcome:
        said = self.said.get(endpoint, False)
        values: dict[str, Any] = {"kind": OutcomeKind.SUCCESS, "responded_at": NOW, "attempts": 1}
        if isinstance(said, OutcomeKind):
            return Outcome(NUMBER, endpoint, kind=said, responded_at=NOW, attempts=1)
        if not endpoint.answers_date:
            values["active" if endpoint is FORWARDING else "swapped"] = bool(said)
        elif said is None or isinstance(said, bool):
            values["latest_change"] = LatestChange.NONE_REPORTED
        else:
            values["latest_change"] = LatestChange.REPORTED
            values["latest_change_at"] = ago(float(str(said)))
        return Outcome(NUMBER, endpoint, **values)


def played(
    ruled: Rules, world: World, past: EarlierAnswers = NOBODY_ASKED, *, seed: int = 0, cuts: int = 0
) -> tuple[dict[Endpoint, Outcome], list[Endpoint]]:
    """The outcomes of a number and what was asked, answers coming in any order.

    At a cut, what is under way is lost and a new start goes on with what was saved.
    """
    chance = random.Random(seed)
    number, pending = Number(0, NUMBER, past), list[Outcome]()
    asked: list[Endpoint] = []
    while (told := decide(ruled, number, NOW)) != Decision([], []) or pending:
        asked += told.ask
        pending += [*map(world.answer, told.ask), *told.write]
        if cuts and chance.random() < 0.5:
            cuts -= 1
            asked = [endpoint for endpoint in asked if endpoint in number.outcomes]
            number, pending = Number(0, NUMBER, past, dict(number.outcomes)), []
            continue
        saved = pending.pop(chance.randrange(len(pending)))
        assert saved.endpoint not in number.outcomes
        number.outcomes[saved.endpoint] = saved
    return number.outcomes, asked


def kinds(outcomes: dict[Endpoint, Outcome]) -> dict[Endpoint, str]:
    """How each endpoint came to its outcome."""
    return {e: str(o.source or o.reason) for e, o in sorted(outcomes.items())}


ANSWERS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([5, 1000, 2399, 2500, 50_000]),
    st.sampled_from([OutcomeKind.NOT_FOUND, OutcomeKind.TIMEOUT, OutcomeKind.FORBIDDEN]),
)
WORLDS = st.dictionaries(st.sampled_from(Endpoint), ANSWERS).map(World)
LAST = st.dictionaries(st.sampled_from([SIM, DEVICE]), st.sampled_from([1, DAY, 2 * DAY, 30 * DAY]))


@st.composite
def rule_books(draw: st.DrawFn) -> Rules:
    named = draw(st.sets(st.sampled_from(Endpoint), min_size=1))
    chain = draw(st.dictionaries(st.sampled_from(Endpoint), st.sampled_from(Endpoint), max_size=2))
    try:
        return rules_of(
            settings_of(
                named,
                {"derive_checks": draw(st.booleans()), "only_where_changed": chain},
                max_age=draw(st.sampled_from(["", "since-last-run"])),
                beyond_window=draw(st.sampled_from(["ask-date", "report-gap"])),
            )
        )
    except ValueError:  # a circle, or a chain of what is not asked
        assume(condition=False)
        raise


@st.composite
def pasts(draw: st.DrawFn) -> EarlierAnswers:
    observed = {check: ago(minutes) for check, minutes in draw(LAST).items()}
    reusable = {}
    for endpoint in draw(st.sets(st.sampled_from([e for e in Endpoint if e is not FORWARDING]))):
        found = World({endpoint: draw(st.sampled_from([None, 5, 50_000]))}).answer(endpoint)
        reusable[endpoint] = Outcome(
            NUMBER,
            endpoint,
            kind=found.kind,
            swapped=found.swapped,
            latest_change=found.latest_change,
            latest_change_at=found.latest_change_at,
            responded_at=ago(600),
            source=AnswerSource.REUSED,
            source_run_id="20260301-0123456789",
        )
    return EarlierAnswers(observed, reusable if draw(st.booleans()) else {})


@given(ruled=rule_books(), world=WORLDS, past=pasts(), seed=st.integers(0, 99))
def test_every_endpoint_comes_to_one_outcome_and_is_asked_once_at_most(
    ruled: Rules, world: World, past: EarlierAnswers, seed: int
) -> None:
    outcomes, asked = played(ruled, world, past, seed=seed)
    assert set(outcomes) == set(ruled.endpoints)
    assert len(asked) == len(set(asked))
    for endpoint, outcome in outcomes.items():
        assert (endpoint in asked) == (outcome.source is AnswerSource.ASKED)
        assert (outcome.attempts > 0) == (endpoint in asked)
        assert (outcome.source is None) == (outcome.kind is OutcomeKind.SKIPPED)


@given(
    ruled=rule_books(), world=WORLDS, past=pasts(), seeds=st.tuples(*[st.integers(0, 99)] * 2),
    cuts=st.integers(0, 4),
)  # fmt: skip
def test_neither_the_order_of_answers_nor_a_cut_changes_anything(
    ruled: Rules, world: World, past: EarlierAnswers, seeds: tuple[int, int], cuts: int
) -> None:
    straight, asked = played(ruled, world, past, seed=seeds[0])
    other, asked_again = played(ruled, world, past, seed=seeds[1], cuts=cuts)
    assert straight == other
    assert sorted(asked) == sorted(asked_again)


@given(ruled=rule_books(), world=WORLDS, past=pasts())
def test_what_was_not_asked_has_its_reason(
    ruled: Rules, world: World, past: EarlierAnswers
) -> None:
    outcomes, asked = played(ruled, world, past)
    for endpoint, outcome in outcomes.items():
        first = ruled.only_where_changed.get(endpoint)
        if outcome.source is AnswerSource.DERIVED:
            date = world.answer(endpoint.date or endpoint)
            assert endpoint.date in asked
            assert date.latest_change_at is not None
            minutes = timedelta(minutes=outcome.max_age_minutes or 0)
            assert outcome.swapped == (date.latest_change_at >= NOW - minutes)
            assert outcome.responded_at == date.responded_at
        elif outcome.reason == NOT_NEEDED:
            assert endpoint in ruled.joined
            assert outcomes[endpoint.check].source is not AnswerSource.DERIVED
        elif outcome.source is None:
            assert first is not None
            found = outcomes[first]
            assert found.kind is OutcomeKind.SUCCESS
            assert not found.swapped
            assert not found.active
            assert outcome.reason == first.unchanged
        if endpoint in ruled.joined and outcome.source is AnswerSource.ASKED:
            assert past.observed_at[endpoint.check] <= ago(2400 - ruled.margin_minutes)


@given(world=WORLDS)
def test_by_default_everything_is_asked(world: World) -> None:
    assert rules().is_plain
    outcomes, asked = played(rules(), world)
    assert asked == list(Endpoint)
    assert set(kinds(outcomes).values()) == {"asked"}


@pytest.mark.parametrize(
    ("date", "expected", "swapped"),
    [
        (5, "derived", True),
        (2399, "derived", True),
        (2401, "derived", False),
        (50_000, "derived", False),
        (None, "asked", True),
        (OutcomeKind.NOT_FOUND, "asked", True),
        (OutcomeKind.TIMEOUT, "asked", True),
    ],
)
def test_a_check_is_asked_only_where_its_date_does_not_answer_it(
    date: object, expected: str, swapped: bool
) -> None:
    ruled = rules([SIM, SIM_DATE], derive_checks=True)
    outcomes, _ = played(ruled, World({SIM: True, SIM_DATE: date}))
    assert kinds(outcomes)[SIM] == expected
    assert outcomes[SIM].swapped == swapped


@pytest.mark.parametrize(
    ("sim", "device"),
    [
        (True, "asked"),
        (False, "sim_unchanged"),
        (OutcomeKind.NOT_FOUND, "asked"),
        (OutcomeKind.TIMEOUT, "asked"),
    ],
)
def test_what_is_unknown_is_never_taken_for_unchanged(sim: object, device: str) -> None:
    ruled = rules([SIM, DEVICE], only_where_changed={DEVICE: SIM})
    outcomes, _ = played(ruled, World({SIM: sim}))
    assert kinds(outcomes)[DEVICE] == device


@pytest.mark.parametrize(
    ("date", "device"), [(5, "asked"), (50_000, "sim_unchanged"), (None, "asked")]
)
def test_a_date_may_come_first_too(date: object, device: str) -> None:
    ruled = rules([SIM_DATE, DEVICE], only_where_changed={DEVICE: SIM_DATE})
    outcomes, _ = played(ruled, World({SIM_DATE: date}))
    assert kinds(outcomes)[DEVICE] == device


@pytest.mark.parametrize(
    ("minutes", "beyond", "date", "expected"),
    [
        (DAY, "ask-date", 5, {SIM: "asked", SIM_DATE: NOT_NEEDED}),
        (2340, "ask-date", 5, {SIM: "asked", SIM_DATE: NOT_NEEDED}),
        (2341, "ask-date", 5, {SIM: "derived", SIM_DATE: "asked"}),
        (30 * DAY, "ask-date", None, {SIM: "asked", SIM_DATE: "asked"}),
        (30 * DAY, "report-gap", 5, {SIM: "asked"}),
        (None, "ask-date", 5, {SIM: "asked", SIM_DATE: NOT_NEEDED}),
    ],
)
def test_the_date_is_asked_where_a_window_does_not_reach(
    minutes: int | None, beyond: str, date: object, expected: dict[Endpoint, str]
) -> None:
    ruled = rules([SIM], max_age="since-last-run", beyond_window=beyond)
    past = EarlierAnswers({} if minutes is None else {SIM: ago(minutes)})
    outcomes, _ = played(ruled, World({SIM_DATE: date}), past)
    assert kinds(outcomes) == {e: expected[e] for e in sorted(expected)}
    if expected[SIM] == "derived":
        assert outcomes[SIM].max_age_minutes == 2401
        assert outcomes[SIM].last_observed_at == ago(2341)


def test_a_date_that_was_reused_derives_nothing() -> None:
    ruled = rules([SIM, SIM_DATE], derive_checks=True, reuse_within_minutes=DAY)
    reused = World({SIM_DATE: 5}).answer(SIM_DATE)
    past = EarlierAnswers(
        {}, {SIM_DATE: Outcome(NUMBER, SIM_DATE, kind=reused.kind, source=AnswerSource.REUSED)}
    )
    outcomes, asked = played(ruled, World({}), past)
    assert kinds(outcomes) == {SIM: "asked", SIM_DATE: "reused"}
    assert asked == [SIM]


SIM_OF_FOLLOWING, SIM_DATE_OF_FOLLOWING = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
DEVICE_OF_FOLLOWING = Endpoint.DEVICE_SWAP_CHECK
CELLS = range(60)
BEGUN = datetime.now(UTC)
SENT = Sent("a name", Places(1, 1), at=0.0, began=0.0)
TIMES = ["latency_ms", "responded_at", "correlator", "max_age_minutes"]


def settings_for(canary: int = 5, **screening: Any) -> Settings:
    return Settings(
        screening=Screening(
            **{
                "endpoints": [SIM_OF_FOLLOWING, SIM_DATE_OF_FOLLOWING, DEVICE_OF_FOLLOWING],
                **screening,
            }
        ),
        planner=Planner(
            derive_checks=True,
            only_where_changed={DEVICE_OF_FOLLOWING: SIM_OF_FOLLOWING},
            reuse_within_minutes={SIM_DATE_OF_FOLLOWING: 600},
        ),
        pacing=Pacing(rate_per_second=1e5, ramp_up_seconds=0, max_concurrency=8),
        guards=Guards(grace_seconds=5, canary_answers=canary),
    )


def earlier() -> pl.DataFrame:
    """Every fifth number was seen two days ago, and every seventh has a date to be reused."""
    seen, at = BEGUN - timedelta(days=2), BEGUN - timedelta(hours=1)
    told = {"outcome": "success", "source_run_id": "20260301-0123456789"}
    rows: list[dict[str, Any]] = [
        {
            "e164": number(i),
            "endpoint": SIM_OF_FOLLOWING.value,
            "responded_at": seen,
            "swapped": False,
            **told,
        }
        for i in range(0, 60, 5)
    ]
    rows += [
        {
            "e164": number(i),
            "endpoint": SIM_DATE_OF_FOLLOWING.value,
            "responded_at": at,
            "latest_change": "none_reported",
            **told,
        }
        for i in range(0, 60, 7)
    ]
    return known_rows(
        [{**row, "reusable": row["endpoint"] == SIM_DATE_OF_FOLLOWING.value} for row in rows]
    )


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
    loop = asyncio.get_running_loop()

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

    adaptive = AdaptiveRate(lambda: 1e5, settings.pacing, clock=loop.time)
    dispatcher = Dispatcher(
        settings,
        ask=ask,
        journal=line,
        correlate=run.correlator,
        pacer=Pacer(settings.pacing, adaptive, clock=loop.time),
        budget=Budget(settings.budget, settings.prices, {}),
    )
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
    assert Counter(found.filter(pl.col("endpoint") == SIM_OF_FOLLOWING.value)["source"]) == {
        "asked": 60
    }
    assert Counter(found.filter(pl.col("endpoint") == DEVICE_OF_FOLLOWING.value)["reason"]) == {
        None: 20,
        "sim_unchanged": 40,
    }


def rules_of_following(*endpoints: Endpoint, **planner: Any) -> Rules:
    return rules_of(Settings(screening=Screening(endpoints=endpoints), planner=Planner(**planner)))


CHAIN = {"derive_checks": True, "only_where_changed": {DEVICE_OF_FOLLOWING: SIM_OF_FOLLOWING}}


def test_a_forgotten_number_says_how_many_waited_and_learns_nothing_more() -> None:
    following = Following(
        rules_of_following(SIM_OF_FOLLOWING, SIM_DATE_OF_FOLLOWING, DEVICE_OF_FOLLOWING, **CHAIN)
    )
    begun = following.begin(Number(0, number(1)))
    assert begun.ask == [SIM_DATE_OF_FOLLOWING]
    assert following.forget(number(1), SIM_DATE_OF_FOLLOWING) == 2
    assert not following.is_waiting
    assert (
        following.learn(Outcome(number(1), SIM_DATE_OF_FOLLOWING, kind=OutcomeKind.NOT_FOUND))
        is None
    )
    assert following.forget(number(1), SIM_DATE_OF_FOLLOWING) == 0, "they were counted"


def test_what_is_asked_already_did_not_wait() -> None:
    following = Following(
        rules_of_following(SIM_OF_FOLLOWING, SIM_DATE_OF_FOLLOWING, DEVICE_OF_FOLLOWING, **CHAIN)
    )
    following.begin(Number(0, number(1)))
    told = following.learn(Outcome(number(1), SIM_DATE_OF_FOLLOWING, kind=OutcomeKind.NOT_FOUND))
    assert told is not None
    assert told[1].ask == [SIM_OF_FOLLOWING]
    assert following.forget(number(1), SIM_OF_FOLLOWING) == 1
    plain = Following(rules_of_following(SIM_OF_FOLLOWING, DEVICE_OF_FOLLOWING))
    plain.begin(Number(0, number(2)))
    assert (
        plain.forget(number(2), SIM_OF_FOLLOWING) == plain.forget(number(3), SIM_OF_FOLLOWING) == 0
    )


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
    asyncio.run(dropping(run, plan, settings, SIM_DATE_OF_FOLLOWING))
    assert so_far(run, plan, settings.endpoints).answered == {
        SIM_OF_FOLLOWING: 0,
        SIM_DATE_OF_FOLLOWING: 0,
        DEVICE_OF_FOLLOWING: 0,
    }
    assert not list(run.sealed.glob("*.seal"))
    asyncio.run(start(run, plan, settings, server, 10**6))
    assert set(so_far(run, plan, settings.endpoints).answered.values()) == {60}
    assert len(list(run.sealed.glob("*.seal"))) == len(plan.shards)


def test_what_waits_for_another_endpoint_does_not_fall_with_the_one_given_up(
    tmp_path: Path,
) -> None:
    settings = Settings(
        screening=Screening(
            endpoints=[SIM_OF_FOLLOWING, SIM_DATE_OF_FOLLOWING, DEVICE_OF_FOLLOWING]
        ),
        planner=Planner(derive_checks=True),
    )
    run, plan = made(tmp_path, CELLS, settings)
    asyncio.run(dropping(run, plan, settings, DEVICE_OF_FOLLOWING))
    assert so_far(run, plan, settings.endpoints).answered == {
        SIM_OF_FOLLOWING: 60,
        SIM_DATE_OF_FOLLOWING: 60,
        DEVICE_OF_FOLLOWING: 0,
    }


def test_outcomes_that_need_no_asking_do_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch_screen.engine.checkpoint._MOST_WRITTEN", 20)
    settings = Settings(
        screening=Screening(endpoints=[SIM_DATE_OF_FOLLOWING]),
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


MARGINS = st.integers(1, 1200)
AGES = st.timedeltas(timedelta(seconds=-5), timedelta(days=400))


@given(age=AGES, margin=MARGINS)
def test_a_window_reaches_back_to_the_last_observation_and_the_margin(
    age: timedelta, margin: int
) -> None:
    last = NOW - age
    minutes = wanted_minutes(last, NOW, margin)
    assert minutes >= 1
    start = NOW - timedelta(minutes=minutes)
    assert start <= last - timedelta(minutes=margin - 1) or minutes == 1
    assert start > last - timedelta(minutes=margin + 1)


@given(age=AGES, margin=MARGINS)
def test_what_is_sent_is_what_the_api_takes(age: timedelta, margin: int) -> None:
    asked = Lookup("+447700900001", Endpoint.SIM_SWAP_CHECK, 7)
    lookup = aimed(asked, NOW - age, NOW, margin)
    assert lookup.key == asked.key
    assert lookup.max_age_minutes is not None
    assert 1 <= lookup.max_age_minutes <= 2400
    assert is_beyond(NOW - age, NOW, margin) == (wanted_minutes(NOW - age, NOW, margin) > 2400)


@pytest.mark.parametrize(
    ("age", "minutes"),
    [(timedelta(0), 60), (timedelta(seconds=1), 61), (timedelta(minutes=1), 61)],
)
def test_a_begun_minute_counts(age: timedelta, minutes: int) -> None:
    assert wanted_minutes(NOW - age, NOW, 60) == minutes
