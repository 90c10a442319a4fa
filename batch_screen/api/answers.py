"""Parses one HTTP response strictly into an ``Answer``; does no I/O and makes no decisions.

Source: the reference page's response tables, and api notes on what the page leaves out:
no property of a 200 body is required, missing is unknown and never false; anything that is
not exactly as documented is ``bad_response``. Status first, ``code`` second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from msgspec.structs import replace

from batch_screen.api import encoding
from batch_screen.api.allowance import read_allowance
from batch_screen.api.encoding import EncodingError, unpacked
from batch_screen.api.headers import every, every_item
from batch_screen.masking import mask_text, plain
from batch_screen.model import Answer, Endpoint, JsonObject, LatestChange, Lookup, OutcomeKind

# RFC 3339 instants with 0 to 9 fraction digits, kept to the microsecond: truncated, for an instant
# must not move into the future. Not parsed to nanoseconds, which wrap silently outside 1677..2262.

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?"
    r"(?:([Zz])|([+-])(\d\d):(\d\d))",
    re.ASCII,
)


def parse_instant(text: str) -> datetime | None:
    """The instant in UTC, or None if the text is no RFC 3339 date-time.

    >>> parse_instant("2024-09-18T07:37:53.471829447Z")
    datetime.datetime(2024, 9, 18, 7, 37, 53, 471829, tzinfo=datetime.timezone.utc)
    >>> parse_instant("2024-09-18") is None
    True
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    micros = int((match[7] or "")[:6].ljust(6, "0"))
    is_leap = second == 60
    if is_leap:  # the last instant before it that datetime can say
        second, micros = 59, 999_999
    try:
        local = datetime(year, month, day, hour, minute, second, micros, tzinfo=UTC)
        instant = local - _offset(match)
        return None if is_leap and not _ends_a_month(instant) else instant
    except (ValueError, OverflowError):
        return None


def _ends_a_month(instant: datetime) -> bool:
    """Whether a leap second is possible: in UTC, only at the end of a month (RFC 3339, 5.7)."""
    is_midnight_next = (instant.hour, instant.minute) == (23, 59)
    return is_midnight_next and (instant + timedelta(days=1)).day == 1


def _offset(match: re.Match[str]) -> timedelta:
    if match[8]:
        return timedelta(0)
    hours, minutes = int(match[10]), int(match[11])
    if hours > 23 or minutes > 59:
        raise ValueError("offset out of range")
    size = timedelta(hours=hours, minutes=minutes)
    return size if match[9] == "+" else -size


MAX_BODY_BYTES = 64 * 1024
TRUNCATED = encoding.TRUNCATED
NOT_DECODABLE = encoding.NOT_DECODABLE
MALFORMED_HTTP = "malformed_http"
ANOTHER_NUMBER = "another_number"
MISDIRECTED = "misdirected"

WORTH_ANOTHER_TRY = frozenset({TRUNCATED, NOT_DECODABLE, MALFORMED_HTTP, ANOTHER_NUMBER})
"""Reasons of bad responses that are worth another attempt.

Bytes were lost or mangled on their way, or were somebody else's: cut short, damaged within their
own checksum, no HTTP at all, an answer that went astray. The server has said nothing about the
number, so one such is no more than a connection that was reset.
"""

_JSON_SPACE = b" \t\r\n"
_LONGEST_TEXT = 16 * 1024
# Whose clock is kept by nobody is minutes off; five are what Kerberos and tokens grant as well.
_CLOCK_SKEW = timedelta(minutes=5)
# Even the quota of a month comes back within it. What is longer is no wait but a slip, such as
# an instant in seconds since 1970.
_LONGEST_WAIT_SECONDS = 31 * 86_400.0
_SECONDS = re.compile(r"\d+(?:\.\d+)?(?:\s*,\s*\d+(?:\.\d+)?)*", re.ASCII)

