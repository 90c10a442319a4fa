"""Magic numbers: fictitious numbers that each force one behaviour.

They are the Swedish regulator's numbers for films and books (PTS: 070-1740605 to 1740699),
which nobody will ever own and which libphonenumber takes for valid mobile numbers. The last
two digits resemble the HTTP status they cause, where there is one; where these are taken, the
last digit does. From 0656 on nothing is listed but 0658: sample_data has its ordinary numbers
there. What is not listed answers like a customer whose SIM and device changed 30 days ago.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Behaviour(StrEnum):
    """What the sandbox does instead of, or in addition to, the honest answer."""

    SWAPPED_NOW = "swapped_now"  # SIM and device changed 5 minutes ago
    SWAPPED_LATELY = "swapped_lately"  # 1,000 minutes ago: beyond the server's default window
    NEVER_SWAPPED = "never_swapped"  # both dates are null
    FORWARDING = "forwarding"  # calls are forwarded
    SHORT_HISTORY = "short_history"  # the operator looks back 240 minutes: OUT_OF_RANGE beyond

    SLOW = "slow"  # the honest answer after slow_seconds
    HANG = "hang"  # the honest answer after hang_seconds, longer than a client should wait
    RESET = "reset"  # TCP reset, no answer
    TRUNCATED = "truncated"  # Content-Length promises more than is sent

    WRONG_TYPE = "wrong_type"  # "swapped": "false", "latestSimChange": 1726645073
    MISSING_FIELD = "missing_field"  # {}
    NOT_A_NUMBER = "not_a_number"  # "swapped": NaN
    DUPLICATE_KEYS = "duplicate_keys"  # "swapped": false, "swapped": true
    HALF_JSON = "half_json"  # a whole HTTP body that is half a JSON text
    HTML_200 = "html_200"  # a captive portal's page
    HUGE = "huge"  # the honest answer in 1 MiB
    EMPTY_BODY = "empty_body"  # 200 and not one byte
    EMPTY_DATE = "empty_date"  # "" for a date; honest at the other endpoints
    OFFSET_DATE = "offset_date"  # +05:30 for Z; honest at the other endpoints
    FUTURE_DATE = "future_date"  # a century later than the truth; honest at the other endpoints

    NOTHING_LEFT = "nothing_left"  # the honest answer, X-RateLimit-Remaining: 0 for 40 s
    ONE_LEFT = "one_left"  # the honest answer, X-RateLimit-Remaining: 1 for 100 s
    COMPRESSED = "compressed"  # the honest answer by gzip, though identity was asked for
    OWN_CORRELATOR = "own_correlator"  # the honest answer under a correlator nobody sent
    GARBLED = "garbled"  # bytes that are not HTTP, then the end

    REDIRECT = "redirect"  # 307 to a place that counts who follows
    INVALID = "invalid"  # 400
    UNAUTHENTICATED = "unauthenticated"  # 401
    PAYMENT_REQUIRED = "payment_required"  # 402
    FORBIDDEN = "forbidden"  # 403
    NOT_FOUND = "not_found"  # 404
    NOT_APPLICABLE = "not_applicable"  # 422
    REQUEST_TIMEOUT = "request_timeout"  # 408
    PROBLEM_JSON = "problem_json"  # 422 as RFC 7807 words it: type, title, status, detail
    RATE_LIMITED = "rate_limited"  # 429, Retry-After in seconds
    RATE_LIMITED_DATE = "rate_limited_date"  # 429, Retry-After as an HTTP-date
    QUOTA = "quota"  # 429 QUOTA_EXCEEDED
    SERVER_ERROR = "server_error"  # 500
    NOT_IMPLEMENTED = "not_implemented"  # 501
    HTML_502 = "html_502"  # a proxy's error page
    UNAVAILABLE = "unavailable"  # 503 with Retry-After
    DOWN = "down"  # 503 without it

    # Hostile: no number forces them, for ordinary numbers are tried out beside them.
    BODY_BOMB = "body_bomb"  # a gigabyte in chunks
    LENGTH_BOMB = "length_bomb"  # a gigabyte, announced
    GZIP_BOMB = "gzip_bomb"  # compressed, though nobody asked for that
    HEADER_BOMB = "header_bomb"  # a header of 10 MiB
    INTERIM_FLOOD = "interim_flood"  # 10,000 times 100 Continue, then half an answer
    DRIP = "drip"  # a 200 that sends a byte a second
    ERROR_DRIP = "error_drip"  # a 422 that does
    NOISE = "noise"  # a body without a head
    EXTRA_ANSWER = "extra_answer"  # the honest answer, and at once somebody else's
    LATE_ANSWER = "late_answer"  # the honest answer, and a little later somebody else's
    FOREIGN_NUMBER = "foreign_number"  # an answer that names another number
    ODD_DOCUMENT = "odd_document"  # BOM, UTF-16, two documents, deep nesting, huge integers
    POISON = "poison"  # 422 with formulas, escapes, markup, the key and the number in its texts


HARMLESS = frozenset(
    {
        Behaviour.SWAPPED_NOW,
        Behaviour.SWAPPED_LATELY,
        Behaviour.NEVER_SWAPPED,
        Behaviour.FORWARDING,
        Behaviour.SHORT_HISTORY,
        Behaviour.NOTHING_LEFT,
        Behaviour.ONE_LEFT,
        Behaviour.COMPRESSED,
        Behaviour.OWN_CORRELATOR,
    }
)
"""Behaviours with a true and timely answer; other faults take precedence."""


class Fault(msgspec.Struct, frozen=True):
    """A behaviour, and whether it affects only a lookup's first request."""

    behaviour: Behaviour
    once: bool = False
    retry_after_seconds: int | msgspec.UnsetType | None = msgspec.UNSET
    """None: no header; below 0: an HTTP-date in the past; unset: the sandbox's default."""
    delay_seconds: float | msgspec.UnsetType = msgspec.UNSET
    """Extra latency of the answer; unset: the sandbox's default for slow and hang."""


