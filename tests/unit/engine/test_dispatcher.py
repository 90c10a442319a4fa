from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise

import msgspec.structs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.settings import Retry
from batch_screen.engine.retry import ACCOUNT, HELD
from batch_screen.engine.tasks import Task
from batch_screen.errors import (
    ApiError,
    ConfigurationError,
    OutputError,
    Stopped,
)
from batch_screen.model import (
    CANNOT_CONNECT,
    Answer,
    Attempt,
    Endpoint,
    Intent,
    Lookup,
    Outcome,
    WithheldOutcome,
)
from tests import virtual_time
from tests.making import dispatcher_of
from tests.scripted import (
    BAD,
    BUSY_503,
    CHECK,
    CUT_SHORT,
    DATE,
    DEAD_KEY,
    DOWN,
    ERROR_500,
    LOST,
    NEVER_501,
    NO_QUOTA,
    NOT_APPLICABLE,
    NOT_FOUND,
    OK,
    REFUSED,
    REFUSED_3,
    TIMEOUT,
    K,
    Memory,
    Script,
    Trial,
    always,
    by_number,
    configured,
    numbered,
)
from tests.thoroughness import examples

# --- every lookup has one outcome ---------------------------------------------------------

PALETTE = [OK, NOT_FOUND, NOT_APPLICABLE, BAD, ERROR_500, BUSY_503, TIMEOUT, CUT_SHORT, LOST]
PALETTE += [REFUSED, REFUSED_3, DOWN]
TRANSIENT = {ERROR_500, BUSY_503, TIMEOUT, CUT_SHORT, LOST}


REFUSALS = (REFUSED, REFUSED_3)


def assert_consistent(answers: list[Answer], outcome: Outcome, retry: Retry) -> None:
    """The outcome is that of the first answer that could end the lookup, and counts them all.

    Refusals may have been the account's, which do not count, so there may be more of them.
    """
    met = [a for a in [*answers, *([OK] * 99)] if a != DOWN][: outcome.attempts]
    *before, last = met
    assert outcome.kind is last.kind
    assert outcome.refusals == sum(a in REFUSALS for a in met)
    failures = [a for a in before if a not in REFUSALS]
    assert all(a in TRANSIENT for a in failures)
    assert len(failures) < retry.max_attempts
    if last in REFUSALS:
        assert outcome.refusals >= retry.max_refusals
    else:
        assert last not in TRANSIENT or len(failures) + 1 == retry.max_attempts


@examples(200)
@given(
    scripts=st.lists(st.lists(st.sampled_from(PALETTE), max_size=7), min_size=1, max_size=25),
    concurrency=st.integers(1, 6),
    rate=st.sampled_from([0.7, 5, 1000]),
    latency=st.sampled_from([0.0, 0.05, 4.0]),
    max_attempts=st.integers(1, 4),
    max_refusals=st.integers(1, 4),
)
def test_each_lookup_has_exactly_the_outcome_its_answers_ask_for(
    *,
    scripts: list[list[Answer]],
    concurrency: int,
    rate: float,
    latency: float,
    max_attempts: int,
    max_refusals: int,
) -> None:
    retry = Retry(max_attempts=max_attempts, max_refusals=max_refusals)
    lookups = numbered(len(scripts) + 1)
    # The first lookup proves that the server is there, so that no outage is given up.
    answers = dict(zip(lookups[1:], scripts, strict=True))
    settings = configured(rate=rate, concurrency=concurrency, retry=retry, unreachable=1e6)
    trial = Trial(settings, by_number(answers), latency)

    def tasks() -> Iterator[Task]:
        trial.dispatcher.proved(CHECK, 1)
        yield from (Task(i % 3, lookup) for i, lookup in enumerate(lookups))

    trial.run(lookups, tasks=tasks())
    assert trial.error is None
    assert len(trial.outcomes) == len(lookups)
    assert {o.lookup for o in trial.outcomes} == set(lookups)
    for outcome in trial.outcomes:
        assert_consistent(answers.get(outcome.lookup, []), outcome, retry)
    assert trial.most_in_flight <= concurrency
    for lookup in lookups:
        assert_intents_come_first(trial, lookup)
    assert {shard for _, shard, r in trial.records if r.e164 == lookups[1].e164} == {1}