_BY_STATUS: dict[int, tuple[OutcomeKind, str | None]] = {
    400: (OutcomeKind.REJECTED, None),
    401: (OutcomeKind.FORBIDDEN, None),
    402: (OutcomeKind.FORBIDDEN, None),
    403: (OutcomeKind.FORBIDDEN, None),
    404: (OutcomeKind.NOT_FOUND, None),
    408: (OutcomeKind.RATE_LIMITED, None),
    # The API itself never looked at it, so these say nothing about the number; both are meant
    # to be asked again (RFC 9110, 15.5.20, and RFC 8470, 5.2).
    421: (OutcomeKind.SERVER_ERROR, MISDIRECTED),
    422: (OutcomeKind.NOT_APPLICABLE, None),
    425: (OutcomeKind.SERVER_ERROR, "too_early"),
    429: (OutcomeKind.RATE_LIMITED, None),
    501: (OutcomeKind.SERVER_ERROR, "not_implemented"),
}
_DATE_NAMES = {
    Endpoint.SIM_SWAP_DATE: ("latestSimChange",),
    # The page names the device's date latestSimChange too; it was renamed later.
    Endpoint.DEVICE_SWAP_DATE: ("latestSimChange", "latestDeviceChange"),
}


class _MalformedError(Exception):
    """The 200 body breaks the API's contract; carries the reason."""


def utc_now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


def read_answer(  # noqa: PLR0913 (an answer as it came; the rest has defaults)
    lookup: Lookup,
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    *,
    secret: str = "",
    clock: Callable[[], datetime] = utc_now,
) -> Answer:
    """Parses a response. ``secret`` is the API key, which is masked if the server echoes it.

    ``clock`` says what time it is where the answer comes from, for dates in the future.
    """
    allowance = read_allowance(headers, lambda: _server_time(headers).timestamp())
    if status == 200:
        answer = _read_success(lookup, headers, content, clock)
        return answer if allowance is None else replace(answer, allowance=allowance)
    kind, reason = _classify(status)
    error = _error_body(headers, content)
    text = error.get("message") or error.get("detail") or error.get("title")
    return Answer(
        kind=kind,
        reason=reason,
        http_status=status,
        code=_short_text(error.get("code"), 100, secret),
        message=_short_text(text, 200, secret),
        retry_after_seconds=retry_after(headers),
        allowance=allowance,
    )


def _classify(status: int) -> tuple[OutcomeKind, str | None]:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 300 <= status < 400:
        return OutcomeKind.BAD_RESPONSE, "redirect"
    if 400 <= status < 500:
        return OutcomeKind.REJECTED, "unexpected_status"
    if status >= 500:
        return OutcomeKind.SERVER_ERROR, None
    return OutcomeKind.BAD_RESPONSE, "unexpected_status"


def _read_success(
    lookup: Lookup, headers: Mapping[str, str], content: bytes, clock: Callable[[], datetime]
) -> Answer:
    try:
        # Nothing was lost on the way, so asking again would only be paid again.
        if not content and headers.get("Content-Length", "").strip() == "0":
            raise _MalformedError("empty")
        fields = _strict_object(_as_meant(headers, content))
        _refuse_another_number(fields, lookup.e164)
        values = _values(lookup.endpoint, fields)
        changed_at = values.get("latest_change_at")
        if changed_at is not None and _is_to_come(changed_at, headers, clock):
            raise _MalformedError("future_date")
    except (_MalformedError, EncodingError) as error:
        return Answer(kind=OutcomeKind.BAD_RESPONSE, reason=str(error), http_status=200)
    return Answer(kind=OutcomeKind.SUCCESS, http_status=200, **values)


def _values(endpoint: Endpoint, fields: JsonObject) -> dict[str, Any]:
    if endpoint.answers_date:
        return _latest_change(fields, _DATE_NAMES[endpoint])
    name = "active" if endpoint is Endpoint.CALL_FORWARDING_CHECK else "swapped"
    if name not in fields:
        raise _MalformedError("missing_field")
    if not isinstance(fields[name], bool):
        raise _MalformedError("wrong_type")
    return {name: fields[name]}


def _refuse_another_number(fields: JsonObject, asked: str) -> None:
    """Rejects a body that names another number than the one asked about; the API names none."""
    said = fields.get("phoneNumber")
    if said is not None:
        digits = "".join(c for c in str(said) if c.isdigit()).removeprefix("00")
        if digits != asked.removeprefix("+"):
            raise _MalformedError(ANOTHER_NUMBER)


