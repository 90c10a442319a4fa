"""Who meets the faults of a profile, and what they look like on the wire."""

from __future__ import annotations

import gzip
import http.client
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

import pytest

from batch_screen.config.sections import Dialect
from batch_screen.errors import ConfigurationError
from batch_screen.model import Endpoint
from batch_screen.sandbox.answers import Population
from batch_screen.sandbox.config import SandboxConfig
from batch_screen.sandbox.contract import Question
from batch_screen.sandbox.faults import disturbed, honest_reply
from batch_screen.sandbox.magic import Behaviour, Fault
from batch_screen.sandbox.profiles import (
    PROFILES,
    FaultChoice,
    FaultRule,
    Of,
    Outages,
    ScriptedOutage,
)
from tests.thoroughness import in_full

from .conftest import NOW, Client, choice_of

CHECK = Endpoint.SIM_SWAP_CHECK
DATE = Endpoint.SIM_SWAP_DATE
SICK = Endpoint.CALL_FORWARDING_CHECK
EVERYBODY = Population(not_found_share=0, no_date_share=0)
SWAPPED_NOW = "+46701740605"

SHARES = {
    "flaky": 0.11,
    "throttling": 0.03,
    "hanging": 0.01,
    "stuck-2": 0.02,
    "stuck-4": 0.04,
    "late-4": 0.04,
    "resets-1": 0.01,
    "garbled": 0.01,
    "sporadic-0.1": 0.001,
    "sporadic-0.3": 0.003,
    "sporadic-1": 0.01,
    "sporadic-3": 0.03,
    "sporadic-no-wait": 0.01,
    "sporadic-long-wait": 0.01,
    "sporadic-day": 0.01,
    "sporadic-past": 0.01,
    "bad-node": 0.25,
    "stubborn": 0.002,
    "stubborn-401": 0.002,
    "stubborn-402": 0.002,
    "stubborn-404": 0.002,
    "stubborn-408": 0.002,
    "stubborn-quota": 0.002,
    "storm": 0.0,
    "odd-headers": 0.005,
    "two-minds": 0.5,
    "compressed": 1.0,
    "slow": 0.0,
    "malformed": 0.048,
    "patchy": 0.15,
    "odd-dates": 0.19,
    "future-dates": 0.05,
    "hostile": 0.23,
}
ONCE = {"hanging", "stuck-2", "stuck-4", "resets-1", "garbled", "bad-node"} | {
    name for name in PROFILES if name.startswith("sporadic-")
}


def numbers(count: int) -> list[str]:
    return [f"+4915{i:09d}" for i in range(count)]


def behaviour(choice: FaultChoice, question: Question, times_asked: int = 1) -> Behaviour | None:
    fault = choice.fault(question, times_asked)
    return fault.behaviour if fault else None


def met(
    profile: str,
    *,
    seed: int = 0,
    times_asked: int = 1,
    count: int = 4000,
    endpoint: Endpoint = CHECK,
) -> list[Any]:
    choice = choice_of(SandboxConfig(profiles=(profile,), seed=seed))
    questions = [Question(number, endpoint) for number in numbers(count)]
    return [behaviour(choice, question, times_asked) for question in questions]


def somebody(profile: str, endpoint: Endpoint = CHECK) -> str:
    """The first number whose first lookup meets the profile."""
    choice = choice_of(SandboxConfig(profiles=(profile,)))
    return next(n for n in numbers(20_000) if choice.fault(Question(n, endpoint), 1))


@pytest.mark.parametrize(
    ("profile", "share"),
    [
        *(
            pytest.param(*each, marks=in_full if each[0].startswith("stubborn-4") else ())
            for each in SHARES.items()
        ),
        *(
            pytest.param(name, 1.0, marks=() if name == "all-401" else in_full)
            for name in PROFILES
            if name.startswith("all-")
        ),
    ],
)
def test_a_profile_meets_its_share_of_the_lookups(profile: str, share: float) -> None:
    hits = met(profile, count=4000 if share == 0 or share >= 0.01 else 40_000)
    assert sum(b is not None for b in hits) / len(hits) == pytest.approx(share, rel=0.35)
    expected = {rule.fault.behaviour for rule in PROFILES[profile].rules}
    assert set(hits) - {None} == expected


