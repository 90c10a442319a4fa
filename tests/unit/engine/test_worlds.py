"""Whole runs in virtual time, each beside the same run without anything odd."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batch_screen.config.settings import Retry
from batch_screen.errors import ApiError, AuthenticationError, Stopped
from batch_screen.model import Allowance, Answer, Endpoint, Lookup, OutcomeKind
from batch_screen.sandbox.window import Window, rate_limit
from tests.thoroughness import IS_FULL, examples, in_full
from tests.worlds import OK, World, WorldRun, always, at_endpoint, numbered, once, refused, share_of

K = OutcomeKind
SICK = Endpoint.CALL_FORWARDING_CHECK
MANY, FEW = numbered(4000), numbered(500)
FIVE = numbered(500, *Endpoint)
OF_SICK = frozenset(lookup for lookup in FIVE if lookup.endpoint is SICK)
DAY = 86_400.0

DEAD_KEY = Answer(kind=K.FORBIDDEN, http_status=401)
NO_BALANCE = Answer(kind=K.FORBIDDEN, http_status=402)
NO_QUOTA = Answer(kind=K.RATE_LIMITED, http_status=429, code="QUOTA_EXCEEDED")
NOT_FOUND_60 = Answer(kind=K.NOT_FOUND, http_status=404, retry_after_seconds=60)
NEVER_501 = Answer(kind=K.SERVER_ERROR, http_status=501, reason="not_implemented")
CANNOT_CONNECT = Answer(kind=K.UNREACHABLE, reason="cannot_connect")
LOST = Answer(kind=K.UNREACHABLE, reason="connection_lost")


def busy(seconds: float | None) -> Answer:
    return Answer(kind=K.SERVER_ERROR, http_status=503, retry_after_seconds=seconds)


def says(remaining: int, reset: float) -> Answer:
    allowance = Allowance(remaining=remaining, reset_seconds=reset)
    return Answer(kind=K.SUCCESS, swapped=False, http_status=200, allowance=allowance)


@cache
def clean(rate: float, count: int, endpoints: tuple[Endpoint, ...]) -> WorldRun:
    return World(rate=rate, lookups=numbered(count, *endpoints)).run()


@cache
def clean_paced(rate: float, latency: float, count: int) -> WorldRun:
    return World(rate=rate, latency=latency, lookups=numbered(count)).run()


def beside(world: World) -> WorldRun:
    endpoints = tuple(e for e in Endpoint if any(n.endpoint is e for n in world.lookups))
    return clean(world.rate, len(world.lookups) // len(endpoints), endpoints)


def assert_odd_ones_cost_themselves(
    world: World,
    odd: frozenset[Lookup],
    *,
    times: float,
    own_wait: float,
    requests: float = 1.05,
) -> WorldRun:
    """Others are done in so many times the clean run's time, and all of it soon after.

    ``own_wait``: the odd lookups' own waits in seconds.
    """
    run, usual = world.run(), beside(world)
    assert run.error is None
    assert run.outcomes.keys() == set(world.lookups)
    assert all(run.outcomes[n].kind is K.SUCCESS for n in world.lookups if n not in odd)
    assert run.others_done(odd) <= times * usual.ended_at
    assert run.ended_at <= times * usual.ended_at + own_wait
    assert run.requests <= requests * usual.requests
    assert run.worst_second() <= world.rate
    assert run.too_early == 0
    return run


# --- refusals whatever the pace -------------------------------------------------------------


SHARES, WAITS = (0.001, 0.003, 0.01, 0.03), (1.0, None, 30.0, DAY, 0.0)


@pytest.mark.parametrize(
    ("share", "wait"),
    [*product(SHARES, WAITS)] if IS_FULL else [(0.03, 30.0)],
)
def test_sporadic_refusals(share: float, wait: float | None) -> None:
    odd = share_of(MANY, share)
    run = assert_odd_ones_cost_themselves(
        World(odd=once(odd, refused(wait))),
        odd,
        times=1.1 if share <= 0.01 else 1.3,
        own_wait=0 if wait == DAY else 1.05 * (wait or 1.0),
    )
    fate = K.RATE_LIMITED if wait == DAY else K.SUCCESS
    assert {run.outcomes[n].kind for n in odd} == {fate}
    assert all(run.requests - 4000 <= len(odd) for _ in odd)


@in_full
# Four refused among the first sixty look like a limit while the rate still rises.
@example(share=0.0390625, seed=1, wait=1.0, latency=0.01, rate=200.0, refusals_are_quick=False)
@example(share=0.0398, seed=331239, wait=None, latency=0.4, rate=400.0, refusals_are_quick=False)
@examples(25)
@given(
    share=st.floats(0, 0.04),
    seed=st.integers(0, 10**6),
    wait=st.sampled_from([1.0, None, 0.0, 5.0]),
    latency=st.sampled_from([0.01, 0.05, 0.4]),
    rate=st.sampled_from([50.0, 200.0, 400.0]),
    refusals_are_quick=st.booleans(),
)
def test_sporadic_refusals_in_any_world(
    *,
    share: float,
    seed: int,
    wait: float | None,
    latency: float,
    rate: float,
    refusals_are_quick: bool,
) -> None:
    lookups = numbered(1500)
    odd = share_of(lookups, share, seed)
    world = World(
        rate=rate,
        latency=latency,
        lookups=lookups,
        odd=once(odd, refused(wait)),
        refusals_are_quick=refusals_are_quick,
    )
    run, usual = world.run(), clean_paced(rate, latency, 1500)
    assert run.error is None
    assert run.kinds == {K.SUCCESS: 1500}
    # Three in a row may be chance, too: then everybody waits once, as long as the server asks.
    assert run.others_done(odd) <= 1.3 * usual.ended_at + max(1.0, wait or 0.0)
    assert run.worst_second() <= rate


@pytest.mark.parametrize(
    "window",
    [Window.SLIDING, *(pytest.param(w, marks=in_full) for w in (Window.BUCKET, Window.FIXED))],
)
def test_sporadic_refusals_beside_a_true_limit(window: Window) -> None:
    lookups = numbered(8000)
    odd = share_of(lookups, 0.005)
    world = World(lookups=lookups, odd=once(odd, refused()), limit=rate_limit(window, 200))
    run = world.run()
    assert run.kinds == {K.SUCCESS: 8000}
    assert used(run, 200, 0) >= 0.85
    assert used(run, 200, 6) >= 0.9
    assert run.refusals <= 0.05 * run.requests


def used(run: WorldRun, limit: float, since: float) -> float:
    last = run.passed[-1]
    return sum(at >= since for at in run.passed) / (limit * (last - since))


@in_full
@pytest.mark.parametrize(("window", "times"), [*product(Window, (5.0, 1.1))])
def test_a_rate_set_too_high_finds_the_limit(window: Window, times: float) -> None:
    share = 0.95 if times == 5 else 0.97
    world = World(rate=200 * times, lookups=numbered(12_000), limit=rate_limit(window, 200))
    run = world.run()
    assert used(run, 200, 6) >= (0.87 if window is Window.FIXED else share)
    assert run.refusals <= 0.02 * run.requests
    assert run.too_early == 0
    assert run.worst_second() <= world.rate


def test_numbers_that_are_always_refused() -> None:
    odd = frozenset(MANY[100::400][:10])
    run = assert_odd_ones_cost_themselves(
        World(odd=always(odd, refused())), odd, times=1.1, own_wait=8 * 1.05
    )
    assert {run.outcomes[n].kind for n in odd} == {K.RATE_LIMITED}


def test_numbers_side_by_side_that_are_always_refused_look_like_the_account_at_first() -> None:
    odd = frozenset(MANY[100:110])
    run = World(odd=always(odd, refused())).run()
    assert run.error is None
    assert run.kinds == {K.SUCCESS: 3990, K.RATE_LIMITED: 10}
    assert run.others_done(odd) <= clean(400, 4000, (Endpoint.SIM_SWAP_CHECK,)).ended_at + 9


# --- one odd answer --------------------------------------------------------------------------

ONE_ODD = {
    "401": (DEAD_KEY, 8.0),
    "402": (NO_BALANCE, 8.0),
    "QUOTA_EXCEEDED": (NO_QUOTA, 8.0),
    "429": (refused(), 8.5),
    "408": (refused(None, status=408), 70.0),
    "429 for a day": (refused(DAY), 0.0),
    "404 with Retry-After": (NOT_FOUND_60, 0.0),
    "503 with Retry-After": (busy(40), 3 * 42.0),
    "501": (NEVER_501, 0.0),
    "nothing remaining": (says(0, 40), 0.0),
    "one remaining": (says(1, 100), 0.0),
}


SIMILAR = {"402", "404 with Retry-After", "501", "one remaining"}
TELLING = {("429", 0), *((name, 250) for name in ONE_ODD if name not in SIMILAR)}


@pytest.mark.parametrize("rate", [20.0, 50.0] if IS_FULL else [20.0])
@pytest.mark.parametrize(
    ("name", "place"),
    [
        pytest.param(name, place, marks=() if (name, place) in TELLING else in_full)
        for name in ONE_ODD
        for place in (0, 250, 499)
    ],
)
def test_one_odd_number(name: str, place: int, rate: float) -> None:
    answer, own_wait = ONE_ODD[name]
    odd = frozenset({FEW[place]})
    world = World(rate=rate, lookups=FEW, odd=always(odd, answer))
    run = assert_odd_ones_cost_themselves(world, odd, times=1.2, own_wait=own_wait)
    assert run.outcomes[FEW[place]].kind is answer.kind


@pytest.mark.parametrize("share", [0.02, 0.04] if IS_FULL else [0.04])
@pytest.mark.parametrize(
    ("lookups", "seconds"),
    [
        pytest.param(FEW, 14.0, id="few-14"),
        pytest.param(MANY, 99.0, id="many-99", marks=in_full),
        pytest.param(FEW, 99.0, id="few-99", marks=in_full),
        pytest.param(MANY, 14.0, id="many-14", marks=in_full),
    ],
)
def test_some_answers_that_hang(share: float, seconds: float, lookups: list[Lookup]) -> None:
    odd = share_of(lookups, share)
    world = World(
        rate=50.0 if lookups is FEW else 400.0,
        lookups=lookups,
        delay=lambda n, time, _: seconds if n in odd and time == 1 else None,
    )
    assert_odd_ones_cost_themselves(world, odd, times=1.1, own_wait=16)


@in_full
@pytest.mark.parametrize("answer", [pytest.param(CANNOT_CONNECT, marks=in_full), LOST])
def test_some_connections_that_fail(answer: Answer) -> None:
    odd = share_of(MANY, 0.01)
    assert_odd_ones_cost_themselves(World(odd=once(odd, answer)), odd, times=1.1, own_wait=1)


# --- endpoints that fail alone ---------------------------------------------------------------


def test_an_endpoint_with_a_limit_of_its_own() -> None:
    world = World(rate=100, lookups=FIVE, endpoint_limits={SICK: rate_limit(Window.SLIDING, 10)})
    run, usual = world.run(), beside(world)
    assert run.error is None
    assert run.kinds == {K.SUCCESS: 2500}
    assert run.others_done(OF_SICK) <= 1.1 * usual.ended_at
    assert run.others_done() <= 1.15 * 500 / 10
    assert run.requests <= 1.1 * usual.requests


def test_an_endpoint_that_was_closed_for_a_moment_is_asked_at_full_rate_again() -> None:
    def closed(lookup: Lookup, _time: int, now: float) -> Answer | None:
        return refused() if lookup.endpoint is SICK and 2 <= now < 2.5 else None

    world = World(rate=100, latency=0.3, lookups=FIVE, odd=closed)
    run = world.run()
    assert run.kinds == {K.SUCCESS: 2500}
    assert run.ended_at <= beside(world).ended_at + 5


@pytest.mark.parametrize(
    "window", [w if w is Window.SLIDING else pytest.param(w, marks=in_full) for w in Window]
)
def test_a_limit_is_found_where_nearly_all_is_asked_at_one_endpoint(window: Window) -> None:
    lookups = [*numbered(1, SICK), *numbered(1500)]
    world = World(rate=400, lookups=lookups, limit=rate_limit(window, 100), refusal=refused(None))
    run = world.run()
    assert run.kinds == {K.SUCCESS: 1501}
    assert run.requests <= 1.15 * 1501
    assert run.ended_at <= 24


SICK_WORLDS = {
    "500": (at_endpoint(SICK, Answer(kind=K.SERVER_ERROR, http_status=500)), ApiError, 30),
    "503": (at_endpoint(SICK, busy(20)), ApiError, 95),
    "403": (at_endpoint(SICK, Answer(kind=K.FORBIDDEN, http_status=403)), AuthenticationError, 5),
    "401": (at_endpoint(SICK, DEAD_KEY), AuthenticationError, 5),
    "429": (at_endpoint(SICK, refused()), Stopped, 75),
    "429 for a day": (at_endpoint(SICK, refused(DAY)), Stopped, 30),
    "503 for a day": (at_endpoint(SICK, busy(DAY)), Stopped, 30),
    "no connection kept": (at_endpoint(SICK, LOST), ApiError, 30),
}


ALIKE = ("503", "403", "429 for a day", "503 for a day", "no connection kept")


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=in_full if each in ALIKE else ()) for each in SICK_WORLDS]
)
def test_a_sick_endpoint_is_given_up_and_the_others_are_done(name: str) -> None:
    odd, error, more_seconds = SICK_WORLDS[name]
    world = World(rate=100, lookups=FIVE, odd=odd)
    run, usual = world.run(), beside(world)
    assert isinstance(run.error, error)
    assert SICK in str(run.error)
    assert run.error.exit_code in (4, 69, 77)
    assert run.others_done(OF_SICK) <= 1.1 * usual.ended_at
    assert run.ended_at <= usual.ended_at + more_seconds
    assert {n for n in FIVE if n not in OF_SICK} <= run.outcomes.keys()
    assert run.requests <= 1.05 * usual.requests


def test_an_endpoint_that_never_answers_is_given_up_and_the_others_are_done() -> None:
    world = World(
        rate=100, lookups=FIVE, delay=lambda n, _t, _n: 99.0 if n.endpoint is SICK else None
    )
    run, usual = world.run(), beside(world)
    assert isinstance(run.error, ApiError)
    assert run.others_done(OF_SICK) <= 1.1 * usual.ended_at
    assert run.ended_at <= usual.ended_at + 60


def test_an_endpoint_that_does_not_exist_is_skipped() -> None:
    run = World(rate=100, lookups=FIVE, odd=at_endpoint(SICK, NEVER_501)).run()
    assert run.error is None
    assert run.kinds[K.SKIPPED] >= 490
    assert run.kinds[K.SUCCESS] == 2000


def test_a_storm_of_503_costs_its_own_time() -> None:
    world = World(odd=lambda _n, _t, now: busy(1) if 5 <= now < 10 else None)
    run, usual = world.run(), beside(world)
    assert run.kinds == {K.SUCCESS: 4000}
    assert run.ended_at <= 1.1 * usual.ended_at + 5
    assert run.requests <= 1.02 * usual.requests


@pytest.mark.parametrize("seconds", [*(pytest.param(s, marks=in_full) for s in (0.03, 0.1)), 0.4])
def test_a_server_that_stands_still_now_and_then_is_never_asked_too_much(seconds: float) -> None:
    """What was under way arrives at once, and counts in the second in which it does."""
    world = World(
        away=lambda now: max(0.0, seconds - now % 1.5) if now > 6 else 0.0,
        limit=rate_limit(Window.SLIDING, 400),
    )
    run = world.run()
    assert run.refusals == 0
    assert run.ended_at <= beside(world).ended_at + 6 * seconds


# --- what concerns everybody still does --------------------------------------------------------


def test_a_dead_key_stops_at_once() -> None:
    world = World(odd=lambda _n, _t, now: DEAD_KEY if now >= 5 else None)
    run = world.run()
    assert isinstance(run.error, AuthenticationError)
    assert run.ended_at < 5.2
    late = [at for at, _ in run.asked if at >= 5.0 + world.latency]
    assert len(late) <= 2


def test_an_account_that_refuses_everything_is_left_alone() -> None:
    run = World(odd=lambda _n, _t, now: refused(2) if 5 <= now < 25 else None).run()
    assert run.kinds == {K.SUCCESS: 4000}
    asked = [at for at, _ in run.asked if 5.2 <= at < 25]
    assert len(asked) <= 10


def test_headers_that_most_answers_bear_are_obeyed() -> None:
    def counting_down(_lookup: Lookup, _time: int, now: float) -> Answer:
        left = round(100 * (1 - now % 10 / 10))
        return says(left, 10 - now % 10)

    run = World(rate=50, lookups=FEW, odd=counting_down).run()
    assert run.kinds == {K.SUCCESS: 500}
    assert run.ended_at > 20


def test_headers_that_are_not_true_slow_down_for_a_moment_only() -> None:
    world = World(rate=50, lookups=FEW, odd=lambda *_: says(0, 40))
    assert_odd_ones_cost_themselves(world, frozenset(), times=1.2, own_wait=0)


def test_the_answers_of_a_world_without_oddities_come_at_the_rate() -> None:
    run = clean(400, 4000, (Endpoint.SIM_SWAP_CHECK,))
    assert run.requests == 4000
    assert run.ended_at <= 4000 / 392 + 2.5
    assert OK.kind is K.SUCCESS


@examples(15)
@given(seed=st.integers(0, 10**6), share=st.floats(0, 0.2), max_refusals=st.integers(1, 8))
def test_every_lookup_is_answered_once_whatever_is_refused(
    seed: int, share: float, max_refusals: int
) -> None:
    lookups = numbered(200, Endpoint.SIM_SWAP_CHECK, SICK)
    odd = share_of(lookups, share, seed)
    world = World(
        rate=100,
        lookups=lookups,
        odd=always(odd, refused(0.5)),
        retry=replace_retry(max_refusals),
    )
    run = world.run()
    assert run.error is None
    assert run.outcomes.keys() == set(lookups)
    assert {run.outcomes[n].kind for n in odd} <= {K.RATE_LIMITED}
    assert replace(world, odd=lambda *_: None).run().kinds == {K.SUCCESS: 400}


@examples(40)
@given(
    seed=st.integers(0, 10**6),
    odd=st.lists(
        st.sampled_from([DEAD_KEY, NO_BALANCE, NO_QUOTA, refused(), refused(DAY), busy(DAY)]),
        max_size=4,
    ),
    share=st.floats(0, 0.1),
    endpoints=st.integers(1, 3),
)
def test_every_run_ends_and_no_lookup_is_lost(
    *, seed: int, odd: list[Answer], share: float, endpoints: int
) -> None:
    lookups = numbered(120, *list(Endpoint)[:endpoints])
    met: dict[Lookup, Answer] = {}
    for i, answer in enumerate(odd):
        met |= dict.fromkeys(share_of(lookups, share, seed + i), answer)
    run = World(rate=200, lookups=lookups, odd=lambda n, time, _: met.get(n)).run()
    assert run.error is None or run.error.exit_code in (4, 69, 77)
    if run.error is None:
        assert run.outcomes.keys() == set(lookups)
    assert all(run.outcomes[n].kind is K.SUCCESS for n in run.outcomes if n not in met)
    assert run.ended_at < 200


def replace_retry(max_refusals: int) -> Retry:
    return Retry(max_refusals=max_refusals)