def _latest_change(fields: JsonObject, names: tuple[str, ...]) -> dict[str, Any]:
    found = [fields[name] for name in names if name in fields]
    if not found:
        raise _MalformedError("missing_field")
    raw = found[0]
    if any(other != raw for other in found):
        raise _MalformedError("conflicting_dates")
    if raw is None or raw == "":  # older servers of the standard answer "" for null
        return {"latest_change": LatestChange.NONE_REPORTED, "latest_change_raw": raw}
    if not isinstance(raw, str):
        raise _MalformedError("wrong_type")
    instant = parse_instant(raw)
    if instant is None:
        raise _MalformedError("not_a_date")
    return {
        "latest_change": LatestChange.REPORTED,
        "latest_change_at": instant,
        "latest_change_raw": raw,
    }


def _is_to_come(
    changed_at: datetime, headers: Mapping[str, str], clock: Callable[[], datetime]
) -> bool:
    """Whether the instant is in the future, by more than either clock, theirs or ours, may be off.

    One of the two may stand still or for another time zone: that alone makes no date a false one.
    """
    if changed_at - clock() <= _CLOCK_SKEW:
        return False
    said = _said_time(headers)
    return said is None or changed_at - said > _CLOCK_SKEW


def _as_meant(headers: Mapping[str, str], content: bytes) -> bytes:
    """The body, decompressed as its headers say. Raises ``EncodingError`` if that fails."""
    if "Content-Encoding" not in headers:  # as asked for
        return content
    return unpacked(content, every_item(headers, "Content-Encoding"), MAX_BODY_BYTES)


def _strict_object(content: bytes) -> JsonObject:
    """A JSON object without duplicate keys or NaN, or ``_MalformedError``."""
    if len(content) > MAX_BODY_BYTES:
        raise _MalformedError(encoding.TOO_LARGE)
    stripped = content.strip(_JSON_SPACE)
    try:
        text = stripped.decode()
        decoded, end = _STRICT.raw_decode(text)
    except (ValueError, RecursionError) as error:
        # Cut off on its way, as far as one can tell: worth another attempt.
        if not stripped or (stripped.startswith(b"{") and not stripped.endswith(b"}")):
            raise _MalformedError(TRUNCATED) from error
        raise _MalformedError("not_json") from error
    if end < len(text):
        raise _MalformedError("not_json")
    if not isinstance(decoded, dict):
        raise _MalformedError("not_an_object")
    return decoded


def _unique_keys(pairs: list[tuple[str, Any]]) -> JsonObject:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _MalformedError("duplicate_keys")
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise _MalformedError("not_a_number" if name == "NaN" else "infinite_number")


_STRICT = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)


def _error_body(headers: Mapping[str, str], content: bytes) -> JsonObject:
    """The error's fields as far as they can be parsed; an HTML page has none."""
    try:
        decoded = json.loads(_as_meant(headers, content[:MAX_BODY_BYTES]).decode())
    except (ValueError, RecursionError, EncodingError):
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _short_text(value: Any, limit: int, secret: str) -> str | None:
    """Foreign text made safe to keep: one line, no control characters, numbers and key masked."""
    if not isinstance(value, str):
        return None
    # Masked before it is shortened: half a key is a leak too.
    return plain(mask_text(plain(value, _LONGEST_TEXT), secret), limit) or None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by the Retry-After header, or None if it is absent or invalid.

    A date is read against the answer's own Date header: the two clocks may differ. Fractions are
    taken as meant, and of several numbers or headers the largest: who asks for too short a wait
    pays twice. A wait of more than a month makes no sense.

    >>> retry_after({"Retry-After": "2"}), retry_after({"Retry-After": "1.5, 3"})
    (2.0, 3.0)
    """
    waits = [_wait_seconds(text.strip(), headers) for text in every(headers, "Retry-After")]
    return max((wait for wait in waits if wait is not None), default=None)


def _wait_seconds(text: str, headers: Mapping[str, str]) -> float | None:
    try:
        if _SECONDS.fullmatch(text):
            seconds = max(float(part) for part in text.split(","))
        else:
            then = _aware(parsedate_to_datetime(text))
            seconds = max(0.0, (then - _server_time(headers)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
    return seconds if 0 <= seconds <= _LONGEST_WAIT_SECONDS else None


def _server_time(headers: Mapping[str, str]) -> datetime:
    return _said_time(headers) or utc_now()  # none, or nonsense: the own clock must do


def _said_time(headers: Mapping[str, str]) -> datetime | None:
    try:
        return _aware(parsedate_to_datetime(headers.get("Date", "")))
    except (ValueError, TypeError, OverflowError):
        return None


def _aware(instant: datetime) -> datetime:
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
