from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import product
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import phonenumbers
import pytest

from batch_screen.config.sections import Dialect
from batch_screen.model import Endpoint
from batch_screen.sandbox.answers import truth
from batch_screen.sandbox.config import SandboxConfig
from batch_screen.sandbox.contract import Question
from batch_screen.sandbox.faults import (
    REDIRECT_TARGET,
    Delivery,
    SandboxReply,
    disturbed,
    honest_reply,
)
from batch_screen.sandbox.hostile import OTHERS_ANSWER, RAW
from batch_screen.sandbox.magic import HARMLESS, HOSTILE, MAGIC_NUMBERS, Behaviour, Fault, is_magic
from batch_screen.sandbox.profiles import FaultRule

from .conftest import Client, choice_of

CHECK = Endpoint.SIM_SWAP_CHECK
DATE = Endpoint.SIM_SWAP_DATE
FORWARDING = Endpoint.CALL_FORWARDING_CHECK
WALL_CLOCK = datetime(2026, 3, 1, 12, tzinfo=UTC)
GIVEN = (SandboxConfig(retry_after_seconds=7), WALL_CLOCK)


def number_of(behaviour: Behaviour, *, once: bool = False) -> str:
    wanted = Fault(behaviour, once)
    return next(number for number, fault in MAGIC_NUMBERS.items() if fault == wanted)


def test_magic_numbers_are_valid_mobile_numbers_nobody_owns() -> None:
    for number in MAGIC_NUMBERS:
        parsed = phonenumbers.parse(number)
        assert phonenumbers.is_valid_number(parsed)
        assert phonenumbers.number_type(parsed) == phonenumbers.PhoneNumberType.MOBILE
        assert is_magic(number)


def test_every_behaviour_has_a_number_but_the_hostile_ones() -> None:
    # By name: a behaviour whose number was forgotten would count as hostile.
    names = """body_bomb length_bomb gzip_bomb header_bomb interim_flood drip error_drip noise
    extra_answer late_answer foreign_number odd_document poison"""
    assert sorted(HOSTILE) == sorted(names.split())


@pytest.mark.parametrize(
    ("behaviour", "check", "date", "forwarding"),
    [
        (Behaviour.SWAPPED_NOW, True, "2026-03-01T11:55:00.000000000Z", False),
        (Behaviour.SWAPPED_LATELY, False, "2026-02-28T19:20:00.000000000Z", False),
        (Behaviour.NEVER_SWAPPED, False, None, False),
        (Behaviour.FORWARDING, False, "2026-01-30T12:00:00.000000000Z", True),
        (Behaviour.SLOW, False, "2026-01-30T12:00:00.000000000Z", False),
        (Behaviour.EMPTY_DATE, False, "", False),
        (Behaviour.OFFSET_DATE, False, "2026-01-30T17:30:00.000000000+05:30", False),
        (Behaviour.FUTURE_DATE, False, "2126-01-31T12:00:00.000000000Z", False),
        (Behaviour.NOTHING_LEFT, False, "2026-01-30T12:00:00.000000000Z", False),
        (Behaviour.ONE_LEFT, False, "2026-01-30T12:00:00.000000000Z", False),
        (Behaviour.OWN_CORRELATOR, False, "2026-01-30T12:00:00.000000000Z", False),
    ],
)
def test_numbers_that_are_answered(
    plain: Client, behaviour: Behaviour, check: bool, date: str | None, forwarding: bool
) -> None:
    number = number_of(behaviour)
    assert plain.ask(CHECK, number).json() == {"swapped": check}
    assert plain.ask(DATE, number).json() == {"latestSimChange": date}
    assert plain.ask(FORWARDING, number).json() == {"active": forwarding}