_PREFIX = "+467017406"
_ENDINGS = {
    "05": Fault(Behaviour.SWAPPED_NOW),
    "06": Fault(Behaviour.SWAPPED_LATELY),
    "07": Fault(Behaviour.NEVER_SWAPPED),
    "08": Fault(Behaviour.FORWARDING),
    "09": Fault(Behaviour.FUTURE_DATE),
    "10": Fault(Behaviour.SLOW),
    "11": Fault(Behaviour.HANG),
    "12": Fault(Behaviour.RESET, once=True),
    "13": Fault(Behaviour.RESET),
    "14": Fault(Behaviour.TRUNCATED, once=True),
    "15": Fault(Behaviour.TRUNCATED),
    "16": Fault(Behaviour.GARBLED, once=True),
    "17": Fault(Behaviour.COMPRESSED),
    "18": Fault(Behaviour.OWN_CORRELATOR),
    "20": Fault(Behaviour.HTML_200),
    "21": Fault(Behaviour.WRONG_TYPE),
    "22": Fault(Behaviour.MISSING_FIELD),
    "23": Fault(Behaviour.NOT_A_NUMBER),
    "24": Fault(Behaviour.DUPLICATE_KEYS),
    "25": Fault(Behaviour.HALF_JSON),
    "26": Fault(Behaviour.HUGE),
    "27": Fault(Behaviour.EMPTY_BODY),
    "28": Fault(Behaviour.EMPTY_DATE),
    "29": Fault(Behaviour.OFFSET_DATE),
    "30": Fault(Behaviour.REDIRECT),
    "31": Fault(Behaviour.NOT_IMPLEMENTED, once=True),
    "32": Fault(Behaviour.PROBLEM_JSON),
    "33": Fault(Behaviour.SHORT_HISTORY),
    "34": Fault(Behaviour.NOT_FOUND, retry_after_seconds=60),
    "36": Fault(Behaviour.NOTHING_LEFT),
    "37": Fault(Behaviour.ONE_LEFT),
    "38": Fault(Behaviour.REQUEST_TIMEOUT),
    "39": Fault(Behaviour.RATE_LIMITED, once=True, retry_after_seconds=86_400),
    "40": Fault(Behaviour.INVALID),
    "41": Fault(Behaviour.UNAUTHENTICATED),
    "42": Fault(Behaviour.PAYMENT_REQUIRED),
    "43": Fault(Behaviour.FORBIDDEN),
    "44": Fault(Behaviour.NOT_FOUND),
    "45": Fault(Behaviour.NOT_APPLICABLE),
    "46": Fault(Behaviour.RATE_LIMITED, once=True),
    "47": Fault(Behaviour.RATE_LIMITED_DATE, once=True),
    "48": Fault(Behaviour.QUOTA),
    "49": Fault(Behaviour.RATE_LIMITED),
    "50": Fault(Behaviour.SERVER_ERROR, once=True),
    "51": Fault(Behaviour.NOT_IMPLEMENTED),
    "52": Fault(Behaviour.HTML_502, once=True),
    "53": Fault(Behaviour.UNAVAILABLE, once=True),
    "54": Fault(Behaviour.DOWN, once=True),
    "55": Fault(Behaviour.SERVER_ERROR),
    "58": Fault(Behaviour.REQUEST_TIMEOUT, once=True),
}

MAGIC_NUMBERS: dict[str, Fault] = {_PREFIX + ending: fault for ending, fault in _ENDINGS.items()}
HOSTILE = frozenset(Behaviour) - {fault.behaviour for fault in _ENDINGS.values()}


def is_magic(number: str) -> bool:
    """Whether a number lies in the fictitious range, listed above or not.

    >>> is_magic("+46701740605"), is_magic("+46701740699"), is_magic("+46701740604")
    (True, True, False)
    """
    return len(number) == 12 and number.startswith(_PREFIX) and "05" <= number[-2:] <= "99"
