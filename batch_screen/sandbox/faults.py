"""Fault injection: how each behaviour changes an honest answer.

Pure: the server sends what ``disturbed`` returns. Beside a status and a body a reply says
how it is delivered, for some faults lie below HTTP. Who meets a fault is said in ``profiles``.
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
    """Bytes as they are, for what HTTP does not provide for."""
    pause_seconds: float = 0.0
    """Between two pieces; before the first one too if they follow an answer."""


class Circumstances(msgspec.Struct, frozen=True):
    """What faults depend on besides the question."""

    dialect: Dialect
    slow_seconds: float
    hang_seconds: float
    retry_after_seconds: int
    wall_clock: Callable[[], datetime]
    key: str = ""
    """A good key, for servers that repeat it."""


def honest_reply(answer: dict[str, object] | Problem, dialect: Dialect) -> SandboxReply:
    """The reply to an admitted, well-formed question when nothing goes wrong."""
    if isinstance(answer, Problem):
        return problem_reply(answer, dialect)
    return SandboxReply(status=200, body=msgspec.json.encode(answer), is_clean=True)


def problem_reply(problem: Problem, dialect: Dialect, *headers: tuple[str, str]) -> SandboxReply:
    """The reply that carries an error."""
    return SandboxReply(
        status=problem.status, body=contract.problem_body(problem, dialect), headers=headers
    )


def disturbed(
    fault: Fault, honest: SandboxReply, question: Question, circumstances: Circumstances
) -> SandboxReply:
    """Applies the fault to the honest reply; the four that are facts change nothing."""
    reply = _changed(fault.behaviour, honest, question, circumstances)
    return replace(
        reply,
        headers=reply.headers + _retry_after(fault, circumstances),
        delay_seconds=reply.delay_seconds + _delay_seconds(fault, circumstances),
    )


def _delay_seconds(fault: Fault, circumstances: Circumstances) -> float:
    if fault.delay_seconds is not msgspec.UNSET:
        return fault.delay_seconds
    match fault.behaviour:
        case Behaviour.SLOW:
            return circumstances.slow_seconds
        case Behaviour.HANG:
            return circumstances.hang_seconds
    return 0.0


def _retry_after(fault: Fault, circumstances: Circumstances) -> tuple[tuple[str, str], ...]:
    seconds = fault.retry_after_seconds
    if seconds is msgspec.UNSET:
        asks = fault.behaviour in _ASKING_TO_WAIT
        seconds = circumstances.retry_after_seconds if asks else None
    if seconds is None:
        return ()
    if fault.behaviour is not Behaviour.RATE_LIMITED_DATE and seconds >= 0:
        return (("Retry-After", str(seconds)),)
    until = circumstances.wall_clock() + timedelta(seconds=seconds)
    return (("Retry-After", format_datetime(until, usegmt=True)),)


def _changed(
    behaviour: Behaviour, honest: SandboxReply, question: Question, circumstances: Circumstances
) -> SandboxReply:
    if behaviour in _FORCED_PROBLEMS:
        return problem_reply(_FORCED_PROBLEMS[behaviour], circumstances.dialect)
    if behaviour in _FORCED_BODIES:
        field = field_name(question.endpoint, circumstances.dialect)
        body = _FORCED_BODIES[behaviour](field, question.endpoint)
        return SandboxReply(status=200, body=body)
    if behaviour in hostile.RAW:
        is_drip = behaviour in (Behaviour.DRIP, Behaviour.ERROR_DRIP)
        pause = hostile.DRIP_SECONDS if is_drip else 0.0
        pieces = hostile.RAW[behaviour]
        status = 0 if behaviour is Behaviour.GARBLED else 200
        return SandboxReply(
            status=status, body=b"", delivery=Delivery.RAW, pieces=pieces, pause_seconds=pause
        )
    if behaviour in _OF_THE_QUESTION:
        return _OF_THE_QUESTION[behaviour](honest, question, circumstances)
    return _CHANGES[behaviour](honest) if behaviour in _CHANGES else honest


def _duplicate_keys(field: str, endpoint: Endpoint) -> bytes:
    one, other = ("null", '"2024-09-18T07:37:53Z"') if endpoint.answers_date else ("false", "true")
    return f'{{"{field}":{one},"{field}":{other}}}'.encode()


def _poisoned(_: SandboxReply, question: Question, circumstances: Circumstances) -> SandboxReply:
    fields = hostile.poisoned_fields(question.number, circumstances.key)
    return SandboxReply(status=422, body=msgspec.json.encode(fields))


def _under_an_own_correlator(
    honest: SandboxReply, question: Question, _: Circumstances
) -> SandboxReply:
    own = uuid5(NAMESPACE_URL, f"{question.endpoint} {question.number}")
    return _saying(honest, (CORRELATOR, str(own)))


def _saying(honest: SandboxReply, *headers: tuple[str, str]) -> SandboxReply:
    return replace(honest, headers=honest.headers + headers)


def _left(honest: SandboxReply, requests: int, seconds: int) -> SandboxReply:
    remaining, reset = ("X-RateLimit-Remaining", str(requests)), ("X-RateLimit-Reset", str(seconds))
    return _saying(honest, remaining, reset)


def _compressed(honest: SandboxReply) -> SandboxReply:
    # Without the time of its making: the same bytes every time.
    body = gzip.compress(honest.body, mtime=0)
    return replace(_saying(honest, ("Content-Encoding", "gzip")), body=body)


def _huge(honest: SandboxReply) -> SandboxReply:
    # Still valid JSON: only a client that bounds what it reads will notice.
    padding = b" " * (_HUGE_BYTES - len(honest.body))
    body = honest.body[:-1] + padding + honest.body[-1:]
    return replace(honest, body=body, is_clean=False)


def _followed(honest: SandboxReply, seconds: float) -> SandboxReply:
    return replace(
        honest,
        delivery=Delivery.FOLLOWED,
        pieces=lambda: [hostile.OTHERS_ANSWER],
        pause_seconds=seconds,
    )


def _html(status: int, title: bytes) -> SandboxReply:
    return SandboxReply(status=status, body=_HTML % title, content_type="text/html")


def _with_date(honest: SandboxReply, change: Callable[[str], str]) -> SandboxReply:
    """The reply with its date changed; a claim, a null and an error stay as they are."""
    answer = msgspec.json.decode(honest.body)
    changed = {
        name: change(value) if name.startswith("latest") and value is not None else value
        for name, value in answer.items()
    }
    return replace(honest, body=msgspec.json.encode(changed))


def _a_century_on(date: str) -> str:
    """The same instant, 36,525 days later.

    >>> _a_century_on("2024-09-18T07:37:53.4718Z")
    '2124-09-19T07:37:53.4718Z'
    """
    later = datetime.fromisoformat(date[:19]) + timedelta(days=36_525)
    return f"{later:%Y-%m-%dT%H:%M:%S}{date[19:]}"


def _in_india(date: str) -> str:
    """The same instant, half an hour off the hour.

    >>> _in_india("2024-09-18T07:37:53.4718Z")
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