@pytest.mark.parametrize("profile", [n for n in PROFILES if n.startswith("endpoint-")])
def test_a_sick_endpoint_is_alone(profile: str) -> None:
    (rule,) = PROFILES[profile].rules
    hits = {endpoint: set(met(profile, endpoint=endpoint, count=100)) for endpoint in Endpoint}
    assert hits.pop(SICK) == {rule.fault.behaviour}
    assert set().union(*hits.values()) == {None}


def test_every_profile_is_tested_above() -> None:
    in_families = {n for n in PROFILES if n.startswith(("all-", "endpoint-"))}
    assert PROFILES.keys() - in_families == SHARES.keys()


def test_every_profile_says_what_it_is_about() -> None:
    for profile in PROFILES.values():
        assert 10 < len(profile.about) < 90


def test_a_profile_does_the_same_every_time_and_another_thing_with_another_seed() -> None:
    assert met("flaky") == met("flaky")
    assert met("flaky") != met("flaky", seed=1)


def test_faults_that_happen_once_are_over_at_the_second_request() -> None:
    assert set(met("flaky", times_asked=2)) == {None}
    assert met("patchy", times_asked=2) == met("patchy")


@pytest.mark.parametrize("profile", sorted(ONCE))
def test_once_is_once(profile: str) -> None:
    assert set(met(profile, times_asked=2)) == {None}


def test_a_share_of_requests_is_drawn_anew_each_time() -> None:
    first, second = met("two-minds"), met("two-minds", times_asked=2)
    agreeing = sum(a is b for a, b in zip(first, second, strict=True))
    assert agreeing / len(first) == pytest.approx(0.5, rel=0.1)
    assert second == met("two-minds", times_asked=2)


def test_a_share_of_numbers_is_the_same_at_every_endpoint() -> None:
    rule = FaultRule(Fault(Behaviour.FORBIDDEN), 0.5, of=Of.NUMBERS)
    choice = choice_of(SandboxConfig(rules=(rule,)))
    for number in numbers(50):
        assert len({behaviour(choice, Question(number, e)) for e in Endpoint}) == 1


def test_profiles_combine() -> None:
    choice = choice_of(SandboxConfig(profiles=("flaky", "patchy")))
    hits = {behaviour(choice, Question(number, CHECK)) for number in numbers(4000)}
    assert {Behaviour.SERVER_ERROR, Behaviour.FORBIDDEN} <= hits


def test_what_is_harmless_gives_way() -> None:
    choice = choice_of(SandboxConfig(profiles=("compressed", "patchy")))
    hits = {behaviour(choice, Question(number, CHECK)) for number in numbers(4000)}
    assert {Behaviour.COMPRESSED, Behaviour.FORBIDDEN} <= hits
    assert behaviour(choice, Question("+46701740643", CHECK)) is Behaviour.FORBIDDEN
    assert behaviour(choice, Question(SWAPPED_NOW, CHECK)) is Behaviour.COMPRESSED


@pytest.mark.parametrize(
    ("profile", "waits"),
    [
        ("sporadic-0.1", "1"),
        ("sporadic-0.3", "1"),
        ("sporadic-1", "1"),
        ("sporadic-3", "1"),
        ("sporadic-no-wait", None),
        ("sporadic-long-wait", "30"),
        ("sporadic-day", "86400"),
        ("bad-node", "1"),
    ],
)
def test_sporadic_refusals(start: Callable[..., Client], profile: str, waits: str | None) -> None:
    sandbox = start(profiles=(profile,), population=EVERYBODY)
    number = somebody(profile)
    first, second = sandbox.ask(CHECK, number), sandbox.ask(CHECK, number)
    assert (first.status, first.json()["code"]) == (429, "TOO_MANY_REQUESTS")
    assert first.headers["Retry-After"] == waits
    assert (second.status, second.headers["Retry-After"]) == (200, None)
    assert sandbox.sandbox.statistics()["rate_refusals"] == 0  # it is no true limit