def assert_intents_come_first(trial: Trial, lookup: Lookup) -> None:
    """An intent before every attempt sent; whatever ended without an outcome is recorded."""
    records = trial.of(lookup)
    assert isinstance(records[-1], Outcome)
    intents = [r for r in records if isinstance(r, Intent)]
    assert len(intents) == sum(asked == lookup for _, asked, _ in trial.asked)
    for before, after in pairwise(records):
        assert not (isinstance(before, Intent) and isinstance(after, Intent))
        assert isinstance(before, Intent) or isinstance(after, Intent)
    assert [i.attempt for i in intents] == sorted(i.attempt for i in intents)


def test_an_outcome_carries_the_last_answer_and_its_correlator() -> None:
    [lookup] = numbered(1)
    trial = Trial(configured(), by_number({lookup: [ERROR_500, REFUSED]})).run([lookup])
    [outcome] = trial.outcomes
    assert (outcome.kind, outcome.swapped, outcome.http_status) == (K.SUCCESS, False, 200)
    assert (outcome.attempts, outcome.refusals) == (3, 1)
    assert outcome.correlator == f"{lookup.e164} 3"
    assert outcome.correlator == trial.asked[-1][2]
    attempts = [r for r in trial.of(lookup) if isinstance(r, Attempt)]
    assert [(a.kind, a.http_status) for a in attempts] == [
        (K.SERVER_ERROR, 500),
        (K.RATE_LIMITED, 429),
    ]


def test_attempts_of_an_earlier_start_count() -> None:
    [lookup] = numbered(1)
    trial = Trial(configured(), always(ERROR_500))
    trial.run([], tasks=iter([Task(0, lookup, failed_attempts=2, refusals=4)]))
    [outcome] = trial.outcomes
    assert (outcome.kind, outcome.attempts, outcome.refusals) == (K.SERVER_ERROR, 7, 4)
    assert outcome.correlator == f"{lookup.e164} 7"


# --- bounds -------------------------------------------------------------------------------


def test_concurrency_is_used_and_bounded() -> None:
    trial = Trial(configured(concurrency=8), always(OK), latency=1).run(numbered(100))
    assert trial.most_in_flight == 8
    assert trial.ended_at == pytest.approx(13, abs=0.5)


def test_the_stream_is_not_pulled_ahead_while_answers_are_awaited() -> None:
    trial = Trial(configured(concurrency=8), always(OK), latency=5).run(numbered(300))
    assert trial.most_ahead <= 8 + 1


def test_the_stream_is_not_pulled_ahead_while_everything_fails() -> None:
    retry = Retry(max_attempts=2, base_delay_seconds=500, max_delay_seconds=1000)
    trial = Trial(configured(concurrency=4, retry=retry), always(ERROR_500)).run(numbered(200))
    assert trial.kinds == {K.SERVER_ERROR: 200}
    assert trial.most_ahead <= 4 * 4 + 4 + 1


def test_nothing_but_failures_stop_the_run_and_leave_the_rest_unasked() -> None:
    retry = Retry(max_attempts=2, base_delay_seconds=0.1)
    trial = Trial(configured(concurrency=4, retry=retry, outage=40), always(ERROR_500))
    trial.run(numbered(200))
    assert isinstance(trial.error, ApiError)
    assert 40 <= len(trial.asked) <= 40 + 4
    assert len(trial.outcomes) < 40


def test_an_answer_among_failures_is_no_outage() -> None:
    def every_second_fails_once(lookup: Lookup, time: int) -> Answer:
        return ERROR_500 if time == 1 and int(lookup.e164[-1]) % 2 else OK

    trial = Trial(configured(outage=20), every_second_fails_once)
    assert trial.run(numbered(50)).kinds == {K.SUCCESS: 50}


def test_what_a_fallen_canary_held_is_asked_again() -> None:
    trial = Trial(configured(concurrency=8, canary=24), always(NOT_FOUND)).run(numbered(100))
    assert isinstance(trial.error, ConfigurationError)
    assert not trial.outcomes
    answered = [r for _, _, r in trial.records if isinstance(r, Attempt)]
    assert {r.reason for r in answered} == {HELD}
    assert len(answered) == len(trial.asked)


