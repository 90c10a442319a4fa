"""Every number comes to one outcome at every endpoint, in whatever order answers come."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batch_screen.config.screening import Planner, Screening
from batch_screen.config.settings import Settings
from batch_screen.engine.dependencies import (
    NOBODY_ASKED,
    Decision,
    EarlierAnswers,
    Number,
    Rules,
    aimed,
    decide,
    is_beyond,
    rules_of,
    wanted_minutes,
)
from batch_screen.model import (
    NOT_NEEDED,
    AnswerSource,
    Endpoint,
    LatestChange,
    Lookup,
    Outcome,
    OutcomeKind,
)

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
    while (decision := decide(ruled, number, NOW)) != Decision([], []) or pending:
        asked += decision.ask
        pending += [*map(world.answer, decision.ask), *decision.write]
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