def test_a_refusal_until_a_date_in_the_past(start: Callable[..., Client]) -> None:
    sandbox = start(profiles=("sporadic-past",))
    seen = sandbox.ask(CHECK, somebody("sporadic-past"))
    assert seen.status == 429
    said = [parsedate_to_datetime(seen.headers[name]) for name in ("Retry-After", "Date")]
    assert 55 < (said[1] - said[0]).total_seconds() < 65


def test_sporadic_refusals_beside_a_true_limit(start: Callable[..., Client]) -> None:
    sandbox = start(profiles=("sporadic-1",), rate_limit_per_second=1)
    seen = [sandbox.ask(CHECK, somebody("sporadic-1")).status for _ in range(2)]
    assert seen == [429, 429]
    assert sandbox.sandbox.statistics()["rate_refusals"] == 1


@pytest.mark.parametrize(
    ("profile", "status", "code", "waits"),
    [
        ("stubborn", 429, "TOO_MANY_REQUESTS", "1"),
        ("stubborn-401", 401, "UNAUTHENTICATED", None),
        ("stubborn-402", 402, "PAYMENT_REQUIRED", None),
        ("stubborn-404", 404, "NOT_FOUND", "60"),
        ("stubborn-408", 408, "REQUEST_TIMEOUT", None),
        ("stubborn-quota", 429, "QUOTA_EXCEEDED", None),
    ],
)
def test_stubborn_numbers(
    start: Callable[..., Client], profile: str, status: int, code: str, waits: str | None
) -> None:
    sandbox = start(profiles=(profile,))
    number = somebody(profile)
    for endpoint in Endpoint:
        for _ in range(2):
            seen = sandbox.ask(endpoint, number)
            assert (seen.status, seen.json()["code"]) == (status, code)
            assert seen.headers["Retry-After"] == waits


@pytest.mark.parametrize(
    ("profile", "status", "waits"),
    [("endpoint-403", 403, None), ("endpoint-500", 500, None), ("endpoint-503", 503, "20")],
)
def test_one_endpoint_of_five_is_sick(
    start: Callable[..., Client], profile: str, status: int, waits: str | None
) -> None:
    sandbox = start(profiles=(profile,), population=EVERYBODY)
    for endpoint in Endpoint:
        seen = [sandbox.ask(endpoint, number) for number in (*numbers(3), SWAPPED_NOW)]
        wanted = (status, waits) if endpoint is SICK else (200, None)
        assert {(each.status, each.headers["Retry-After"]) for each in seen} == {wanted}


def test_one_endpoint_of_five_hangs(start: Callable[..., Client]) -> None:
    sandbox = start(profiles=("endpoint-hang",), population=EVERYBODY)
    assert sandbox.ask(CHECK, "+491511234567").status == 200
    with pytest.raises(TimeoutError):
        sandbox.ask(SICK, "+491511234567", timeout=0.1)


def test_a_storm_begins_in_the_middle_and_ends(start: Callable[..., Client]) -> None:
    sandbox = start(profiles=("storm",))
    seen = [sandbox.ask(CHECK, SWAPPED_NOW) for _ in range(302)]
    assert [each.status for each in seen] == [200] * 300 + [503] * 2
    assert seen[-1].headers["Retry-After"] == "1"
    outages = Outages(SandboxConfig(profiles=("storm",)).all_outages())
    assert all(outages.meet(0.0) is None for _ in range(300))
    assert outages.meet(10.0)
    assert outages.meet(14.9)
    assert outages.meet(15.0) is None


def test_outages_of_a_profile_come_after_those_that_are_set() -> None:
    mine = ScriptedOutage(behaviour=None, lasting_seconds=1)
    config = SandboxConfig(outages=(mine,), profiles=("flaky", "storm"))
    assert config.all_outages() == (mine, *PROFILES["storm"].outages)