def test_an_empty_stream_ends_at_once() -> None:
    assert Trial(configured(), always(OK)).run([]).ended_at == pytest.approx(0, abs=1e-3)


# --- refusals -----------------------------------------------------------------------------


def test_a_refused_lookup_waits_for_its_own_instant_and_holds_nobody() -> None:
    lookups = numbered(50)
    trial = Trial(configured(concurrency=1), by_number({lookups[3]: [REFUSED_3]})).run(lookups)
    order = [lookup for _, lookup, _ in trial.asked]
    assert order == [*lookups, lookups[3]]
    assert trial.asked[-1][0] - (trial.asked[3][0] + trial.latency) >= 3
    assert trial.answered_at(lookups[49]) < 3
    assert trial.kinds == {K.SUCCESS: 50}


def test_nobody_starts_while_the_account_refuses_but_one_that_probes() -> None:
    lookups = numbered(200)
    trial = Trial(configured(rate=100, concurrency=50), always(OK))
    trial.script = lambda _lookup, _time: REFUSED_3 if 1 <= trial._loop.time() < 9 else OK
    trial.run(lookups)
    closed = [at for at, _, _ in trial.asked if 1.2 < at < 9]
    assert 2 <= len(closed) <= 3
    assert all(later - earlier >= 3 for earlier, later in pairwise(closed))
    assert trial.kinds == {K.SUCCESS: 200}


def test_refusals_do_not_use_up_attempts() -> None:
    lookups = numbered(3)
    retry = Retry(max_attempts=1, max_refusals=9)
    trial = Trial(configured(retry=retry), by_number({lookups[1]: [REFUSED] * 8})).run(lookups)
    assert trial.kinds == {K.SUCCESS: 3}
    refused = next(o for o in trial.outcomes if o.lookup == lookups[1])
    assert (refused.attempts, refused.refusals) == (9, 8)


def test_a_final_answer_with_a_retry_after_holds_nobody() -> None:
    for answer in (OK, NOT_FOUND, NOT_APPLICABLE, BAD):
        odd = msgspec.structs.replace(answer, retry_after_seconds=60)
        trial = Trial(configured(), by_number({numbered(9)[4]: [odd]})).run(numbered(9))
        assert trial.ended_at < 1
        assert len(trial.asked) == 9


def test_a_503_with_retry_after_holds_its_lookup_and_counts_as_failed() -> None:
    lookups = numbered(30)
    trial = Trial(configured(concurrency=1), by_number({lookups[3]: [BUSY_503]})).run(lookups)
    [_, again] = [at for at, lookup, _ in trial.asked if lookup == lookups[3]]
    assert again >= trial.asked[3][0] + 2
    assert trial.answered_at(lookups[29]) < 2
    outcome = next(o for o in trial.outcomes if o.lookup == lookups[3])
    assert (outcome.kind, outcome.attempts, outcome.refusals) == (K.SUCCESS, 2, 0)


def test_an_endpoint_that_asks_to_wait_is_left_alone_and_the_others_are_not() -> None:
    lookups = sorted([*numbered(60), *numbered(60, DATE)], key=lambda lookup: lookup.e164)
    busy = msgspec.structs.replace(BUSY_503, retry_after_seconds=20)
    trial = Trial(configured(rate=100, concurrency=8), always(OK))
    trial.script = lambda n, _: busy if n.endpoint is DATE and 0.2 < trial._loop.time() < 10 else OK
    trial.run(lookups)
    assert trial.kinds == {K.SUCCESS: 120}
    assert max(trial.answered_at(n) for n in lookups if n.endpoint is CHECK) < 2
    dates = [at for at, n, _ in trial.asked if n.endpoint is DATE]
    assert not [at for at in dates if 0.4 < at < 20]


# --- stops --------------------------------------------------------------------------------


def test_a_halt_drains_saves_and_starts_nothing_new() -> None:
    trial = Trial(configured(rate=100, concurrency=50), always(OK), latency=0.4)
    stop = Stopped("enough")
    trial.run(numbered(1000), meanwhile=lambda t: t.after(2, lambda: t.dispatcher.halt(stop)))
    assert trial.error is stop
    assert max(at for at, _, _ in trial.asked) <= 2
    assert len(trial.outcomes) == len(trial.asked)
    assert trial.ended_at == pytest.approx(2.4, abs=0.05)


