from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.sections import Dialect
from batch_screen.errors import ConfigurationError
from batch_screen.model import Endpoint
from batch_screen.sandbox import contract
from batch_screen.sandbox.answers import Population, truth
from batch_screen.sandbox.config import DEFAULT_KEY, EXPIRED_KEY, SandboxConfig
from batch_screen.sandbox.contract import (
    QUOTA_EXCEEDED,
    TOO_MANY_REQUESTS,
    UNAUTHENTICATED,
    Question,
    read_question,
)
from batch_screen.sandbox.gate import Gate
from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.magic import Behaviour, Fault
from batch_screen.sandbox.profiles import FaultRule
from batch_screen.sandbox.run import SandboxThread

from .conftest import PATHS, Client

CHECK = Endpoint.SIM_SWAP_CHECK
DATE = Endpoint.SIM_SWAP_DATE
CHECKS = [CHECK, Endpoint.DEVICE_SWAP_CHECK]
WITHOUT_WINDOW = [e for e in Endpoint if e not in CHECKS]
NUMBER = "+46701740606"  # SIM and device changed 1,000 minutes ago
JSON = {"Content-Type": "application/json", "apiKey": DEFAULT_KEY}
BASE = "/network-signal/v1"


def test_all_five_operations_answer_the_truth(plain: Client) -> None:
    for endpoint in Endpoint:
        seen = plain.ask(endpoint, NUMBER)
        assert seen.status == 200
        assert seen.headers["Content-Type"] == "application/json"
        assert parsedate_to_datetime(seen.headers["Date"]).tzinfo is not None
        assert seen.json() == truth(NUMBER, endpoint, None, plain.sandbox.world)


@pytest.mark.parametrize("endpoint", CHECKS)
@pytest.mark.parametrize(
    ("max_age", "swapped"),
    [(..., False), (1, False), (240, False), (999, False), (1000, True), (2400, True)],
)
def test_windows(plain: Client, endpoint: Endpoint, max_age: object, swapped: bool) -> None:
    assert plain.ask(endpoint, NUMBER, max_age).json() == {"swapped": swapped}


@pytest.mark.parametrize("endpoint", CHECKS)
@pytest.mark.parametrize("max_age", [0, -1, 2401, 10**30])
def test_windows_out_of_range(plain: Client, endpoint: Endpoint, max_age: int) -> None:
    seen = plain.ask(endpoint, NUMBER, max_age)
    assert seen.status == 400
    assert seen.json() == {
        "status": 400,
        "code": "OUT_OF_RANGE",
        "message": "Client specified an invalid range.",
    }


