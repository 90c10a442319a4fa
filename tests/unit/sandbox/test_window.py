from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.errors import ConfigurationError
from batch_screen.model import Endpoint
from batch_screen.sandbox.config import DEFAULT_KEY, SandboxConfig
from batch_screen.sandbox.contract import QUOTA_EXCEEDED, TOO_MANY_REQUESTS
from batch_screen.sandbox.gate import Gate
from batch_screen.sandbox.window import Window, rate_limit

CHECK = Endpoint.SIM_SWAP_CHECK
DATE = Endpoint.SIM_SWAP_DATE

# Sixty-fourths add up exactly, so that a test's own sums are no source of doubt.
gaps = st.lists(st.integers(0, 40).map(lambda n: n / 64), max_size=80)
limits = st.sampled_from([0, 1, 2, 4, 8])


def instants(between: list[float]) -> list[float]:
    return [100 + sum(between[: i + 1]) for i in range(len(between))]


def admitted(window: Window, per_second: int, arrivals: list[float]) -> list[float]:
    limit = rate_limit(window, per_second)
    return [at for at in arrivals if limit.admit(at)]


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window.SLIDING, [0.5, 0.75, 1.5, 1.75]),
        (Window.FIXED, [0.5, 0.75, 1.0, 1.25]),
        (Window.BUCKET, [0.5, 0.75, 1.0, 1.5]),
    ],
)
def test_the_same_requests_at_each_window(window: Window, expected: list[float]) -> None:
    assert admitted(window, 2, [0.5, 0.75, 0.875, 1.0, 1.25, 1.5, 1.75]) == expected


@given(limits, gaps)
def test_no_sliding_second_admits_more(per_second: int, between: list[float]) -> None:
    passed = admitted(Window.SLIDING, per_second, instants(between))
    for start in passed:
        assert sum(start <= at < start + 1 for at in passed) <= per_second


@given(limits, gaps)
def test_no_second_of_the_clock_admits_more(per_second: int, between: list[float]) -> None:
    passed = admitted(Window.FIXED, per_second, instants(between))
    seconds = [math.floor(at) for at in passed]
    assert all(seconds.count(second) <= per_second for second in seconds)


@given(limits, gaps)
def test_a_bucket_admits_its_fill_and_what_flows_in(per_second: int, between: list[float]) -> None:
    passed = admitted(Window.BUCKET, per_second, instants(between))
    for start in passed:
        for end in passed:
            within = sum(start <= at <= end for at in passed)
            assert within <= per_second + per_second * max(0.0, end - start)


@given(st.sampled_from(Window), limits, gaps)
def test_whoever_is_refused_is_in_too_full_a_second(
    window: Window, per_second: int, between: list[float]
) -> None:
    arrivals = instants(between)
    passed = admitted(window, per_second, arrivals)
    for at in set(arrivals) - set(passed):
        assert sum(at - 1 < other <= at for other in arrivals) > per_second


@pytest.mark.parametrize("per_second", [1, 3, 7, 10, 490, 1000])
def test_an_empty_bucket_lets_an_even_pace_pass(per_second: int) -> None:
    bucket = rate_limit(Window.BUCKET, per_second)
    assert all(bucket.admit(0.0) for _ in range(per_second))
    assert not bucket.admit(0.0)
    assert all(bucket.admit(i / per_second) for i in range(1, 3 * per_second))


@given(st.sampled_from(Window), limits, gaps)
def test_asking_for_room_takes_none(window: Window, per_second: int, between: list[float]) -> None:
    limit, asked = rate_limit(window, per_second), rate_limit(window, per_second)
    for at in instants(between):
        room = [asked.has_room(at) for _ in range(3)]
        assert room == [limit.admit(at)] * 3 == [asked.admit(at)] * 3


class TestLimitsAtTheGate:
    def test_each_endpoint_has_its_own_and_the_account_one_for_all(self) -> None:
        gate = Gate(
            SandboxConfig(rate_limit_per_second=3, rate_limit_by_endpoint={CHECK: 1, DATE: 2})
        )
        asked = [CHECK, CHECK, DATE, Endpoint.DEVICE_SWAP_DATE, DATE]
        refusals = [gate.admit(DEFAULT_KEY, 0.0, endpoint) for endpoint in asked]
        # The second check takes nothing from the limit for all.
        assert refusals == [None, TOO_MANY_REQUESTS, None, None, TOO_MANY_REQUESTS]
        assert gate.rate_refusals == 2

    def test_free_endpoints_beside_a_limited_one(self) -> None:
        gate = Gate(SandboxConfig(rate_limit_by_endpoint={CHECK: 0}))
        assert all(gate.admit(DEFAULT_KEY, 0.0, DATE) is None for _ in range(100))
        assert gate.admit(DEFAULT_KEY, 0.0, CHECK) is TOO_MANY_REQUESTS

    def test_a_window_is_chosen(self) -> None:
        for window in Window:
            gate = Gate(SandboxConfig(rate_limit_per_second=2, rate_window=window))
            arrivals = [0.5, 0.75, 1.0, 1.25]
            passed = [at for at in arrivals if gate.admit(DEFAULT_KEY, at) is None]
            assert passed == admitted(window, 2, arrivals)

    def test_a_used_up_quota_takes_nothing_from_a_limit(self) -> None:
        gate = Gate(SandboxConfig(rate_limit_per_second=2, quota=1))
        refusals = [gate.admit(DEFAULT_KEY, 0.0) for _ in range(4)]
        assert refusals == [None, QUOTA_EXCEEDED, QUOTA_EXCEEDED, QUOTA_EXCEEDED]

    def test_a_changed_limit_goes_on_with_what_was_taken(self) -> None:
        gate = Gate(SandboxConfig(rate_limit_per_second=2))
        assert [gate.admit(DEFAULT_KEY, 0.0) for _ in range(2)] == [None, None]
        gate.change(SandboxConfig(rate_limit_per_second=3))
        assert [gate.admit(DEFAULT_KEY, 0.5) for _ in range(2)] == [None, TOO_MANY_REQUESTS]
        gate.change(SandboxConfig())
        assert gate.admit(DEFAULT_KEY, 0.5) is None


@pytest.mark.parametrize(
    ("by_endpoint", "message"),
    [
        ({CHECK: -1}, "rate limits, quota and revocation must not be negative"),
        ({"sim-swap": 1}, "no endpoint 'sim-swap'; choose among sim-swap/check, "),
    ],
)
def test_limits_that_cannot_be_meant(by_endpoint: dict[Endpoint, int], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SandboxConfig(rate_limit_by_endpoint=by_endpoint)