def test_a_halt_before_the_start_sends_nothing() -> None:
    stop = Stopped("enough")
    trial = Trial(configured(), always(OK))
    trial.run(numbered(10), meanwhile=lambda t: t.dispatcher.halt(stop))
    assert (trial.error, trial.asked) == (stop, [])
    trial = Trial(configured(), always(OK))
    trial.run(numbered(10), meanwhile=lambda t: t._loop.call_soon(t.dispatcher.halt, stop))
    assert (trial.error, trial.asked) == (stop, [])


def test_the_grace_time_ends_attempts_that_hang() -> None:
    lookups = numbered(10)
    trial = Trial(configured(grace=3), always(OK), latency=1e6)
    trial.run(lookups, meanwhile=lambda t: t.after(1, t.dispatcher.halt))
    assert trial.ended_at == pytest.approx(4, abs=0.01)
    assert trial.outcomes == []
    assert all(isinstance(r, Intent) for _, _, r in trial.records)


def test_a_halt_while_the_pacer_waits_ends_at_once() -> None:
    trial = Trial(configured(rate=0.001), always(OK))
    trial.run(numbered(5), meanwhile=lambda t: t.after(10, t.dispatcher.halt))
    assert trial.ended_at == pytest.approx(10, abs=0.01)
    assert len(trial.outcomes) == 1


def test_the_first_reason_to_halt_is_the_one_that_is_told() -> None:
    first, second = OutputError("disk"), Stopped("later")

    def halt(trial: Trial) -> None:
        trial.dispatcher.halt(first)
        trial.dispatcher.halt(second)

    trial = Trial(configured(), always(OK))
    trial.run(numbered(50), meanwhile=lambda t: t.after(0.01, lambda: halt(t)))
    assert trial.error is first


def test_an_error_in_the_stream_stops_after_draining() -> None:
    def broken() -> Iterator[Task]:
        yield from (Task(0, lookup) for lookup in numbered(3))
        raise OutputError("the plan is gone")

    trial = Trial(configured(), always(OK)).run([], tasks=broken())
    assert str(trial.error) == "the plan is gone"
    assert trial.kinds == {K.SUCCESS: 3}


def test_an_error_of_the_client_stops() -> None:
    lookups = numbered(30)

    def certificate(lookup: Lookup, _time: int) -> Answer:
        if lookup == lookups[2]:
            raise ApiError("certificate")
        return OK

    trial = Trial(configured(concurrency=2), certificate).run(lookups)
    assert str(trial.error) == "certificate"
    assert len(trial.outcomes) < 30


def test_a_bug_is_raised_and_not_swallowed() -> None:
    def bug(_lookup: Lookup, _time: int) -> Answer:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Trial(configured(), bug).run(numbered(5))