def test_an_unlisted_number_of_the_range_is_answered_like_everybody(plain: Client) -> None:
    assert plain.ask(CHECK, "+46701740699", 2400).json() == {"swapped": False}


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        (Behaviour.INVALID, 400, "INVALID_ARGUMENT"),
        (Behaviour.UNAUTHENTICATED, 401, "UNAUTHENTICATED"),
        (Behaviour.PAYMENT_REQUIRED, 402, "PAYMENT_REQUIRED"),
        (Behaviour.FORBIDDEN, 403, "PERMISSION_DENIED"),
        (Behaviour.NOT_FOUND, 404, "NOT_FOUND"),
        (Behaviour.NOT_APPLICABLE, 422, "SERVICE_NOT_APPLICABLE"),
        (Behaviour.QUOTA, 429, "QUOTA_EXCEEDED"),
        (Behaviour.RATE_LIMITED, 429, "TOO_MANY_REQUESTS"),
        (Behaviour.SERVER_ERROR, 500, "INTERNAL_SERVER_ERROR"),
        (Behaviour.NOT_IMPLEMENTED, 501, "NOT_IMPLEMENTED"),
        (Behaviour.REQUEST_TIMEOUT, 408, "REQUEST_TIMEOUT"),
    ],
)
def test_numbers_that_are_refused_for_good(
    plain: Client, behaviour: Behaviour, status: int, code: str
) -> None:
    for _ in range(2):
        seen = plain.ask(DATE, number_of(behaviour))
        assert seen.status == status
        assert seen.json() == {"status": status, "code": code, "message": seen.json()["message"]}


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        (Behaviour.SERVER_ERROR, 500),
        (Behaviour.HTML_502, 502),
        (Behaviour.UNAVAILABLE, 503),
        (Behaviour.DOWN, 503),
        (Behaviour.REQUEST_TIMEOUT, 408),
        (Behaviour.RATE_LIMITED, 429),
        (Behaviour.RATE_LIMITED_DATE, 429),
        (Behaviour.NOT_IMPLEMENTED, 501),
    ],
)
def test_numbers_that_fail_once_at_each_endpoint(
    start: Callable[..., Client], behaviour: Behaviour, status: int
) -> None:
    sandbox = start()
    number = number_of(behaviour, once=True)
    for endpoint in (CHECK, DATE):
        assert [sandbox.ask(endpoint, number).status for _ in range(3)] == [status, 200, 200]


@pytest.mark.parametrize(
    ("behaviour", "body"),
    [
        (Behaviour.WRONG_TYPE, b'{"swapped":"false"}'),
        (Behaviour.MISSING_FIELD, b"{}"),
        (Behaviour.NOT_A_NUMBER, b'{"swapped":NaN}'),
        (Behaviour.DUPLICATE_KEYS, b'{"swapped":false,"swapped":true}'),
        (Behaviour.HALF_JSON, b'{"swappe'),
        (Behaviour.EMPTY_BODY, b""),
    ],
)
def test_numbers_whose_200_cannot_be_read(plain: Client, behaviour: Behaviour, body: bytes) -> None:
    seen = plain.ask(CHECK, number_of(behaviour))
    assert (seen.status, seen.body) == (200, body)


