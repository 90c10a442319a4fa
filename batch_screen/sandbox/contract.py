"""The API's published contract: paths, request bodies, and error answers, word for word.

The page documents the errors 400 to 500; those it leaves out (402, 405, 415, 429 and more) are
written in the same manner.
"""

from __future__ import annotations

import re

import msgspec

from batch_screen.config.sections import Dialect
from batch_screen.model import Endpoint

_MAX_MAX_AGE_MINUTES = 2400

_NUMBERS = {
    Dialect.PAGE: re.compile(r"\+([1-9][0-9]{6,14})", re.ASCII),
    Dialect.LATER: re.compile(r"(?:\+|00)?([1-9][0-9]{6,14})", re.ASCII),
}
_LATER_PATHS = {Endpoint.CALL_FORWARDING_CHECK: "call-forwarding/unconditional/check"}


class Question(msgspec.Struct, frozen=True):
    """A valid request: a number at an endpoint, and the window if one was sent."""

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


def read_question(
    body: bytes, endpoint: Endpoint, dialect: Dialect, *, strict: bool = False
) -> Question | Problem:
    """Parses a request body as strictly as the API's page says, or returns its 400 error.

    The page forbids no further properties; later releases of the standard do, and so does
    ``strict``. An integer is one by its value, as in JSON Schema: 240.0 is, 240.5 is not.

    >>> read_question(b'{"phoneNumber": "112"}', Endpoint.SIM_SWAP_DATE, Dialect.PAGE).code
    'INVALID_ARGUMENT'
    """
    try:
        asked = _DECODERS[endpoint.takes_max_age, strict].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return INVALID_ARGUMENT
    match = _NUMBERS[dialect].fullmatch(asked.phone_number)
    if match is None:
        return INVALID_ARGUMENT
    number = f"+{match[1]}"
    # To the other endpoints a window is a property like any unknown one.
    if not isinstance(asked, _CheckBody) or asked.max_age is msgspec.UNSET:
        return Question(number, endpoint)
    max_age = asked.max_age
    if isinstance(max_age, float) and not max_age.is_integer():
        return INVALID_ARGUMENT
    if not 1 <= max_age <= _MAX_MAX_AGE_MINUTES:
        return out_of_range(dialect)
    return Question(number, endpoint, int(max_age))


class _Body(msgspec.Struct, rename="camel"):
    phone_number: str


class _CheckBody(_Body):
    max_age: int | float | msgspec.UnsetType = msgspec.UNSET


class _StrictBody(_Body, forbid_unknown_fields=True):
    pass


class _StrictCheckBody(_CheckBody, forbid_unknown_fields=True):
    pass


# By whether the endpoint takes a window, and whether unknown properties are refused.
_DECODERS: dict[tuple[bool, bool], msgspec.json.Decoder[_Body]] = {
    (False, False): msgspec.json.Decoder(_Body),
    (False, True): msgspec.json.Decoder(_StrictBody),
    (True, False): msgspec.json.Decoder(_CheckBody),
    (True, True): msgspec.json.Decoder(_StrictCheckBody),
}


class Problem(msgspec.Struct, frozen=True):
    """One error answer, before it is encoded."""

    status: int
    code: str
    message: str


INVALID_ARGUMENT = Problem(
    400, "INVALID_ARGUMENT", "Client specified an invalid argument, request body or query param."
)
OUT_OF_RANGE = Problem(400, "OUT_OF_RANGE", "Client specified an invalid range.")
UNAUTHENTICATED = Problem(
    401,
    "UNAUTHENTICATED",
    "Request not authenticated due to missing, invalid, or expired credentials. "
    "A new authentication is required.",
)
PAYMENT_REQUIRED = Problem(402, "PAYMENT_REQUIRED", "The account's balance is used up.")
PERMISSION_DENIED = Problem(
    403,
    "PERMISSION_DENIED",
    "Client does not have sufficient permissions to perform this action.",
)
NOT_FOUND = Problem(404, "NOT_FOUND", "The specified resource is not found.")
METHOD_NOT_ALLOWED = Problem(405, "METHOD_NOT_ALLOWED", "The method is not allowed here.")
REQUEST_TIMEOUT = Problem(408, "REQUEST_TIMEOUT", "The request took too long.")
TOO_LARGE = Problem(413, "PAYLOAD_TOO_LARGE", "The request body is too large.")
UNSUPPORTED_MEDIA_TYPE = Problem(
    415, "UNSUPPORTED_MEDIA_TYPE", "The request body must be application/json."
)
NOT_APPLICABLE = Problem(
    422, "SERVICE_NOT_APPLICABLE", "The service is not available for the provided phone number."
)
TOO_MANY_REQUESTS = Problem(429, "TOO_MANY_REQUESTS", "The rate limit is exceeded.")
QUOTA_EXCEEDED = Problem(429, "QUOTA_EXCEEDED", "The quota of the account is used up.")
INTERNAL_SERVER_ERROR = Problem(500, "INTERNAL_SERVER_ERROR", "Request could not be processed")
NOT_IMPLEMENTED = Problem(501, "NOT_IMPLEMENTED", "The operation is not implemented.")
UNAVAILABLE = Problem(503, "UNAVAILABLE", "The service is unavailable.")


def out_of_range(dialect: Dialect) -> Problem:
    """The error for a window that is too wide; the later contract no longer has it."""
    return OUT_OF_RANGE if dialect is Dialect.PAGE else INVALID_ARGUMENT


def problem_body(problem: Problem, dialect: Dialect) -> bytes:
    """The JSON body of an error.

    The later dialect made ``status`` and ``code`` optional: there the sandbox leaves both
    out wherever the page documents them, and keeps them where nothing else tells two errors
    of one status apart.

    >>> problem_body(NOT_FOUND, Dialect.LATER)
    b'{"message":"The specified resource is not found."}'
    """
    if dialect is Dialect.LATER and problem.status in (400, 401, 403, 404, 500):
        return msgspec.json.encode({"message": problem.message})
    return msgspec.json.encode(problem)


def rfc7807_body(problem: Problem) -> bytes:
    """The same error in the format of RFC 7807, without ``code`` and ``message``."""
    return msgspec.json.encode(
        {
            "type": "about:blank",
            "title": problem.code.replace("_", " ").capitalize(),
            "status": problem.status,
            "detail": problem.message,
        }
    )
