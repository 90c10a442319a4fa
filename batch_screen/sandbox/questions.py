"""Reads a request's body as strictly as the page allows: a question, or the problem with it."""

from __future__ import annotations

import re
from typing import ClassVar

import msgspec

from batch_screen.config.sections import Dialect
from batch_screen.model import Endpoint
from batch_screen.sandbox.answers import MAX_MAX_AGE_MINUTES
from batch_screen.sandbox.problems import INVALID_ARGUMENT, OUT_OF_RANGE, Problem

_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_LATER_NUMBER = re.compile(r"(?:\+|00)?([1-9][0-9]{6,14})", re.ASCII)

_LATER_PATHS = {Endpoint.CALL_FORWARDING_CHECK: "call-forwarding/unconditional/check"}


class Question(msgspec.Struct, frozen=True):
    """A well-formed request: a number at an endpoint, and the window if one was sent."""

    number: str
    endpoint: Endpoint
    max_age_minutes: int | None = None


def paths(dialect: Dialect) -> dict[str, Endpoint]:
    """The endpoints by their path below the base path.

    >>> paths(Dialect.PAGE)["/call-forwarding/check"]
    <Endpoint.CALL_FORWARDING_CHECK: 'call-forwarding/check'>
    """
    moved = _LATER_PATHS if dialect is Dialect.LATER else {}
    return {f"/{moved.get(endpoint, endpoint.value)}": endpoint for endpoint in Endpoint}


def read_question(body: bytes, endpoint: Endpoint, dialect: Dialect) -> Question | Problem:
    """The question in a body, or the 400 it deserves.

    >>> read_question(b'{"phoneNumber": "112"}', Endpoint.SIM_SWAP_DATE, Dialect.PAGE).code
    'INVALID_ARGUMENT'
    """
    try:
        asked = (_CHECK if endpoint.takes_max_age else _NUMBER_ONLY).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return INVALID_ARGUMENT
    number = _number(asked.phone_number, dialect)
    if number is None:
        return INVALID_ARGUMENT
    if asked.max_age is msgspec.UNSET:
        return Question(number, endpoint)
    if not 1 <= asked.max_age <= MAX_MAX_AGE_MINUTES:
        # The later contract no longer knows OUT_OF_RANGE.
        return OUT_OF_RANGE if dialect is Dialect.PAGE else INVALID_ARGUMENT
    return Question(number, endpoint, asked.max_age)


def _number(value: str, dialect: Dialect) -> str | None:
    if dialect is Dialect.PAGE:
        return value if _E164.fullmatch(value) else None
    match = _LATER_NUMBER.fullmatch(value)
    return f"+{match[1]}" if match else None


class _NumberOnly(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    phone_number: str
    # Never set here; it lets one reader serve both bodies.
    max_age: ClassVar[msgspec.UnsetType] = msgspec.UNSET


class _Check(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    phone_number: str
    max_age: int | msgspec.UnsetType = msgspec.UNSET


_NUMBER_ONLY = msgspec.json.Decoder(_NumberOnly)
_CHECK = msgspec.json.Decoder(_Check)