def test_a_cancelled_run_leaves_nothing_behind() -> None:
    async def main() -> tuple[int, int]:
        started: list[str] = []

        async def ask(_lookup: Lookup, correlator: str) -> Answer:
            started.append(correlator)
            await asyncio.sleep(1e6)
            return OK

        settings = configured(grace=1)
        dispatcher = dispatcher_of(settings, ask, Memory(), rate=100)
        running = asyncio.create_task(dispatcher.run(Task(0, n) for n in numbered(50)))
        await asyncio.sleep(1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return len(started), len(asyncio.all_tasks())

    assert virtual_time.run(main()) == (8, 1)


# --- guards -------------------------------------------------------------------------------


def test_a_moved_path_stops_and_saves_none() -> None:
    trial = Trial(configured(canary=10), always(NOT_FOUND)).run(numbered(500))
    assert isinstance(trial.error, ConfigurationError)
    assert trial.outcomes == []
    assert len(trial.asked) <= 10 + 8


def test_a_mixture_does_not_stop() -> None:
    lookups = numbered(100)
    script = by_number({n: [NOT_FOUND] for i, n in enumerate(lookups) if i != 7})
    trial = Trial(configured(canary=10), script).run(lookups)
    assert trial.error is None
    assert trial.kinds == {K.NOT_FOUND: 99, K.SUCCESS: 1}


def test_too_few_to_judge_are_outcomes() -> None:
    trial = Trial(configured(canary=10), always(NOT_FOUND)).run(numbered(9))
    assert trial.error is None
    assert trial.kinds == {K.NOT_FOUND: 9}


class SlowDisk(Memory):
    """A journal that reaches the disk once a second only, and 16 outcomes may wait for that."""

    def __init__(self) -> None:
        super().__init__()
        self.saved = 0
        self.most = 0
        self.hurried = 0

    def begin(self, trial: Trial) -> None:
        self._trial = trial
        trial.after(1.0, self._save)

    @property
    def unsaved(self) -> int:  # type: ignore[override]
        waiting = len(self._trial.outcomes) - self.saved
        self.most = max(self.most, waiting)
        return waiting

    @property
    def is_behind(self) -> bool:  # type: ignore[override]
        return self.unsaved >= 16

    def hurry(self) -> None:
        self.hurried += 1

    def _save(self) -> None:
        self.saved = len(self._trial.outcomes)
        self._trial.dispatcher.wake()
        if self.saved < 300:
            self._trial.after(1.0, self._save)


def test_a_slow_disk_slows_the_asking_instead_of_risking_more() -> None:
    disk = SlowDisk()
    trial = Trial(configured(rate=1000, concurrency=16), always(OK), journal=disk)
    trial.run(numbered(300), meanwhile=disk.begin)
    assert len(trial.outcomes) == 300
    assert trial.ended_at > 9  # at most 32 a second are asked and not yet saved
    assert disk.most <= 2 * 16
    assert disk.hurried


def test_what_the_canary_holds_is_no_outcome_when_the_run_is_stopped() -> None:
    trial = Trial(configured(rate=1, canary=24), always(NOT_FOUND))
    trial.run(numbered(100), meanwhile=lambda t: t.after(5.5, t.dispatcher.halt))
    assert not trial.outcomes
    held = [r.outcome for _, _, r in trial.records if isinstance(r, WithheldOutcome)]
    assert 0 < len(held) == len(trial.asked) < 24


def test_what_was_held_when_the_run_was_stopped_is_not_asked_again() -> None:
    lookups = numbered(100)
    first = Trial(configured(rate=1, canary=24), always(NOT_FOUND))
    first.run(lookups, meanwhile=lambda t: t.after(5.5, t.dispatcher.halt))
    held = {
        r.outcome.lookup: r.outcome for _, _, r in first.records if isinstance(r, WithheldOutcome)
    }
    tasks = [Task(0, lookup, held=held.get(lookup)) for lookup in lookups]
    script = by_number({n: [NOT_FOUND] for n in lookups[:50]})
    second = Trial(configured(canary=10), script).run([], tasks=iter(tasks[:8] + tasks[50:]))
    assert not {lookup for _, lookup, _ in second.asked} & set(held)
    assert {o.lookup for o in second.outcomes} == {t.lookup for t in tasks[:8] + tasks[50:]}
    third = Trial(configured(canary=10), script).run([], tasks=iter(tasks[:50]))
    assert isinstance(third.error, ConfigurationError), "what was held still counts"
    assert len(third.asked) <= 10 - len(held) + 8


def test_the_attempts_of_killed_starts_keep_their_correlators_to_themselves() -> None:
    [lookup] = numbered(1)
    trial = Trial(configured(), always(OK))
    trial.run([], tasks=iter([Task(0, lookup, failed_attempts=1, refusals=1, unanswered=2)]))
    assert [c for _, _, c in trial.asked] == [f"{lookup.e164} 5"]
    [outcome] = trial.outcomes
    assert (outcome.attempts, outcome.refusals, outcome.unanswered) == (3, 1, 2)


def test_a_request_that_cannot_be_noted_is_not_sent() -> None:
    class Full(Memory):
        def flush(self) -> None:
            raise OutputError("no space")

    trial = Trial(configured(), always(OK), journal=Full()).run(numbered(20))
    assert isinstance(trial.error, OutputError)
    assert trial.asked == []


def test_every_request_is_noted_and_flushed_before_it_is_sent() -> None:
    class Strict(Memory):
        def __init__(self) -> None:
            super().__init__()
            self.flushed: set[Lookup] = set()
            self.waiting: list[Lookup] = []
            self.flushes = 0

        def note(self, shard: int, intent: Intent) -> None:
            self.waiting.append(Lookup(intent.e164, intent.endpoint, intent.max_age_minutes))

        def flush(self) -> None:
            self.flushes += bool(self.waiting)
            self.flushed.update(self.waiting)
            self.waiting.clear()

    journal = Strict()

    def seen(lookup: Lookup, _time: int) -> Answer:
        assert lookup in journal.flushed
        return OK

    trial = Trial(configured(rate=100_000, concurrency=20), seen, journal=journal)
    trial.run(numbered(200))
    assert trial.error is None
    assert len(trial.asked) == len(journal.flushed) == 200
    assert journal.flushes < 50  # those that start together are written together


def test_what_was_noted_and_then_called_off_is_taken_back() -> None:
    def dead(_lookup: Lookup, _time: int) -> Answer:
        raise ApiError("does not verify")

    trial = Trial(configured(rate=100_000, concurrency=4), dead, latency=0).run(numbered(9))
    assert isinstance(trial.error, ApiError)
    intents = [r for _, _, r in trial.records if isinstance(r, Intent)]
    taken_back = [r for _, _, r in trial.records if isinstance(r, Attempt)]
    assert sorted(i.e164 for i in intents) == sorted(a.e164 for a in taken_back)
    assert {a.reason for a in taken_back} == {CANNOT_CONNECT}


def test_what_could_not_be_sent_has_not_been_billed() -> None:
    def no_certificate(_lookup: Lookup, _time: int) -> Answer:
        raise ApiError("does not verify")

    trial = Trial(configured(concurrency=1), no_certificate).run(numbered(5))
    assert isinstance(trial.error, ApiError)
    [_intent, attempt] = [r for _, _, r in trial.records]
    assert isinstance(attempt, Attempt)
    assert attempt.reason == CANNOT_CONNECT


def test_one_endpoints_canary_does_not_cost_another_its_outcomes() -> None:
    pairs = zip(numbered(50), numbered(50, DATE), strict=True)
    lookups = [lookup for pair in pairs for lookup in pair]
    missing = {n: [NOT_FOUND] for n in lookups if n.endpoint is DATE}
    trial = Trial(configured(canary=10), by_number(missing)).run(lookups)
    assert isinstance(trial.error, ConfigurationError)
    asked = {lookup for _, lookup, _ in trial.asked if lookup.endpoint is CHECK}
    assert {o.lookup for o in trial.outcomes} == asked


def test_a_trusted_endpoint_needs_no_canary() -> None:
    trial = Trial(configured(canary=3), always(NOT_FOUND))
    trial.run(numbered(20), meanwhile=lambda t: t.dispatcher.proved(CHECK, 3))
    assert trial.kinds == {K.NOT_FOUND: 20}


def outage(trial: Trial, start: float, end: float) -> Script:
    return lambda _lookup, _time: DOWN if start <= trial._loop.time() < end else OK


def test_an_outage_is_probed_one_by_one_and_survived() -> None:
    trial = Trial(configured(rate=100, concurrency=16), always(OK))
    trial.script = outage(trial, 2, 30)
    trial.run(numbered(1000))
    assert trial.error is None
    assert trial.kinds == {K.SUCCESS: 1000}
    assert all(o.attempts == 1 for o in trial.outcomes), "nothing was sent to a dead server"
    probes = [at for at, _, _ in trial.asked if 2.5 < at < 30]
    assert 3 <= len(probes) <= 10
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(probes))