@pytest.mark.parametrize("max_age", [True, "240", 1.5, float("inf"), None, [240]])
def test_windows_of_the_wrong_type(plain: Client, max_age: object) -> None:
    seen = plain.ask(CHECK, NUMBER, max_age)
    assert (seen.status, seen.json()["code"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("window", ["1000.0", "1e3"])
def test_an_integer_is_one_by_its_value(plain: Client, window: str) -> None:
    body = f'{{"phoneNumber":"{NUMBER}","maxAge":{window}}}'.encode()
    assert plain.send(BASE + PATHS[CHECK], body, JSON).json() == {"swapped": True}


@pytest.mark.parametrize("endpoint", WITHOUT_WINDOW)
def test_only_the_checks_take_a_window(endpoint: Endpoint) -> None:
    body = json.dumps({"phoneNumber": NUMBER, "maxAge": 240}).encode()
    assert read_question(body, endpoint, Dialect.PAGE) == Question(NUMBER, endpoint)
    strict = read_question(body, endpoint, Dialect.PAGE, strict=True)
    assert strict is contract.INVALID_ARGUMENT


@pytest.mark.parametrize("endpoint", Endpoint)
def test_unknown_properties_are_ignored_unless_bodies_are_read_strictly(endpoint: Endpoint) -> None:
    body = json.dumps({"phoneNumber": NUMBER, "hashed": True}).encode()
    assert read_question(body, endpoint, Dialect.PAGE) == Question(NUMBER, endpoint)
    strict = read_question(body, endpoint, Dialect.PAGE, strict=True)
    assert strict is contract.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "number",
    [
        "",
        "491511234567",
        "00491511234567",
        "+0491511234567",
        "+49 151 1234567",
        "+491511",
        "+491511234567\n",
        "+4915112345678901",
        "+٤٩١٥١١٢٣٤٥٦٧",
        "tel:+491511234567",
        491511234567,
        None,
        ["+491511234567"],
    ],
)
def test_malformed_numbers(plain: Client, number: object) -> None:
    for endpoint in Endpoint:
        seen = plain.ask(endpoint, number)
        assert (seen.status, seen.json()["code"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"{",
        b'"+491511234567"',
        b"\xff",
        b'{"phonenumber":"+491511234567"}',
        b'{"maxAge":240}',
        b'{"phoneNumber":"+491511234567"} x',
    ],
)
def test_malformed_bodies(plain: Client, body: bytes) -> None:
    for path in PATHS.values():
        seen = plain.send(BASE + path, body, JSON)
        assert (seen.status, seen.json()["code"]) == (400, "INVALID_ARGUMENT")


def test_a_number_in_the_query_string_is_refused(plain: Client) -> None:
    body = json.dumps({"phoneNumber": NUMBER}).encode()
    seen = plain.send(f"{BASE}/sim-swap/check?phoneNumber=%2B491511234567", body, JSON)
    assert (seen.status, seen.json()["code"]) == (400, "INVALID_ARGUMENT")


def test_unknown_numbers(start: Callable[..., Client]) -> None:
    sandbox = start(population=Population(not_found_share=1))
    for endpoint in Endpoint:
        seen = sandbox.ask(endpoint, "+491511234567")
        assert seen.status == 404
        assert seen.json() == {
            "status": 404,
            "code": "NOT_FOUND",
            "message": "The specified resource is not found.",
        }


@pytest.mark.parametrize("key", [None, "", "wrong", EXPIRED_KEY, DEFAULT_KEY.upper()])
def test_bad_keys(plain: Client, key: str | None) -> None:
    seen = plain.ask(CHECK, NUMBER, key=key)
    assert seen.status == 401
    assert seen.json() == {
        "status": 401,
        "code": "UNAUTHENTICATED",
        "message": "Request not authenticated due to missing, invalid, or expired credentials. "
        "A new authentication is required.",
    }


def test_a_bad_key_is_told_before_a_bad_body(plain: Client) -> None:
    assert plain.ask(CHECK, "x", key="wrong").status == 401


def test_further_keys(start: Callable[..., Client]) -> None:
    sandbox = start(keys=("one", "two"))
    statuses = [sandbox.ask(CHECK, NUMBER, key=k).status for k in ("one", "two", DEFAULT_KEY)]
    assert statuses == [200, 200, 401]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_other_methods(plain: Client, method: str) -> None:
    seen = plain.send(BASE + "/sim-swap/check", b"{}", JSON, method=method)
    assert (seen.status, seen.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        BASE,
        BASE + "/sim-swap",
        "/network-signals/v1/sim-swap/check",
        BASE + "/sim-swap/check/",
    ],
)
def test_other_paths(plain: Client, path: str) -> None:
    seen = plain.send(path, b'{"phoneNumber":"+491511234567"}', JSON)
    assert (seen.status, seen.json()["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_other_media_types(plain: Client, media_type: str | None) -> None:
    headers = {"apiKey": DEFAULT_KEY} | ({"Content-Type": media_type} if media_type else {})
    seen = plain.send(BASE + "/sim-swap/check", b'{"phoneNumber":"+491511234567"}', headers)
    assert seen.status == 415


def test_a_charset_is_no_other_media_type(plain: Client) -> None:
    body = json.dumps({"phoneNumber": NUMBER}).encode()
    headers = JSON | {"Content-Type": "application/json; charset=utf-8"}
    assert plain.send(BASE + "/sim-swap/check", body, headers).status == 200


def test_a_body_beyond_a_megabyte(plain: Client) -> None:
    seen = plain.send(BASE + "/sim-swap/check", b" " * (1024 * 1024 + 1), JSON)
    assert (seen.status, seen.json()["status"]) == (413, 413)


@pytest.mark.parametrize("number", [NUMBER, "bad"])
def test_the_correlator_comes_back_with_answers_and_errors(plain: Client, number: str) -> None:
    seen = plain.ask(CHECK, number, headers={"x-correlator": "b4333c46"})
    assert seen.headers["x-correlator"] == "b4333c46"
    assert plain.ask(CHECK, number).headers["x-correlator"] is None


class TestClock:
    """Without ``now`` its clock goes; a check and the date beside it come from one instant."""

    def test_a_window_reaches_back_from_the_question(self) -> None:
        config = SandboxConfig(since=datetime.now(UTC) - timedelta(minutes=792))
        with SandboxThread(config) as sandbox:
            client = Client(sandbox)
            swapped_then = "+46701740605"  # 5 minutes before the beginning
            date = client.ask(DATE, swapped_then).json()["latestSimChange"]
            age = datetime.now(UTC) - datetime.fromisoformat(date)
            assert timedelta(minutes=797) <= age < timedelta(minutes=798)
            assert client.ask(CHECK, swapped_then, 240).json() == {"swapped": False}
            assert client.ask(CHECK, swapped_then, 798).json() == {"swapped": True}
            assert client.ask(DATE, swapped_then).json()["latestSimChange"] == date

    def test_ages_count_back_from_the_start(self) -> None:
        with SandboxThread(SandboxConfig()) as sandbox:
            assert datetime.now(UTC) - sandbox.world.now < timedelta(minutes=1)
            assert Client(sandbox).ask(CHECK, "+46701740605", 6).json() == {"swapped": True}

    def test_a_clock_that_is_ahead(self) -> None:
        with SandboxThread(SandboxConfig(ahead=timedelta(days=400))) as sandbox:
            date = Client(sandbox).ask(DATE, "+46701740605").json()["latestSimChange"]
            ahead = datetime.fromisoformat(date) - datetime.now(UTC)
            assert timedelta(days=399) < ahead < timedelta(days=400)


def test_latency_delays_answers(start: Callable[..., Client]) -> None:
    sandbox = start(latency=Latency(seconds=0.001, upto_seconds=0.002))
    assert sandbox.ask(CHECK, NUMBER).status == 200


class TestLaterDialect:
    def test_the_forwarding_path_moved(self, start: Callable[..., Client]) -> None:
        sandbox = start(dialect=Dialect.LATER)
        forwarding = Endpoint.CALL_FORWARDING_CHECK
        moved = sandbox.ask(forwarding, NUMBER, path="/call-forwarding/unconditional/check")
        assert moved.json() == {"active": False}
        assert sandbox.ask(forwarding, NUMBER).status == 404

    def test_the_device_date_has_its_own_name(self, start: Callable[..., Client]) -> None:
        seen = start(dialect=Dialect.LATER).ask(Endpoint.DEVICE_SWAP_DATE, NUMBER)
        assert list(seen.json()) == ["latestDeviceChange"]

    @pytest.mark.parametrize("prefix", ["+", "00", ""])
    def test_every_international_prefix_means_the_same_number(self, prefix: str) -> None:
        body = json.dumps({"phoneNumber": prefix + NUMBER[1:]}).encode()
        assert read_question(body, CHECK, Dialect.LATER) == Question(NUMBER, CHECK)

    def test_errors_lack_status_and_code(self, start: Callable[..., Client]) -> None:
        seen = start(dialect=Dialect.LATER).ask(CHECK, NUMBER, 2401)
        assert seen.status == 400
        assert list(seen.json()) == ["message"]
        assert "range" not in seen.json()["message"]


class TestGate:
    def test_rate_refusals_say_when_to_come_back(self, start: Callable[..., Client]) -> None:
        sandbox = start(rate_limit_per_second=1)
        seen = [sandbox.ask(CHECK, NUMBER) for _ in range(3)]
        assert [s.status for s in seen] == [200, 429, 429]
        assert seen[1].headers["Retry-After"] == "1"
        assert seen[1].json()["code"] == "TOO_MANY_REQUESTS"
        assert sandbox.sandbox.statistics()["rate_refusals"] == 2

    def test_the_quota_ends(self, start: Callable[..., Client]) -> None:
        sandbox = start(quota=2)
        seen = [sandbox.ask(CHECK, NUMBER) for _ in range(3)]
        assert [s.status for s in seen] == [200, 200, 429]
        assert seen[2].json()["code"] == "QUOTA_EXCEEDED"
        assert seen[2].headers["Retry-After"] is None

    def test_keys_are_revoked(self, start: Callable[..., Client]) -> None:
        sandbox = start(revoke_keys_after=2)
        assert [sandbox.ask(CHECK, NUMBER).status for _ in range(4)] == [200, 200, 401, 401]
        assert sandbox.sandbox.statistics()["requests_after_revocation"] == 2

    def test_a_full_second_opens_one_slot_after_another(self) -> None:
        gate = Gate(SandboxConfig(rate_limit_per_second=2))
        arrivals = [0.0, 0.5, 0.75, 0.875, 1.0, 1.25, 1.5, 1.75]
        refused = [gate.admit(DEFAULT_KEY, at) is TOO_MANY_REQUESTS for at in arrivals]
        assert refused == [False, False, True, True, False, True, False, True]
        assert gate.rate_refusals == 4

    @given(
        st.integers(0, 5),
        st.lists(st.floats(0, 0.5), max_size=60).map(
            lambda gaps: [sum(gaps[: i + 1]) for i in range(len(gaps))]
        ),
    )
    def test_no_second_admits_more_than_the_limit(self, limit: int, arrivals: list[float]) -> None:
        gate = Gate(SandboxConfig(rate_limit_per_second=limit))
        admitted = [at for at in arrivals if gate.admit(DEFAULT_KEY, at) is None]
        for start in admitted:
            assert sum(start <= at and at - start < 1 for at in admitted) <= limit

    def test_refusals_take_nothing_from_the_budgets(self) -> None:
        gate = Gate(SandboxConfig(rate_limit_per_second=1, quota=2))
        at = [0.0, 0.5, 0.5, 1.0, 2.0]
        refusals = [gate.admit(DEFAULT_KEY, instant) for instant in at]
        assert refusals == [None, TOO_MANY_REQUESTS, TOO_MANY_REQUESTS, None, QUOTA_EXCEEDED]
        assert gate.used_quota == 2

    def test_bad_keys_take_nothing_either(self) -> None:
        gate = Gate(SandboxConfig(rate_limit_per_second=1, revoke_keys_after=1))
        assert gate.admit("wrong", 0.0) is UNAUTHENTICATED
        assert gate.admit(None, 0.0) is UNAUTHENTICATED
        assert gate.admit(DEFAULT_KEY, 0.0) is None
        assert gate.admit(DEFAULT_KEY, 5.0) is UNAUTHENTICATED
        assert gate.after_revocation == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"profiles": ("flakey",)}, "'flakey'; choose among flaky"),
        ({"population": Population(swapped_share=1.5)}, "between 0 and 1"),
        ({"rules": (FaultRule(Fault(Behaviour.SLOW), -1),)}, "between 0 and 1"),
        ({"quota": -1}, "negative"),
        ({"not_entitled": ("sim-swap",)}, "no endpoint 'sim-swap'; choose among sim-swap/check"),
        ({"since": datetime(2026, 3, 1)}, "needs a time zone"),  # noqa: DTZ001
        ({"slow_seconds": -1.0}, "negative"),
    ],
)
def test_settings_that_cannot_be_meant(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SandboxConfig(**settings)
