"""Fault injection: how each behaviour changes an honest answer.

Pure: the server sends what ``disturbed`` returns. Beside a status and a body a reply says
how it is delivered, for some faults lie below HTTP. ``profiles`` chooses who meets a fault.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from email.utils import format_datetime
from enum import Enum, auto
from uuid import NAMESPACE_URL, uuid5

import msgspec
from msgspec.structs import replace

from batch_screen.config.sections import Dialect
from batch_screen.model import Endpoint
from batch_screen.sandbox import contract, hostile
from batch_screen.sandbox.answers import field_name
from batch_screen.sandbox.config import SandboxConfig
from batch_screen.sandbox.contract import Problem, Question
from batch_screen.sandbox.magic import Behaviour, Fault

CORRELATOR = "x-correlator"
REDIRECT_TARGET = "/_sandbox/elsewhere"

_HUGE_BYTES = 1024 * 1024
_HTML = b"<!DOCTYPE html><html><body><h1>%s</h1></body></html>\n"


class Delivery(Enum):
    """How a reply is delivered on the connection."""

    WHOLE = auto()
    CUT = auto()  # half of the body that was promised, then the end
    RESET = auto()  # nothing but a TCP reset
    RAW = auto()  # the pieces instead of an answer, then the end
    FOLLOWED = auto()  # the answer, and the pieces after it


class SandboxReply(msgspec.Struct, frozen=True, kw_only=True):
    """A response and how to deliver it; ``is_clean`` marks a whole, honest 200."""

    status: int  # 0: what is sent has none
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    delivery: Delivery = Delivery.WHOLE
    delay_seconds: float = 0.0
    is_clean: bool = False
    pieces: Callable[[], Iterable[bytes]] = tuple
    """Raw bytes, for replies that are not valid HTTP."""
    pause_seconds: float = 0.0
    """Between two pieces; before the first one too if they follow an answer."""


def honest_reply(answer: dict[str, object] | Problem, dialect: Dialect) -> SandboxReply:
    """The reply to a valid, admitted question if nothing goes wrong."""
    if isinstance(answer, Problem):
        return problem_reply(answer, dialect)
    return SandboxReply(status=200, body=msgspec.json.encode(answer), is_clean=True)


def problem_reply(problem: Problem, dialect: Dialect, *headers: tuple[str, str]) -> SandboxReply:
    """The reply that carries an error."""
    return SandboxReply(
        status=problem.status, body=contract.problem_body(problem, dialect), headers=headers
    )


def disturbed(
    fault: Fault, honest: SandboxReply, question: Question, config: SandboxConfig, now: datetime
) -> SandboxReply:
    """Applies the fault to the honest reply; the four facts about numbers change nothing.

    ``now`` is the time of day, for dates in headers.
    """
    behaviour = fault.behaviour
    if behaviour in _FORCED_PROBLEMS:
        reply = problem_reply(_FORCED_PROBLEMS[behaviour], config.dialect)
    elif behaviour in hostile.RAW:
        reply = SandboxReply(
            status=0 if behaviour is Behaviour.GARBLED else 200,
            body=b"",
            delivery=Delivery.RAW,
            pieces=hostile.RAW[behaviour],
            pause_seconds=hostile.DRIP_SECONDS if behaviour in hostile.DRIPS else 0.0,
        )
    elif behaviour in _CHANGES:
        reply = _CHANGES[behaviour](honest, question, config)
    else:
        reply = honest
    delay = fault.delay_seconds
    if delay is msgspec.UNSET:
        waits = {Behaviour.SLOW: config.slow_seconds, Behaviour.HANG: config.hang_seconds}
        delay = waits.get(behaviour, 0.0)
    return replace(
        reply,
        headers=reply.headers + _retry_after(fault, config, now),
        delay_seconds=reply.delay_seconds + delay,
    )


def _retry_after(fault: Fault, config: SandboxConfig, now: datetime) -> tuple[tuple[str, str], ...]:
    seconds = fault.retry_after_seconds
    if seconds is msgspec.UNSET:
        asks = fault.behaviour in _ASKING_TO_WAIT
        seconds = config.retry_after_seconds if asks else None
    if seconds is None:
        return ()
    if fault.behaviour is not Behaviour.RATE_LIMITED_DATE and seconds >= 0:
        return (("Retry-After", str(seconds)),)
    # Seconds cannot be negative in this header: a time that is past needs a date.
    until = now + timedelta(seconds=seconds)
    return (("Retry-After", format_datetime(until, usegmt=True)),)


def _ok(body: bytes) -> SandboxReply:
    """A 200 that is not true."""
    return SandboxReply(status=200, body=body)


def _with_headers(honest: SandboxReply, *headers: tuple[str, str]) -> SandboxReply:
    return replace(honest, headers=honest.headers + headers)


def _with_allowance(honest: SandboxReply, requests: int, seconds: int) -> SandboxReply:
    remaining, reset = ("X-RateLimit-Remaining", str(requests)), ("X-RateLimit-Reset", str(seconds))
    return _with_headers(honest, remaining, reset)


def _field(question: Question, config: SandboxConfig) -> str:
    return field_name(question.endpoint, config.dialect)


def _html(status: int, title: bytes) -> SandboxReply:
    return SandboxReply(status=status, body=_HTML % title, content_type="text/html")


def _duplicate_keys(field: str, endpoint: Endpoint) -> bytes:
    one, other = ("null", '"2024-09-18T07:37:53Z"') if endpoint.answers_date else ("false", "true")
    return f'{{"{field}":{one},"{field}":{other}}}'.encode()


def _huge(body: bytes) -> bytes:
    # Still valid JSON: only a client that bounds what it reads will notice.
    return body[:-1] + b" " * (_HUGE_BYTES - len(body)) + body[-1:]


def _followed(honest: SandboxReply, seconds: float) -> SandboxReply:
    return replace(
        honest,
        delivery=Delivery.FOLLOWED,
        pieces=lambda: [hostile.OTHERS_ANSWER],
        pause_seconds=seconds,
    )


def _with_date(honest: SandboxReply, change: Callable[[str], str]) -> SandboxReply:
    """The reply with its date changed; other bodies stay as they are."""
    answer = msgspec.json.decode(honest.body)
    changed = {
        name: change(value) if name.startswith("latest") and value is not None else value
        for name, value in answer.items()
    }
    return replace(honest, body=msgspec.json.encode(changed))


def _a_century_later(date: str) -> str:
    """The same instant, 36,525 days later.

    >>> _a_century_later("2024-09-18T07:37:53.4718Z")
    '2124-09-19T07:37:53.4718Z'
    """
    later = datetime.fromisoformat(date[:19]) + timedelta(days=36_525)
    return f"{later:%Y-%m-%dT%H:%M:%S}{date[19:]}"


def _with_half_hour_offset(date: str) -> str:
    """The same instant with the offset of India, half an hour off the hour.

    >>> _with_half_hour_offset("2024-09-18T07:37:53.4718Z")
    '2024-09-18T13:07:53.4718+05:30'
    """
    local = datetime.fromisoformat(date[:19]) + timedelta(hours=5, minutes=30)
    return f"{local:%Y-%m-%dT%H:%M:%S}{date[19:-1]}+05:30"


_FORCED_PROBLEMS = {
    Behaviour.INVALID: contract.INVALID_ARGUMENT,
    Behaviour.UNAUTHENTICATED: contract.UNAUTHENTICATED,
    Behaviour.PAYMENT_REQUIRED: contract.PAYMENT_REQUIRED,
    Behaviour.FORBIDDEN: contract.PERMISSION_DENIED,
    Behaviour.NOT_FOUND: contract.NOT_FOUND,
    Behaviour.REQUEST_TIMEOUT: contract.REQUEST_TIMEOUT,
    Behaviour.NOT_APPLICABLE: contract.NOT_APPLICABLE,
    Behaviour.QUOTA: contract.QUOTA_EXCEEDED,
    Behaviour.SERVER_ERROR: contract.INTERNAL_SERVER_ERROR,
    Behaviour.NOT_IMPLEMENTED: contract.NOT_IMPLEMENTED,
    Behaviour.RATE_LIMITED: contract.TOO_MANY_REQUESTS,
    Behaviour.RATE_LIMITED_DATE: contract.TOO_MANY_REQUESTS,
    Behaviour.UNAVAILABLE: contract.UNAVAILABLE,
    Behaviour.DOWN: contract.UNAVAILABLE,
}

_ASKING_TO_WAIT = frozenset(
    {Behaviour.RATE_LIMITED, Behaviour.RATE_LIMITED_DATE, Behaviour.UNAVAILABLE}
)

_CHANGES: dict[Behaviour, Callable[[SandboxReply, Question, SandboxConfig], SandboxReply]] = {
    Behaviour.RESET: lambda honest, *_: replace(honest, delivery=Delivery.RESET, is_clean=False),
    Behaviour.TRUNCATED: lambda honest, *_: replace(honest, delivery=Delivery.CUT, is_clean=False),
    Behaviour.WRONG_TYPE: lambda _, question, config: _ok(
        msgspec.json.encode(
            {_field(question, config): 1726645073 if question.endpoint.answers_date else "false"}
        )
    ),
    Behaviour.MISSING_FIELD: lambda *_: _ok(b"{}"),
    Behaviour.NOT_A_NUMBER: lambda _, question, config: _ok(
        f'{{"{_field(question, config)}":NaN}}'.encode()
    ),
    Behaviour.DUPLICATE_KEYS: lambda _, question, config: _ok(
        _duplicate_keys(_field(question, config), question.endpoint)
    ),
    Behaviour.HALF_JSON: lambda honest, *_: replace(
        honest, body=honest.body[: len(honest.body) // 2], is_clean=False
    ),
    Behaviour.EMPTY_BODY: lambda *_: _ok(b""),
    Behaviour.HUGE: lambda honest, *_: replace(honest, body=_huge(honest.body), is_clean=False),
    Behaviour.HTML_200: lambda *_: _html(200, b"Please log in"),
    Behaviour.HTML_502: lambda *_: _html(502, b"502 Bad Gateway"),
    Behaviour.EMPTY_DATE: lambda honest, *_: _with_date(honest, lambda _: ""),
    Behaviour.OFFSET_DATE: lambda honest, *_: _with_date(honest, _with_half_hour_offset),
    Behaviour.FUTURE_DATE: lambda honest, *_: _with_date(honest, _a_century_later),
    Behaviour.NOTHING_LEFT: lambda honest, *_: _with_allowance(honest, 0, 40),
    Behaviour.ONE_LEFT: lambda honest, *_: _with_allowance(honest, 1, 100),
    Behaviour.COMPRESSED: lambda honest, *_: replace(
        _with_headers(honest, ("Content-Encoding", "gzip")),
        # Without the time of its making: the same bytes every time.
        body=gzip.compress(honest.body, mtime=0),
    ),
    Behaviour.OWN_CORRELATOR: lambda honest, question, _: _with_headers(
        honest,
        (CORRELATOR, str(uuid5(NAMESPACE_URL, f"{question.endpoint} {question.number}"))),
    ),
    Behaviour.REDIRECT: lambda *_: SandboxReply(
        status=307, body=b"", headers=(("Location", REDIRECT_TARGET),)
    ),
    Behaviour.PROBLEM_JSON: lambda *_: SandboxReply(
        status=contract.NOT_APPLICABLE.status,
        body=contract.rfc7807_body(contract.NOT_APPLICABLE),
        content_type="application/problem+json",
    ),
    Behaviour.EXTRA_ANSWER: lambda honest, *_: _followed(honest, 0.0),
    Behaviour.LATE_ANSWER: lambda honest, *_: _followed(honest, hostile.LATE_SECONDS),
    Behaviour.FOREIGN_NUMBER: lambda *_: _ok(hostile.FOREIGN_BODY),
    Behaviour.ODD_DOCUMENT: lambda _, question, __: _ok(hostile.odd_document(question.number)),
    Behaviour.POISON: lambda _, question, config: SandboxReply(
        status=422, body=hostile.poisoned_body(question.number, "".join(config.keys[:1]))
    ),
    Behaviour.GZIP_BOMB: lambda *_: _with_headers(
        _ok(hostile.gzip_bomb()), ("Content-Encoding", "gzip")
    ),
}