def failing(trial: Trial, start: float, end: float) -> Script:
    return lambda _lookup, _time: ERROR_500 if start <= trial._loop.time() < end else OK


def test_a_server_that_does_nothing_but_fail_is_probed_and_survived() -> None:
    trial = Trial(configured(rate=100, concurrency=16, outage=50), always(OK))
    trial.script = failing(trial, 2, 30)
    trial.run(numbered(1000))
    assert trial.error is None
    assert trial.kinds[K.SUCCESS] + trial.kinds[K.SERVER_ERROR] == 1000
    assert trial.kinds[K.SERVER_ERROR] <= 50
    failed = [at for at, _, _ in trial.asked if 2 <= at < 30]
    assert 50 <= len(failed) <= 50 + 16 + 10
    probes = [at for at in failed if at > 4]
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(probes))


def test_an_outage_at_a_slow_pace_costs_few_lookups_their_answer() -> None:
    trial = Trial(configured(rate=10, concurrency=64, outage=200, retry=Retry()), always(OK))
    trial.script = failing(trial, 5, 1e9)
    trial.run(numbered(1000))
    assert isinstance(trial.error, ApiError)
    assert trial.kinds[K.SERVER_ERROR] <= 10


def test_a_server_that_answered_an_earlier_start_is_waited_for() -> None:
    trial = Trial(configured(rate=100, concurrency=16, outage=20), always(OK))
    trial.script = failing(trial, 0, 30)
    trial.run(numbered(100), meanwhile=lambda t: t.dispatcher.proved(CHECK, 1))
    assert trial.error is None
    stranger = Trial(configured(rate=100, concurrency=16, outage=20), always(OK))
    stranger.script = failing(stranger, 0, 30)
    assert isinstance(stranger.run(numbered(100)).error, ApiError)
    assert stranger.ended_at < 15