_FORCED_BODIES: dict[Behaviour, Callable[[str, Endpoint], bytes]] = {
    Behaviour.WRONG_TYPE: lambda field, endpoint: msgspec.json.encode(
        {field: 1726645073 if endpoint.answers_date else "false"}
    ),
    Behaviour.MISSING_FIELD: lambda _field, _endpoint: b"{}",
    Behaviour.NOT_A_NUMBER: lambda field, _endpoint: f'{{"{field}":NaN}}'.encode(),
    Behaviour.DUPLICATE_KEYS: _duplicate_keys,
    Behaviour.EMPTY_BODY: lambda _field, _endpoint: b"",
}

_OF_THE_QUESTION: dict[
    Behaviour, Callable[[SandboxReply, Question, Circumstances], SandboxReply]
] = {
    Behaviour.POISON: _poisoned,
    Behaviour.ODD_DOCUMENT: lambda _honest, question, _: SandboxReply(
        status=200, body=hostile.odd_document(question.number)
    ),
    Behaviour.OWN_CORRELATOR: _under_an_own_correlator,
}

_CHANGES: dict[Behaviour, Callable[[SandboxReply], SandboxReply]] = {
    Behaviour.RESET: lambda honest: replace(honest, delivery=Delivery.RESET, is_clean=False),
    Behaviour.TRUNCATED: lambda honest: replace(honest, delivery=Delivery.CUT, is_clean=False),
    Behaviour.HALF_JSON: lambda honest: replace(
        honest, body=honest.body[: len(honest.body) // 2], is_clean=False
    ),
    Behaviour.HUGE: _huge,
    Behaviour.HTML_200: lambda _: _html(200, b"Please log in"),
    Behaviour.HTML_502: lambda _: _html(502, b"502 Bad Gateway"),
    Behaviour.EMPTY_DATE: lambda honest: _with_date(honest, lambda _: ""),
    Behaviour.OFFSET_DATE: lambda honest: _with_date(honest, _in_india),
    Behaviour.FUTURE_DATE: lambda honest: _with_date(honest, _a_century_on),
    Behaviour.NOTHING_LEFT: lambda honest: _left(honest, 0, 40),
    Behaviour.ONE_LEFT: lambda honest: _left(honest, 1, 100),
    Behaviour.COMPRESSED: _compressed,
    Behaviour.REDIRECT: lambda _: SandboxReply(
        status=307, body=b"", headers=(("Location", REDIRECT_TARGET),)
    ),
    Behaviour.PROBLEM_JSON: lambda _: SandboxReply(
        status=contract.NOT_APPLICABLE.status,
        body=contract.rfc7807_body(contract.NOT_APPLICABLE),
        content_type=contract.PROBLEM_MEDIA_TYPE,
    ),
    Behaviour.EXTRA_ANSWER: lambda honest: _followed(honest, 0.0),
    Behaviour.LATE_ANSWER: lambda honest: _followed(honest, hostile.LATE_SECONDS),
    Behaviour.FOREIGN_NUMBER: lambda _: SandboxReply(
        status=200, body=msgspec.json.encode(hostile.foreign_fields())
    ),
    Behaviour.GZIP_BOMB: lambda _: SandboxReply(
        status=200, body=hostile.gzip_bomb(), headers=(("Content-Encoding", "gzip"),)
    ),
}