def test_odd_headers(start: Callable[..., Client]) -> None:
    sandbox = start(profiles=("odd-headers",), population=EVERYBODY)
    seen = sandbox.ask(CHECK, somebody("odd-headers"))
    assert (seen.status, list(seen.json())) == (200, ["swapped"])
    assert seen.headers["X-RateLimit-Remaining"] == "0"
    assert seen.headers["X-RateLimit-Reset"] == "40"
    assert sandbox.sandbox.statistics()["clean_answers"] == 1
    assert sandbox.ask(CHECK, SWAPPED_NOW).headers["X-RateLimit-Remaining"] is None


def test_nodes_that_do_not_agree_on_the_correlator(start: Callable[..., Client]) -> None:
    sandbox = start(profiles=("two-minds",), population=EVERYBODY)
    correlators = []
    for number in numbers(40):
        seen = sandbox.ask(CHECK, number, headers={"x-correlator": "mine"})
        assert (seen.status, len(seen.headers.get_all("x-correlator") or ())) == (200, 1)
        correlators.append(seen.headers["x-correlator"])
    others = [UUID(correlator) for correlator in correlators if correlator != "mine"]
    assert 10 < len(others) < 30
    assert len(set(others)) == len(others)
    assert sandbox.sandbox.statistics()["clean_answers"] == 40


def test_answers_come_compressed(start: Callable[..., Client]) -> None:
    sandbox, plain = start(profiles=("compressed",)), start()
    for number in (*numbers(3), SWAPPED_NOW):
        seen = sandbox.ask(CHECK, number, headers={"Accept-Encoding": "identity"})
        assert seen.headers["Content-Encoding"] == "gzip"
        assert int(seen.headers["Content-Length"]) == len(seen.body)
        assert gzip.decompress(seen.body) == plain.ask(CHECK, number).body
    assert sandbox.sandbox.statistics()["clean_answers"] == 4


def test_an_answer_that_is_not_http_at_all_once(start: Callable[..., Client]) -> None:
    sandbox = start(profiles=("garbled",), population=EVERYBODY)
    number = somebody("garbled")
    with pytest.raises(http.client.BadStatusLine):
        sandbox.ask(CHECK, number)
    assert sandbox.ask(CHECK, number).status == 200
    assert sandbox.sandbox.statistics()["by_status"] == {"none": 1, "200": 1}


def test_a_reset_once(start: Callable[..., Client]) -> None:
    sandbox = start(profiles=("resets-1",), population=EVERYBODY)
    number = somebody("resets-1")
    with pytest.raises(ConnectionResetError):
        sandbox.ask(CHECK, number)
    assert sandbox.ask(CHECK, number).status == 200


@pytest.mark.parametrize("profile", ["stuck-2", "stuck-4"])
def test_an_answer_that_is_stuck_once(start: Callable[..., Client], profile: str) -> None:
    sandbox = start(profiles=(profile,), population=EVERYBODY)
    number = somebody(profile)
    with pytest.raises(TimeoutError):
        sandbox.ask(CHECK, number, timeout=0.1)
    assert sandbox.ask(CHECK, number).status == 200


def test_a_date_of_change_in_the_future(start: Callable[..., Client]) -> None:
    sandbox = start(profiles=("future-dates",), population=EVERYBODY)
    seen = sandbox.ask(DATE, somebody("future-dates", DATE)).json()
    assert datetime.fromisoformat(seen["latestSimChange"]) > datetime(2100, 1, 1, tzinfo=UTC)


def test_a_fault_takes_its_own_time() -> None:
    honest = honest_reply({"swapped": True}, Dialect.PAGE)
    question = Question("+491511234567", CHECK)
    faults = [
        PROFILES["late-4"].rules[0].fault,
        Fault(Behaviour.SLOW),
        Fault(Behaviour.HANG),
        Fault(Behaviour.SERVER_ERROR, delay_seconds=0.5),
    ]
    replies = [disturbed(f, honest, question, SandboxConfig(), NOW) for f in faults]
    delays = [reply.delay_seconds for reply in replies]
    assert delays == [14.0, 2.0, 60.0, 0.5]


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_a_time_that_cannot_be_meant(seconds: float) -> None:
    rule = FaultRule(Fault(Behaviour.SLOW, delay_seconds=seconds), 0.5)
    with pytest.raises(ConfigurationError, match="must not be negative or endless"):
        SandboxConfig(rules=(rule,))
