"""The standard's scenarios for the five operations, asked of the sandbox: 73 cases.

CAMARA tests SIM Swap, Device Swap and Call Forwarding Signal with 80 scenarios. Seven rest on an
access token that names the subscriber and have no meaning here, for a key names nobody. Where page
and standard differ, the page counts: minutes for hours, NOT_FOUND for IDENTIFIER_NOT_FOUND, and
a number that is missing is an invalid argument, since no token could stand in for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from batch_screen.model import Endpoint
from batch_screen.sandbox.answers import Population
from batch_screen.sandbox.config import DEFAULT_KEY, EXPIRED_KEY, SandboxConfig
from batch_screen.sandbox.run import SandboxThread

from .conftest import NOW, PATHS, Client, Seen

FORWARDING = Endpoint.CALL_FORWARDING_CHECK
SIM_CHECK, SIM_DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
DEVICE_CHECK, DEVICE_DATE = Endpoint.DEVICE_SWAP_CHECK, Endpoint.DEVICE_SWAP_DATE
CHECKS, DATES = [SIM_CHECK, DEVICE_CHECK], [SIM_DATE, DEVICE_DATE]

MINUTES_AGO_5 = "+46701740605"
MINUTES_AGO_1000 = "+46701740606"
NEVER = "+46701740607"
DAYS_AGO_30 = "+46701740699"
SHORT_HISTORY = "+46701740633"  # 30 days ago, and its operator looks back 240 minutes
UNKNOWN = "+46701740644"
NOT_SERVED = "+46701740645"

of_checks = pytest.mark.parametrize("endpoint", CHECKS)
of_dates = pytest.mark.parametrize("endpoint", DATES)
of_swaps = pytest.mark.parametrize("endpoint", CHECKS + DATES)
of_all = pytest.mark.parametrize("endpoint", list(Endpoint))


@pytest.fixture(scope="module")
def plain() -> Iterator[Client]:
    with SandboxThread(SandboxConfig(now=NOW)) as sandbox:
        yield Client(sandbox)


def says(seen: Seen, status: int, code: str) -> bool:
    body = seen.json()
    text = body.pop("message")
    return (seen.status, body) == (status, {"status": status, "code": code}) and len(
        text.split()
    ) > 3


def swapped(client: Client, endpoint: Endpoint, number: str, *max_age: object) -> object:
    seen = client.ask(endpoint, number, *max_age)
    assert seen.status == 200
    return seen.json()["swapped"]


def changed(client: Client, endpoint: Endpoint, number: str) -> object:
    seen = client.ask(endpoint, number)
    assert seen.status == 200
    return seen.json()["latestSimChange"]


@of_all
def test_a_good_question_gets_json_under_its_own_correlator(
    plain: Client, endpoint: Endpoint
) -> None:
    seen = plain.ask(endpoint, MINUTES_AGO_5, headers={"x-correlator": "b4333c46-49c0"})
    assert seen.status == 200
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.headers["x-correlator"] == "b4333c46-49c0"
    (value,) = seen.json().values()
    assert datetime.fromisoformat(value) if endpoint.answers_date else isinstance(value, bool)


def test_forwarding_is_on_or_off(plain: Client) -> None:
    seen = [plain.ask(FORWARDING, number).json() for number in ("+46701740608", NEVER)]
    assert seen == [{"active": True}, {"active": False}]


class TestWindows:
    @of_checks
    def test_without_a_window_a_change_of_the_last_240_minutes_counts(
        self, plain: Client, endpoint: Endpoint
    ) -> None:
        assert swapped(plain, endpoint, MINUTES_AGO_5) is True

    @of_checks
    def test_a_window_as_wide_as_the_change_is_old_holds_it(
        self, plain: Client, endpoint: Endpoint
    ) -> None:
        assert all(swapped(plain, endpoint, MINUTES_AGO_5, window) for window in (5, 12, 24, 260))
        assert all(swapped(plain, endpoint, MINUTES_AGO_1000, window) for window in (1000, 2400))

    @of_checks
    def test_without_a_window_an_older_change_does_not_count(
        self, plain: Client, endpoint: Endpoint
    ) -> None:
        assert swapped(plain, endpoint, MINUTES_AGO_1000) is False

    @of_checks
    def test_a_window_one_minute_too_narrow_misses_the_change(
        self, plain: Client, endpoint: Endpoint
    ) -> None:
        assert swapped(plain, endpoint, MINUTES_AGO_1000, 999) is False

    @of_checks
    def test_who_never_changed_has_not_lately(self, plain: Client, endpoint: Endpoint) -> None:
        assert swapped(plain, endpoint, NEVER) is False

    @of_checks
    def test_who_never_changed_has_not_in_any_window(
        self, plain: Client, endpoint: Endpoint
    ) -> None:
        assert not any(swapped(plain, endpoint, NEVER, window) for window in (12, 24, 120, 2400))

    def test_a_change_before_the_operators_history_does_not_count(self, plain: Client) -> None:
        assert swapped(plain, DEVICE_CHECK, SHORT_HISTORY) is False

    @of_checks
    def test_a_window_that_is_no_integer_is_invalid(
        self, plain: Client, endpoint: Endpoint
    ) -> None:
        for window in ("240", 240.5, None, True, [240]):
            assert says(plain.ask(endpoint, NEVER, window), 400, "INVALID_ARGUMENT")

    @of_checks
    def test_a_window_beyond_the_highest_is_out_of_range(
        self, plain: Client, endpoint: Endpoint
    ) -> None:
        for window in (2401, 100_000):
            assert says(plain.ask(endpoint, NEVER, window), 400, "OUT_OF_RANGE")

    @of_checks
    def test_a_window_beyond_the_operators_history_is_out_of_range(
        self, plain: Client, endpoint: Endpoint
    ) -> None:
        assert swapped(plain, endpoint, SHORT_HISTORY, 240) is False
        assert says(plain.ask(endpoint, SHORT_HISTORY, 241), 400, "OUT_OF_RANGE")


class TestDates:
    @of_dates
    def test_the_latest_change_is_dated(self, plain: Client, endpoint: Endpoint) -> None:
        assert changed(plain, endpoint, MINUTES_AGO_5) == "2026-03-01T11:55:00.000000000Z"

    @of_dates
    def test_without_a_change_the_first_use_is_dated(
        self, plain: Client, endpoint: Endpoint
    ) -> None:
        assert changed(plain, endpoint, DAYS_AGO_30) == "2026-01-30T12:00:00.000000000Z"

    def test_a_number_that_never_had_a_sim_has_no_date(self, plain: Client) -> None:
        assert changed(plain, SIM_DATE, NEVER) is None

    @of_dates
    def test_a_change_before_the_operators_history_has_no_date(
        self, plain: Client, endpoint: Endpoint
    ) -> None:
        assert changed(plain, endpoint, SHORT_HISTORY) is None


class TestNumbers:
    @of_all
    def test_the_service_is_not_there_for_every_number(
        self, plain: Client, endpoint: Endpoint
    ) -> None:
        assert says(plain.ask(endpoint, NOT_SERVED), 422, "SERVICE_NOT_APPLICABLE")

    @pytest.mark.parametrize("endpoint", [DEVICE_CHECK, DEVICE_DATE])
    def test_the_service_is_not_there_for_a_sim_that_was_never_used(
        self, plain: Client, endpoint: Endpoint
    ) -> None:
        assert says(plain.ask(endpoint, NOT_SERVED), 422, "SERVICE_NOT_APPLICABLE")

    @of_all
    def test_a_question_without_a_number_is_invalid(
        self, plain: Client, endpoint: Endpoint
    ) -> None:
        assert says(send(plain, endpoint, b"{}"), 400, "INVALID_ARGUMENT")

    @of_all
    def test_a_malformed_number_is_invalid(self, plain: Client, endpoint: Endpoint) -> None:
        for number in ("", "foo", "46701740607", "+0701740607", "+46 70 1740607", 46701740607):
            assert says(plain.ask(endpoint, number), 400, "INVALID_ARGUMENT")

    @pytest.mark.parametrize("endpoint", [SIM_DATE, DEVICE_CHECK, DEVICE_DATE, FORWARDING])
    def test_a_number_that_nobody_has_is_not_found(self, plain: Client, endpoint: Endpoint) -> None:
        assert says(plain.ask(endpoint, UNKNOWN), 404, "NOT_FOUND")

    def test_a_number_whose_forwarding_cannot_be_seen_is_not_found(
        self, start: Callable[..., Client]
    ) -> None:
        client = start(population=Population(not_found_share=1))
        assert says(client.ask(FORWARDING, "+491511234567"), 404, "NOT_FOUND")


class TestBodies:
    def test_a_question_without_a_body_is_invalid(self, plain: Client) -> None:
        assert says(send(plain, FORWARDING, b""), 400, "INVALID_ARGUMENT")

    def test_unknown_properties_are_invalid_where_bodies_are_read_strictly(
        self, start: Callable[..., Client]
    ) -> None:
        client = start(strict_body=True)
        body = json.dumps({"phoneNumber": NEVER, "hashed": True}).encode()
        assert says(send(client, DEVICE_CHECK, body), 400, "INVALID_ARGUMENT")


class TestKeys:
    @of_swaps
    def test_without_a_key_nobody_is_known(self, plain: Client, endpoint: Endpoint) -> None:
        assert says(plain.ask(endpoint, NEVER, key=None), 401, "UNAUTHENTICATED")

    @of_swaps
    def test_a_key_that_has_expired_is_refused(self, plain: Client, endpoint: Endpoint) -> None:
        assert says(plain.ask(endpoint, NEVER, key=EXPIRED_KEY), 401, "UNAUTHENTICATED")

    @of_all
    def test_a_wrong_key_is_refused(self, plain: Client, endpoint: Endpoint) -> None:
        assert says(plain.ask(endpoint, NEVER, key="wrong"), 401, "UNAUTHENTICATED")

    @pytest.mark.parametrize("endpoint", [DEVICE_CHECK, FORWARDING])
    def test_a_key_without_the_entitlement_is_denied_there_and_nowhere_else(
        self, start: Callable[..., Client], endpoint: Endpoint
    ) -> None:
        client = start(not_entitled=(endpoint,))
        for each in Endpoint:
            seen = client.ask(each, NEVER)
            assert says(seen, 403, "PERMISSION_DENIED") if each is endpoint else seen.status == 200


class TestLimits:
    def test_beyond_the_quota_everything_is_refused(self, start: Callable[..., Client]) -> None:
        client = start(quota=1)
        assert client.ask(FORWARDING, NEVER).status == 200
        assert says(client.ask(FORWARDING, NEVER), 429, "QUOTA_EXCEEDED")

    def test_beyond_the_rate_everything_is_refused(self, start: Callable[..., Client]) -> None:
        client = start(rate_limit_per_second=1)
        seen = [client.ask(FORWARDING, NEVER) for _ in range(3)]
        assert says(seen[-1], 429, "TOO_MANY_REQUESTS")


def send(client: Client, endpoint: Endpoint, body: bytes) -> Seen:
    headers: dict[str, Any] = {"Content-Type": "application/json", "apiKey": DEFAULT_KEY}
    return client.send(f"/network-signal/v1{PATHS[endpoint]}", body, headers)
