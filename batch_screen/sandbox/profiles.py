"""Fault profiles: named sets of behaviours, each meeting a share of the lookups.

Which lookups are met follows from the seed, so a profile does the same thing every time.
Profiles can be combined; the first rule that meets a lookup wins.
"""

from __future__ import annotations

import msgspec

from batch_screen.model import Endpoint
from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.magic import HOSTILE, Behaviour, Fault


class FaultRule(msgspec.Struct, frozen=True):
    """A fault for a share (0 to 1) of the lookups, at one endpoint or at all of them."""

    fault: Fault
    share: float
    endpoint: Endpoint | None = None


class Profile(msgspec.Struct, frozen=True):
    """A named set of rules, with a latency where slowness is part of the story."""

    about: str
    rules: tuple[FaultRule, ...] = ()
    latency: Latency | None = None


def _rules(*behaviours: Behaviour, share: float, once: bool = False) -> tuple[FaultRule, ...]:
    return tuple(FaultRule(Fault(behaviour, once), share) for behaviour in behaviours)


def _everything(about: str, behaviour: Behaviour) -> Profile:
    return Profile(about, _rules(behaviour, share=1.0))


PROFILES: dict[str, Profile] = {
    "flaky": Profile(
        "one request in ten fails once: 500, 503, 502, reset, short body",
        _rules(Behaviour.SERVER_ERROR, share=0.05, once=True)
        + _rules(Behaviour.UNAVAILABLE, Behaviour.RESET, share=0.02, once=True)
        + _rules(Behaviour.HTML_502, Behaviour.TRUNCATED, share=0.01, once=True),
    ),
    "throttling": Profile(
        "3 % are refused once with Retry-After, in seconds or as an HTTP-date",
        _rules(Behaviour.RATE_LIMITED, share=0.02, once=True)
        + _rules(Behaviour.RATE_LIMITED_DATE, share=0.01, once=True),
    ),
    "hanging": Profile(
        "1 % get no answer in time, once",
        _rules(Behaviour.HANG, share=0.01, once=True),
    ),
    "slow": Profile(
        "a median of 0.8 s with a long tail",
        latency=Latency(seconds=0.8, sigma=0.6),
    ),
    "malformed": Profile(
        "5 % of the 200 answers cannot be read",
        _rules(
            Behaviour.WRONG_TYPE,
            Behaviour.MISSING_FIELD,
            Behaviour.NOT_A_NUMBER,
            Behaviour.DUPLICATE_KEYS,
            Behaviour.HALF_JSON,
            Behaviour.HTML_200,
            Behaviour.HUGE,
            Behaviour.EMPTY_BODY,
            share=0.006,
        ),
    ),
    "patchy": Profile(
        "one lookup in seven is refused for good: 404, 403, 422, 400",
        _rules(Behaviour.NOT_FOUND, share=0.10)
        + _rules(Behaviour.FORBIDDEN, share=0.03)
        + _rules(Behaviour.NOT_APPLICABLE, Behaviour.INVALID, share=0.01),
    ),
    "odd-dates": Profile(
        "a fifth of the dates are empty or carry an offset",
        _rules(Behaviour.EMPTY_DATE, Behaviour.OFFSET_DATE, share=0.1),
    ),
    "hostile": Profile(
        "one answer in four means harm: bombs, drips, answers of others, poisoned texts",
        _rules(
            *sorted(HOSTILE - {Behaviour.DRIP}),
            Behaviour.REDIRECT,
            share=0.02,
        )
        # Each costs a timeout.
        + _rules(Behaviour.DRIP, share=0.01),
    ),
    "all-400": _everything("every number is invalid", Behaviour.INVALID),
    "all-401": _everything("no key is good", Behaviour.UNAUTHENTICATED),
    "all-402": _everything("the balance is used up", Behaviour.PAYMENT_REQUIRED),
    "all-403": _everything("the entitlement is missing", Behaviour.FORBIDDEN),
    "all-404": _everything("the paths have moved", Behaviour.NOT_FOUND),
    "all-408": _everything("every request took too long", Behaviour.REQUEST_TIMEOUT),
    "all-429": _everything("every request is refused for the rate", Behaviour.RATE_LIMITED),
    "all-500": _everything("the server is broken", Behaviour.SERVER_ERROR),
    "all-503": _everything("the server is down", Behaviour.UNAVAILABLE),
    "all-hang": _everything("nothing is answered in time", Behaviour.HANG),
    "all-redirect": _everything("the address has moved", Behaviour.REDIRECT),
    "all-reset": _everything("every connection is reset", Behaviour.RESET),
    "all-unreadable": _everything("a captive portal answers for the API", Behaviour.HTML_200),
}
