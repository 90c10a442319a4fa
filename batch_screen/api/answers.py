"""Reads one HTTP answer strictly into an ``Answer``; knows no sockets and takes no decisions.

Source: the reference page's response tables, and api notes on what the page leaves out:
no property of a 200 body is required, missing is unknown and never false; anything that is
not exactly as documented is ``bad_response``. Status first, ``code`` second.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from msgspec.structs import replace

from batch_screen.api.allowance import read_allowance
from batch_screen.api.dates import parse_instant
from batch_screen.masking import mask_text, plain
from batch_screen.model import Answer, Endpoint, JsonObject, LatestChange, Lookup, OutcomeKind

MAX_BODY_BYTES = 64 * 1024
TRUNCATED = "truncated"
_JSON_SPACE = b" \t\r\n"
_LONGEST_TEXT = 16 * 1024
_SECONDS = re.compile(r"\d+(?:\.\d+)?(?:\s*,\s*\d+(?:\.\d+)?)*", re.ASCII)

_BY_STATUS = {
    400: OutcomeKind.REJECTED,
    401: OutcomeKind.FORBIDDEN,
    402: OutcomeKind.FORBIDDEN,
    403: OutcomeKind.FORBIDDEN,
    404: OutcomeKind.NOT_FOUND,
    408: OutcomeKind.RATE_LIMITED,
    422: OutcomeKind.NOT_APPLICABLE,
    429: OutcomeKind.RATE_LIMITED,
}
_DATE_NAMES = {
    Endpoint.SIM_SWAP_DATE: ("latestSimChange",),
    # The page names the device's date latestSimChange too; it was renamed later.
    Endpoint.DEVICE_SWAP_DATE: ("latestSimChange", "latestDeviceChange"),
}


class _MalformedError(Exception):
    """The 200 body is not what the page promises; carries the reason."""


def read_answer(
    lookup: Lookup,
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    *,
    secret: str = "",
) -> Answer:
    """What the answer says. ``secret`` is the key, which a server may repeat in its errors."""
    allowance = read_allowance(headers, lambda: _server_time(headers).timestamp())
    if status == 200:
        answer = _read_success(lookup, headers, content)
        return answer if allowance is None else replace(answer, allowance=allowance)
    kind, reason = _classify(status)
    error = _error_body(content)
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
        return _BY_STATUS[status], None
    if 300 <= status < 400:
        return OutcomeKind.BAD_RESPONSE, "redirect"
    if 400 <= status < 500:
        return OutcomeKind.REJECTED, "unexpected_status"
    if status == 501:
        return OutcomeKind.SERVER_ERROR, "not_implemented"
    if status >= 500:
        return OutcomeKind.SERVER_ERROR, None
    return OutcomeKind.BAD_RESPONSE, "unexpected_status"


def _read_success(lookup: Lookup, headers: Mapping[str, str], content: bytes) -> Answer:
    try:
        # Nothing was lost on the way, so asking again would only be paid again.
        if not content and headers.get("Content-Length", "").strip() == "0":
            raise _MalformedError("empty")
        fields = _strict_object(content)
        _refuse_another_number(fields, lookup.e164)
        values = _values(lookup.endpoint, fields)
    except _MalformedError as error:
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
    """The page repeats no number; a server that does must repeat the one it was asked about."""
    said = fields.get("phoneNumber")
    if said is not None:
        digits = "".join(c for c in str(said) if c.isdigit()).removeprefix("00")
        if digits != asked.removeprefix("+"):
            raise _MalformedError("another_number")


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


def _strict_object(content: bytes) -> JsonObject:
    """A JSON object without duplicate keys or NaN, or ``_MalformedError``."""
    if len(content) > MAX_BODY_BYTES:
        raise _MalformedError("too_large")
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


def _error_body(content: bytes) -> JsonObject:
    """The error's fields as far as they can be read; an HTML page has none."""
    try:
        decoded = json.loads(content[:MAX_BODY_BYTES].decode())
    except (ValueError, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _short_text(value: Any, limit: int, secret: str) -> str | None:
    """Foreign text made safe to keep: one line, no control characters, numbers and key masked."""
    if not isinstance(value, str):
        return None
    # Masked before it is shortened: half a key is a leak too.
    return plain(mask_text(plain(value, _LONGEST_TEXT), secret), limit) or None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait from now on, or None if the header is absent or makes no sense.

    A date is read against the answer's own Date header: the two clocks may differ. Fractions are
    taken as meant, and of several numbers the largest: who asks for too short a wait pays twice.

    >>> retry_after({"Retry-After": "2"}), retry_after({"Retry-After": "1.5, 3"})
    (2.0, 3.0)
    """
    text = headers.get("Retry-After", "").strip()
    try:
        if _SECONDS.fullmatch(text):
            seconds = max(float(part) for part in text.split(","))
        else:
            seconds = _until(text, headers)
    except (ValueError, TypeError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _until(text: str, headers: Mapping[str, str]) -> float:
    then = _aware(parsedate_to_datetime(text))
    return max(0.0, (then - _server_time(headers)).total_seconds())


def _server_time(headers: Mapping[str, str]) -> datetime:
    try:
        return _aware(parsedate_to_datetime(headers.get("Date", "")))
    except (ValueError, TypeError, OverflowError):  # none, or nonsense: the own clock must do
        return datetime.now(UTC)


def _aware(instant: datetime) -> datetime:
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