def test_a_server_that_fails_for_long_is_given_up() -> None:
    trial = Trial(configured(rate=100, concurrency=16, outage=50, unreachable=60), always(OK))
    trial.script = failing(trial, 2, 1e9)
    trial.run(numbered(1000))
    assert isinstance(trial.error, ApiError)
    assert 60 < trial.ended_at < 80
    assert len([at for at, _, _ in trial.asked if at >= 2]) <= 50 + 16 + 20


def test_an_outage_that_lasts_is_given_up() -> None:
    trial = Trial(configured(rate=100, unreachable=60), always(OK))
    trial.script = outage(trial, 1, 1e9)
    trial.run(numbered(1000))
    assert isinstance(trial.error, ApiError)
    assert 60 <= trial.ended_at <= 75
    assert set(trial.kinds) == {K.SUCCESS}


def test_a_wrong_address_is_given_up_soon() -> None:
    trial = Trial(configured(unreachable=60), always(DOWN)).run(numbered(100))
    assert isinstance(trial.error, ApiError)
    assert trial.ended_at < 15
    assert trial.outcomes == []


def test_what_was_never_sent_cannot_have_been_billed() -> None:
    [lookup] = numbered(1)
    trial = Trial(configured(), by_number({lookup: [DOWN] * 2})).run([lookup])
    records = trial.of(lookup)
    assert [type(r) for r in records] == [Intent, Attempt, Intent, Attempt, Intent, Outcome]
    assert [r.reason for r in records if isinstance(r, Attempt)] == [CANNOT_CONNECT] * 2


@pytest.mark.parametrize("answer", [DEAD_KEY, NO_QUOTA])
def test_an_answer_that_stops_the_run_leaves_no_open_intent(answer: Answer) -> None:
    trial = Trial(configured(), always(answer)).run(numbered(5))
    assert trial.error is not None
    closed: dict[str, list[type]] = defaultdict(list)
    for _, _, record in trial.records:
        closed[record.e164].append(type(record))
    assert set(map(tuple, closed.values())) == {(Intent, Attempt)}
    assert {r.reason for _, _, r in trial.records if isinstance(r, Attempt)} == {ACCOUNT}


def test_an_endpoint_that_is_not_implemented_is_skipped_from_then_on() -> None:
    lookups = [n for pair in zip(numbered(100), numbered(100, DATE), strict=True) for n in pair]
    script = by_number({n: [NEVER_501] for n in lookups if n.endpoint is DATE})
    trial = Trial(configured(concurrency=4), script).run(lookups)
    assert trial.error is None
    by_endpoint = {e: Counter(o.kind for o in trial.outcomes if o.endpoint is e) for e in Endpoint}
    assert by_endpoint[CHECK] == {K.SUCCESS: 100}
    assert by_endpoint[DATE][K.SERVER_ERROR] <= 6
    assert by_endpoint[DATE][K.SKIPPED] == 100 - by_endpoint[DATE][K.SERVER_ERROR]
    skipped = next(o for o in trial.outcomes if o.kind is K.SKIPPED)
    assert (skipped.reason, skipped.attempts) == ("not_implemented", 0)
    assert (skipped.latency_ms, skipped.responded_at, skipped.correlator) == (None, None, None)


