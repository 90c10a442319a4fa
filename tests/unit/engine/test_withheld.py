from __future__ import annotations

import msgspec.structs
import pytest

from batch_screen.config.settings import Retry
from batch_screen.engine.retry import ACCOUNT
from batch_screen.errors import (
    AuthenticationError,
    QuotaError,
    Stopped,
)
from batch_screen.model import (
    Answer,
    Endpoint,
    Intent,
    WithheldOutcome,
)
from tests.scripted import (
    BUSY_503,
    CHECK,
    DATE,
    DEAD_KEY,
    NO_BALANCE,
    NO_QUOTA,
    OK,
    REFUSED,
    K,
    Trial,
    always,
    by_number,
    configured,
    numbered,
)

TOO_LONG = msgspec.structs.replace(REFUSED, retry_after_seconds=86_400)


@pytest.mark.parametrize("place", [0, 5, 19])
def test_a_lookup_that_is_to_wait_for_too_long_fails_and_the_others_do_not(place: int) -> None:
    lookups = numbered(20)
    trial = Trial(configured(concurrency=2), always(OK))
    trial.script = by_number({lookups[place]: [TOO_LONG] * 9})
    trial.run(lookups)
    assert trial.error is None
    assert trial.kinds == {K.SUCCESS: 19, K.RATE_LIMITED: 1}
    [failed] = [o for o in trial.outcomes if o.kind is K.RATE_LIMITED]
    assert (failed.lookup, failed.reason) == (lookups[place], "retry_after_too_long")
    assert failed.message == "the API asks to wait 24h"
    assert (failed.attempts, failed.refusals) == (1, 1)
    assert len(trial.asked) == 20


@pytest.mark.parametrize("good", [0, 5])
def test_an_account_that_is_to_wait_for_too_long_stops_resumably(good: int) -> None:
    lookups = numbered(40)
    trial = Trial(configured(concurrency=2), always(OK))
    trial.script = by_number({lookup: [TOO_LONG] * 9 for lookup in lookups[good:]})
    trial.run(lookups)
    assert isinstance(trial.error, Stopped)
    assert "24h" in str(trial.error)
    assert trial.ended_at < 60
    assert trial.kinds == ({K.SUCCESS: good} if good else {})
    assert len(trial.asked) <= good + 14


def test_the_only_lookup_that_is_to_wait_for_too_long_stops_resumably() -> None:
    trial = Trial(configured(), always(TOO_LONG)).run(numbered(1))
    assert isinstance(trial.error, Stopped)
    assert trial.outcomes == []
    [intent, attempt] = trial.of(numbered(1)[0])
    assert (type(intent), attempt.reason) == (Intent, ACCOUNT)  # type: ignore[union-attr]


ACCUSING = [(DEAD_KEY, AuthenticationError), (NO_BALANCE, QuotaError), (NO_QUOTA, QuotaError)]


@pytest.mark.parametrize(("answer", "error"), ACCUSING)
def test_a_dead_account_stops_and_what_is_in_flight_is_saved(
    answer: Answer, error: type[Exception]
) -> None:
    lookups = numbered(500)
    trial = Trial(
        configured(rate=100, concurrency=16),
        by_number({lookup: [answer] for lookup in lookups[40:]}),
        latency=0.1,
    )
    trial.run(lookups)
    assert isinstance(trial.error, error)
    stopped_at = trial.asked[40][0] + 0.1
    assert [at for at, _, _ in trial.asked if at > stopped_at + 0.001] == []
    assert {o.lookup for o in trial.outcomes} == set(lookups[:40])


@pytest.mark.parametrize("place", [0, 1, 40, 98, 99])
@pytest.mark.parametrize("concurrency", [1, 2, 16])
@pytest.mark.parametrize(("answer", "_"), ACCUSING)
def test_one_number_that_is_told_so_is_not_the_account(
    answer: Answer, _: type, concurrency: int, place: int
) -> None:
    lookups = numbered(100)
    trial = Trial(configured(rate=100, concurrency=concurrency), always(OK))
    trial.script = by_number({lookups[place]: [answer] * 9})
    trial.run(lookups)
    assert trial.error is None
    assert trial.kinds == {K.SUCCESS: 99, answer.kind: 1}
    assert len(trial.asked) <= 102
    clean = Trial(configured(rate=100, concurrency=concurrency), always(OK)).run(lookups)
    others = [trial.answered_at(n) for n in lookups if n != lookups[place]]
    assert max(others) <= 1.2 * clean.ended_at


@pytest.mark.parametrize(("answer", "_"), ACCUSING)
def test_a_number_that_is_told_so_once_is_asked_again(answer: Answer, _: type) -> None:
    lookups = numbered(100)
    trial = Trial(configured(rate=100), by_number({lookups[40]: [answer]})).run(lookups)
    assert trial.kinds == {K.SUCCESS: 100}
    assert len(trial.asked) == 101


@pytest.mark.parametrize(("answer", "error"), ACCUSING)
@pytest.mark.parametrize("endpoints", [(CHECK,), tuple(Endpoint)])
def test_an_account_that_is_dead_from_the_start_is_asked_at_most_twice_more(
    answer: Answer, error: type[Exception], endpoints: tuple[Endpoint, ...]
) -> None:
    lookups = [n for i in range(50) for e in endpoints for n in numbered(50, e)[i : i + 1]]
    trial = Trial(configured(rate=10, concurrency=16), always(answer)).run(lookups)
    assert isinstance(trial.error, error)
    assert len(trial.asked) <= 3
    assert trial.outcomes == []


