"""Parses a server's rate-limit headers; pure. They can only slow a run down, never speed it up.

Sources: the IETF's "RateLimit header fields for HTTP" in its drafts (``RateLimit-Limit``,
``-Remaining``, ``-Reset``; later ``RateLimit: limit=…, remaining=…, reset=…`` and
``RateLimit: "name";r=…;t=…`` with ``RateLimit-Policy: "name";q=…;w=…``), and the ``X-RateLimit-…``
names that came before them. What makes no sense says nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping

from batch_screen.api.headers import every
from batch_screen.model import Allowance

_NUMBER = r"(\d{1,15}(?:\.\d{1,9})?)"
_FIRST = re.compile(rf"\s*{_NUMBER}", re.ASCII)
_PAIR = re.compile(rf"\b(limit|remaining|reset|q|r|t|w)\s*=\s*{_NUMBER}", re.ASCII | re.IGNORECASE)
_UNITS = {"Second": 1.0, "Minute": 60.0}
_LONGEST_WINDOW_SECONDS = 900.0  # a longer one is a quota, and no pace
_EPOCH_SECONDS = 1e9  # 2001: smaller is a duration, larger an instant
_EPOCH_MILLISECONDS = 1e12
_LONGEST_HEADER = 1024
_LIMITS = ("RateLimit-Limit", "X-RateLimit-Limit", "RateLimit-Policy")


def read_allowance(
    headers: Mapping[str, str], epoch_seconds: Callable[[], float]
) -> Allowance | None:
    """The rate limit in the headers, or None if they state none.

    ``epoch_seconds`` is asked for the server's own clock where a reset is an instant.

    >>> read_allowance({"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "30"}, lambda: 0)
    Allowance(limit_per_second=None, remaining=5, reset_seconds=30.0)
    >>> read_allowance({"RateLimit-Policy": '"default";q=100;w=10'}, lambda: 0)
    Allowance(limit_per_second=10.0, remaining=None, reset_seconds=None)
    """
    if "ratelimit" not in "\n".join(headers).lower():
        return None
    remaining = _plain(headers, "Remaining")
    reset = _plain(headers, "Reset")
    pairs = _scarcest(_listed(headers, "RateLimit"))
    remaining = _first_known(remaining, pairs.get("remaining"), pairs.get("r"))
    reset = _first_known(_seconds(reset, epoch_seconds), pairs.get("reset"), pairs.get("t"))
    limit = _limit(headers)
    if limit is not None and reset is not None and reset > _LONGEST_WINDOW_SECONDS:
        reset = None  # of a quota beside it: the limit's own window is over long before
    found = Allowance(
        limit_per_second=limit,
        remaining=None if remaining is None else int(remaining),
        reset_seconds=reset,
    )
    return None if found == Allowance() else found


def _limit(headers: Mapping[str, str]) -> float | None:
    """The lowest of all limits whose window is known and short, per second."""
    named = (_listed(headers, name) for name in _LIMITS)
    limits = [_over_window(item) for text in named for item in text.split(",")]
    for unit, seconds in _UNITS.items():
        if match := _FIRST.match(headers.get(f"X-RateLimit-Limit-{unit}", "")):
            limits.append(_per_second(float(match[1]), seconds))
    return min((limit for limit in limits if limit), default=None)


def _over_window(item: str) -> float | None:
    """``100;w=60`` or ``"name";q=100;w=60``: the limit over its window."""
    pairs = dict(_in(item))
    first = _FIRST.match(item)
    most, window = pairs.get("q", float(first[1]) if first else None), pairs.get("w")
    if most is None or not window or window > _LONGEST_WINDOW_SECONDS:
        return None
    return _per_second(most, window)


def _per_second(most: float, window_seconds: float) -> float | None:
    """The rate; None where not a single request fits into the window, which no server means."""
    return most / window_seconds if most >= 1 else None


def _listed(headers: Mapping[str, str], name: str) -> str:
    """The items of a header that may span several lines; without a valid quota there are none.

    Cut off, its last number would be another, and a smaller one.
    """
    text = ", ".join(every(headers, name))
    return text if len(text) <= _LONGEST_HEADER else ""


def _plain(headers: Mapping[str, str], name: str) -> float | None:
    for prefix in ("RateLimit-", "X-RateLimit-"):
        if match := _FIRST.fullmatch(headers.get(prefix + name, "").strip()):
            return float(match[1])
    return None


def _seconds(reset: float | None, epoch_seconds: Callable[[], float]) -> float | None:
    """Seconds until the reset, which some servers write as an instant."""
    if reset is None or reset < _EPOCH_SECONDS:
        return reset
    instant = reset / 1000 if reset >= _EPOCH_MILLISECONDS else reset
    return max(0.0, math.ceil(instant - epoch_seconds()))


def _scarcest(text: str) -> dict[str, float]:
    """Of several policies in one header, the one that permits least over a short window."""
    policies = [dict(_in(item)) for item in text.split(",")]
    whole = [p for p in policies if "r" in p and 0 < p.get("t", 0) <= _LONGEST_WINDOW_SECONDS]
    if not whole:  # one policy, spread over commas, or none that matters
        return dict(_in(text))
    return min(whole, key=lambda policy: policy["r"] / policy["t"])


def _in(text: str) -> Iterator[tuple[str, float]]:
    for name, number in _PAIR.findall(text):
        yield name.lower(), float(number)


def _first_known(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