def test_skipping_leaves_the_loop_room_to_halt() -> None:
    trial = Trial(configured(), always(NEVER_501), latency=0.05)
    answered = 0.05 + 1e-6  # the loop's clock moves by a nanosecond whenever it has a look
    trial.run(numbered(5000), meanwhile=lambda t: t.after(answered, t.dispatcher.halt))
    assert trial.kinds[K.SKIPPED] > 0
    assert trial.pulled < 3000


# --- budgets and single endpoints -----------------------------------------------------------


def test_a_budget_ends_the_run_and_is_never_exceeded() -> None:
    trial = Trial(configured(max_requests=7), always(OK)).run(numbered(20))
    assert isinstance(trial.error, Stopped)
    assert len(trial.asked) == 7
    assert len(trial.outcomes) == 7


def test_retries_and_refusals_count_as_requests() -> None:
    trial = Trial(configured(max_requests=4), by_number({n: [ERROR_500] for n in numbered(4)}))
    trial.run(numbered(4))
    assert isinstance(trial.error, Stopped)
    assert len(trial.asked) == 4
    refused = Trial(configured(max_requests=4), always(REFUSED)).run(numbered(2))
    assert len(refused.asked) == 4


def test_what_was_never_sent_is_given_back() -> None:
    lookups = numbered(4)
    trial = Trial(configured(max_requests=4), by_number({lookups[1]: [DOWN, DOWN]}))
    trial.run(lookups)
    assert trial.error is None
    assert trial.kinds == {K.SUCCESS: 4}


def test_a_slow_endpoint_does_not_hold_up_another() -> None:
    pairs = [n for e in (CHECK, DATE) for n in numbered(40, e)]
    lookups = sorted(pairs, key=lambda lookup: lookup.e164)
    trial = Trial(configured(rate=100, by_endpoint={CHECK: 2.0}), always(OK))
    trial.run(lookups)
    assert trial.error is None
    assert trial.kinds == {K.SUCCESS: 80}
    checks = [at for at, lookup, _ in trial.asked if lookup.endpoint is CHECK]
    dates = [at for at, lookup, _ in trial.asked if lookup.endpoint is DATE]
    assert dates[-1] < 2
    assert checks[-1] == pytest.approx(39 / 2, rel=0.05)
    assert trial.ended_at < 21


def test_an_endpoint_that_fails_too_often_ends_the_run() -> None:
    settings = configured(retry=Retry(max_attempts=1))
    lookups = numbered(3000)
    trial = Trial(settings, lambda lookup, _: OK if int(lookup.e164) % 3 == 0 else ERROR_500)
    trial.run(lookups)
    assert isinstance(trial.error, ApiError)
    assert "of the last 1,000 attempts" in str(trial.error)
    assert len(trial.asked) <= 1000 + 8


def test_a_server_that_refuses_everything_is_given_up_resumably() -> None:
    settings = configured(rate=10, unreachable=60, retry=Retry(max_refusals=50))
    trial = Trial(settings, always(REFUSED_3)).run(numbered(30))
    assert isinstance(trial.error, Stopped)
    assert not trial.outcomes
    assert trial.ended_at < 180


def test_a_halt_may_leave_less_time_than_the_grace() -> None:
    def act(trial: Trial) -> None:
        trial.after(1, lambda: trial.dispatcher.halt(Stopped("closing"), within_seconds=2))

    trial = Trial(configured(grace=20), always(OK), latency=50).run(numbered(20), meanwhile=act)
    assert trial.ended_at == pytest.approx(3, abs=0.1)


def test_a_used_up_budget_waits_for_what_is_under_way_without_spinning() -> None:
    lookups = numbered(6)
    settings = configured(max_requests=4, concurrency=4, retry=Retry(base_delay_seconds=0.01))
    trial = Trial(settings, by_number({lookups[0]: [ERROR_500]}), latency=0.05)
    looks = 0

    def ask_slowly(trial: Trial) -> None:
        permits = trial.dispatcher._budget.permits

        def counted(endpoint: Endpoint) -> bool:
            nonlocal looks
            looks += 1
            return permits(endpoint)

        trial.dispatcher._budget.permits = counted  # type: ignore[method-assign]

    trial.run(lookups, meanwhile=ask_slowly)
    assert isinstance(trial.error, Stopped)
    assert looks < 20