def test_a_quota_that_names_a_day_is_put_off_if_others_are_served() -> None:
    lookups = numbered(100)
    odd = msgspec.structs.replace(NO_QUOTA, retry_after_seconds=86_400)
    trial = Trial(configured(rate=100), by_number({lookups[40]: [odd]})).run(lookups)
    assert trial.error is None
    assert trial.kinds == {K.SUCCESS: 99, K.RATE_LIMITED: 1}
    assert trial.ended_at < 5


@pytest.mark.parametrize("answer", [DEAD_KEY, NO_BALANCE, NO_QUOTA])
def test_an_endpoint_that_condemns_the_account_in_mid_run_is_given_up(answer: Answer) -> None:
    lookups = sorted([*numbered(100), *numbered(100, DATE)], key=lambda lookup: lookup.e164)
    trial = Trial(configured(rate=100, canary=24, retry=Retry()), always(OK))
    trial.script = lambda n, _: answer if n.endpoint is DATE and trial._loop.time() > 1 else OK
    trial.run(lookups)
    assert isinstance(trial.error, AuthenticationError | QuotaError)
    assert DATE in str(trial.error)
    assert trial.error.endpoints == (DATE,)
    assert trial.kinds.keys() == {K.SUCCESS}
    assert sum(o.endpoint is CHECK for o in trial.outcomes) == 100
    assert len(trial.asked) <= 200
    assert_every_intent_is_closed(trial)


def test_what_is_put_off_at_an_endpoint_that_is_given_up_is_asked_by_the_next_start() -> None:
    lookups = sorted([*numbered(100), *numbered(100, DATE)], key=lambda lookup: lookup.e164)
    for odd in (TOO_LONG, msgspec.structs.replace(BUSY_503, retry_after_seconds=86_400)):
        trial = Trial(configured(rate=100, concurrency=64), always(OK), latency=0.4)
        trial.script = lambda n, _, odd=odd: odd if n.endpoint is DATE else OK
        trial.run(lookups)
        assert isinstance(trial.error, Stopped)
        assert trial.kinds == {K.SUCCESS: 100}
        assert_every_intent_is_closed(trial)


def test_an_accusation_and_one_put_off_at_the_end_are_both_kept() -> None:
    lookups = numbered(2)
    trial = Trial(configured(concurrency=2), always(OK))
    trial.script = by_number({lookups[0]: [DEAD_KEY] * 9, lookups[1]: [TOO_LONG] * 9})
    trial.run(lookups)
    assert trial.error is not None
    assert trial.outcomes == []
    assert_every_intent_is_closed(trial)


def test_a_start_that_finds_nothing_but_one_odd_number_completes_the_run() -> None:
    trial = Trial(configured(), always(DEAD_KEY))
    trial.run(numbered(1), meanwhile=lambda t: t.dispatcher.proved(CHECK, 1))
    assert trial.error is None
    assert trial.kinds == {K.FORBIDDEN: 1}
    assert len(trial.asked) == 3


def test_endpoints_that_fail_for_several_reasons_are_all_named_and_the_gravest_counts() -> None:
    endpoints = (CHECK, DATE, Endpoint.DEVICE_SWAP_CHECK)
    lookups = [n for i in range(60) for e in endpoints for n in numbered(60, e)[i : i + 1]]
    trial = Trial(configured(rate=100, canary=24), always(OK))
    answers = {CHECK: OK, DATE: TOO_LONG}
    trial.script = lambda n, _: answers.get(n.endpoint, Answer(kind=K.FORBIDDEN, http_status=403))
    trial.run(lookups)
    assert isinstance(trial.error, AuthenticationError)
    assert set(trial.error.endpoints) == {DATE, Endpoint.DEVICE_SWAP_CHECK}
    assert "24h" in str(trial.error)
    assert "403" in str(trial.error)
    assert trial.kinds == {K.SUCCESS: 60}


def assert_every_intent_is_closed(trial: Trial) -> None:
    for lookup in {n for _, n, _ in trial.asked}:
        records = [r for _, _, r in trial.records if not isinstance(r, WithheldOutcome)]
        own = [r for r in records if (r.e164, r.endpoint) == (lookup.e164, lookup.endpoint)]
        assert [isinstance(r, Intent) for r in own] == [True, False] * (len(own) // 2)


def test_a_key_that_no_other_number_can_bear_out_stops_the_run() -> None:
    alone = Trial(configured(), always(DEAD_KEY)).run(numbered(1))
    assert isinstance(alone.error, AuthenticationError)
    assert alone.outcomes == []


def test_an_endpoint_that_refuses_the_key_is_not_the_account() -> None:
    lookups = sorted([*numbered(60), *numbered(60, DATE)], key=lambda lookup: lookup.e164)
    trial = Trial(configured(rate=100, canary=24), always(OK))
    trial.script = lambda lookup, _: DEAD_KEY if lookup.endpoint is DATE else OK
    trial.run(lookups)
    assert isinstance(trial.error, AuthenticationError)
    assert DATE in str(trial.error)
    assert trial.kinds == {K.SUCCESS: 60}


def test_a_dead_key_gets_few_more_requests() -> None:
    trial = Trial(configured(concurrency=16), always(DEAD_KEY)).run(numbered(500))
    assert len(trial.asked) <= 2 * 16
    assert trial.outcomes == []