@pytest.mark.parametrize(
    ("ending", "status", "headers"),
    [
        ("34", 404, {"Retry-After": "60"}),
        ("36", 200, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "40"}),
        ("37", 200, {"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "100"}),
        ("39", 429, {"Retry-After": "86400"}),
    ],
)
def test_numbers_that_say_more_in_their_headers(
    start: Callable[..., Client], ending: str, status: int, headers: dict[str, str]
) -> None:
    seen = start().ask(CHECK, f"+467017406{ending}")
    assert seen.status == status
    assert {name: seen.headers[name] for name in headers} == headers


def test_a_number_that_is_answered_compressed(plain: Client) -> None:
    seen = plain.ask(
        CHECK, number_of(Behaviour.COMPRESSED), headers={"Accept-Encoding": "identity"}
    )
    assert (seen.status, seen.headers["Content-Encoding"]) == (200, "gzip")
    assert gzip.decompress(seen.body) == b'{"swapped":false}'


@pytest.mark.parametrize("sent", [{}, {"x-correlator": "mine"}])
def test_a_number_that_is_answered_under_another_correlator(
    plain: Client, sent: dict[str, str]
) -> None:
    number = number_of(Behaviour.OWN_CORRELATOR)
    correlators = {plain.ask(CHECK, number, headers=sent).headers["x-correlator"] for _ in range(2)}
    assert len(correlators) == 1
    UUID(correlators.pop())


def test_a_number_that_is_not_answered_in_http_once(start: Callable[..., Client]) -> None:
    sandbox = start()
    number = number_of(Behaviour.GARBLED, once=True)
    with pytest.raises(http.client.BadStatusLine):
        sandbox.ask(CHECK, number)
    assert sandbox.ask(CHECK, number).status == 200


def test_an_error_in_the_words_of_rfc_7807(plain: Client) -> None:
    seen = plain.ask(CHECK, number_of(Behaviour.PROBLEM_JSON))
    assert (seen.status, seen.headers["Content-Type"]) == (422, "application/problem+json")
    assert seen.json() == {
        "type": "about:blank",
        "title": "Service not applicable",
        "status": 422,
        "detail": "The service is not available for the provided phone number.",
    }


def test_only_unavailable_says_when_to_come_back() -> None:
    question = Question("+491511234567", CHECK)
    down = disturbed(Fault(Behaviour.DOWN), HONEST, question, *GIVEN)
    unavailable = disturbed(Fault(Behaviour.UNAVAILABLE), HONEST, question, *GIVEN)
    assert (down.status, down.headers) == (503, ())
    assert (unavailable.status, unavailable.headers) == (503, (("Retry-After", "7"),))


def test_malformed_dates(plain: Client) -> None:
    wrong = plain.ask(DATE, number_of(Behaviour.WRONG_TYPE))
    assert wrong.json() == {"latestSimChange": 1726645073}
    twice = plain.ask(DATE, number_of(Behaviour.DUPLICATE_KEYS))
    pairs = json.loads(twice.body, object_pairs_hook=list)
    assert [name for name, _ in pairs] == ["latestSimChange", "latestSimChange"]


def test_html_instead_of_json(plain: Client) -> None:
    seen = plain.ask(CHECK, number_of(Behaviour.HTML_200))
    assert (seen.status, seen.headers["Content-Type"][:9]) == (200, "text/html")
    assert b"<html>" in seen.body


def test_a_huge_body_is_valid_json_of_a_megabyte(plain: Client) -> None:
    seen = plain.ask(CHECK, number_of(Behaviour.HUGE))
    assert len(seen.body) == 1024 * 1024
    assert seen.json() == {"swapped": False}


def test_a_short_body_ends_before_its_promise(plain: Client) -> None:
    with pytest.raises(http.client.IncompleteRead) as caught:
        plain.ask(CHECK, number_of(Behaviour.TRUNCATED))
    assert caught.value.partial == b'{"swappe'


def test_a_reset_brings_no_answer(plain: Client) -> None:
    with pytest.raises(ConnectionResetError):
        plain.ask(CHECK, number_of(Behaviour.RESET))


def test_a_hang_outlasts_the_client_and_ends_with_it(start: Callable[..., Client]) -> None:
    sandbox = start()
    with pytest.raises(TimeoutError):
        sandbox.ask(CHECK, number_of(Behaviour.HANG), timeout=0.05)
    # The next request is handled after the loop has seen the client go.
    sandbox.ask(CHECK, "+46701740699")
    assert sandbox.sandbox.statistics()["open_requests"] == 0
    assert sandbox.sandbox.statistics()["by_status"] == {"none": 1, "200": 1}


def test_a_redirect_counts_who_follows(start: Callable[..., Client]) -> None:
    sandbox = start()
    seen = sandbox.ask(CHECK, number_of(Behaviour.REDIRECT))
    assert (seen.status, seen.headers["Location"]) == (307, REDIRECT_TARGET)
    assert sandbox.sandbox.statistics()["redirects_followed"] == 0
    assert sandbox.send(REDIRECT_TARGET).status == 404
    assert sandbox.sandbox.statistics()["redirects_followed"] == 1


def test_retry_after_in_seconds_and_as_a_date() -> None:
    question = Question("+491511234567", CHECK)
    in_seconds = disturbed(Fault(Behaviour.RATE_LIMITED), HONEST, question, *GIVEN)
    assert in_seconds.headers == (("Retry-After", "7"),)
    as_a_date = disturbed(Fault(Behaviour.RATE_LIMITED_DATE), HONEST, question, *GIVEN)
    ((name, date),) = as_a_date.headers
    assert name == "Retry-After"
    assert (parsedate_to_datetime(date) - WALL_CLOCK).total_seconds() == 7


@pytest.mark.parametrize("behaviour", sorted(HOSTILE))
def test_hostile_answers_are_bytes_without_a_true_word(
    start: Callable[..., Client], behaviour: Behaviour
) -> None:
    sandbox = start(rules=(FaultRule(Fault(behaviour), 1.0),))
    honest = behaviour in {Behaviour.EXTRA_ANSWER, Behaviour.LATE_ANSWER}
    said = raw_answer(sandbox, "+491511234567")
    assert (truth_of(sandbox, "+491511234567") in said) is honest
    assert said


@pytest.mark.parametrize(
    ("seconds", "header"),
    [
        (30, (("Retry-After", "30"),)),
        (0, (("Retry-After", "0"),)),
        (None, ()),
        (-60, (("Retry-After", "Sun, 01 Mar 2026 11:59:00 GMT"),)),
    ],
)
@pytest.mark.parametrize("behaviour", [Behaviour.RATE_LIMITED, Behaviour.NOT_FOUND])
def test_a_fault_has_a_retry_after_of_its_own(
    behaviour: Behaviour, seconds: int | None, header: tuple[tuple[str, str], ...]
) -> None:
    fault = Fault(behaviour, retry_after_seconds=seconds)
    reply = disturbed(fault, HONEST, Question("+491511234567", CHECK), *GIVEN)
    assert reply.headers == header


def truth_of(sandbox: Client, number: str) -> bytes:
    return json.dumps(truth(number, DATE, None, sandbox.sandbox.world)).replace(" ", "").encode()


def raw_answer(sandbox: Client, number: str) -> bytes:
    """What arrives until there is silence for a short while, or the first megabyte.

    The first bytes are waited for: how long they take is up to whatever else is running.
    """
    body = json.dumps({"phoneNumber": number}).encode()
    head = (
        f"POST /network-signal/v1/{DATE} HTTP/1.1\r\nHost: x\r\napiKey: sandbox-key\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    parts = urlsplit(sandbox.sandbox.origin)
    said = b""
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as peer:
        peer.sendall(head.encode() + body)
        with suppress(TimeoutError):
            while len(said) < 2**20 and (more := peer.recv(65_536)):
                said += more
                peer.settimeout(0.3)
    return said


def test_an_extra_answer_follows_the_honest_one(start: Callable[..., Client]) -> None:
    for behaviour in (Behaviour.EXTRA_ANSWER, Behaviour.LATE_ANSWER):
        sandbox = start(rules=(FaultRule(Fault(behaviour), 1.0),))
        said = raw_answer(sandbox, "+491511234567")
        assert said.endswith(OTHERS_ANSWER)
        assert said.count(b"HTTP/1.1 200") == 2
        assert sandbox.sandbox.statistics()["clean_answers"] == 1


HONEST = honest_reply({"swapped": True}, Dialect.PAGE)


@pytest.mark.parametrize("behaviour", Behaviour)
def test_only_honest_answers_are_clean(behaviour: Behaviour) -> None:
    for endpoint, dialect in product(Endpoint, Dialect):
        assert_only_honest_is_clean(behaviour, endpoint, dialect)


def assert_only_honest_is_clean(behaviour: Behaviour, endpoint: Endpoint, dialect: Dialect) -> None:
    config = SandboxConfig(now=WALL_CLOCK, dialect=dialect)
    question = Question("+46701740699", endpoint)
    honest = honest_reply(truth(question.number, endpoint, None, config.world()), dialect)
    reply = disturbed(Fault(behaviour), honest, question, config, WALL_CLOCK)
    readable = HARMLESS | {
        Behaviour.SLOW,
        Behaviour.HANG,
        Behaviour.EMPTY_DATE,
        Behaviour.OFFSET_DATE,
        Behaviour.FUTURE_DATE,
        Behaviour.EXTRA_ANSWER,
        Behaviour.LATE_ANSWER,
    }
    assert reply.is_clean is (behaviour in readable)
    assert (reply.delay_seconds > 0) is (behaviour in {Behaviour.SLOW, Behaviour.HANG})
    broken = {Behaviour.RESET, Behaviour.TRUNCATED, *RAW}
    broken |= {Behaviour.EXTRA_ANSWER, Behaviour.LATE_ANSWER}
    assert (reply.delivery is Delivery.WHOLE) is (behaviour not in broken)


@pytest.mark.parametrize(
    "behaviour", [Behaviour.EMPTY_DATE, Behaviour.OFFSET_DATE, Behaviour.FUTURE_DATE]
)
@pytest.mark.parametrize("answer", [{"latestSimChange": None}, {"swapped": False}])
def test_odd_dates_leave_alone_what_is_no_date(
    behaviour: Behaviour, answer: dict[str, Any]
) -> None:
    honest = honest_reply(answer, Dialect.PAGE)
    question = Question("+491511234567", DATE)
    assert disturbed(Fault(behaviour), honest, question, *GIVEN) == honest


def test_magic_numbers_beat_shares_and_yield_to_a_rule_for_everything() -> None:
    number = Question(number_of(Behaviour.NOT_FOUND), CHECK)
    nearly = FaultRule(Fault(Behaviour.FORBIDDEN), 0.999999)
    wholly = FaultRule(Fault(Behaviour.FORBIDDEN), 1.0)
    assert choice_of(SandboxConfig(rules=(nearly,))).fault(number, 1) == Fault(Behaviour.NOT_FOUND)
    assert choice_of(SandboxConfig(rules=(wholly,))).fault(number, 1) == wholly.fault


def test_a_rule_for_one_endpoint_leaves_the_others_alone() -> None:
    rule = FaultRule(Fault(Behaviour.FORBIDDEN), 1.0, DATE)
    choice = choice_of(SandboxConfig(rules=(rule,)))
    assert choice.fault(Question("+491511234567", DATE), 1) == rule.fault
    assert choice.fault(Question("+491511234567", CHECK), 1) is None


def test_a_reply_is_whole_and_at_once_unless_told_otherwise() -> None:
    reply = SandboxReply(status=200, body=b"{}")
    assert (reply.delivery, reply.delay_seconds, reply.is_clean) == (Delivery.WHOLE, 0.0, False)
