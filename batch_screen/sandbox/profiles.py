"""Fault profiles: fault rules for a share of requests, and outages.

All follows from the seed and from the requests themselves, so a profile does the same thing every
time. Profiles can be combined; the first rule that meets a lookup wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from batch_screen.model import Endpoint
from batch_screen.sandbox.answers import draws
from batch_screen.sandbox.contract import Question
from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.magic import (
    HARMLESS,
    HOSTILE,
    MAGIC_NUMBERS,
    Behaviour,
    Fault,
    is_magic,
)


class Of(StrEnum):
    """The unit that a share applies to."""

    LOOKUPS = "lookups"
    NUMBERS = "numbers"  # the same ones at every endpoint
    REQUESTS = "requests"  # the next attempt is drawn anew


class FaultRule(msgspec.Struct, frozen=True):
    """A fault for a share (0 to 1) of the lookups, at one endpoint or at all of them."""

    fault: Fault
    share: float
    endpoint: Endpoint | None = None
    of: Of = Of.LOOKUPS


class ScriptedOutage(msgspec.Struct, frozen=True, kw_only=True):
    """An outage: every admitted request fails alike, from a moment on, for a while.

    Due after so many requests or so many seconds after the first one, whichever is given;
    neither: from the first request on.
    """

    behaviour: Behaviour | None
    """The behaviour of every request; None: connections are refused."""
    lasting_seconds: float
    after_requests: int | None = None
    at_seconds: float | None = None


class Profile(msgspec.Struct, frozen=True):
    """A named set of rules, with a latency or outages if they belong to it."""

    about: str
    rules: tuple[FaultRule, ...] = ()
    latency: Latency | None = None
    outages: tuple[ScriptedOutage, ...] = ()


def _rules(*behaviours: Behaviour, share: float, once: bool = False) -> tuple[FaultRule, ...]:
    return tuple(FaultRule(Fault(behaviour, once), share) for behaviour in behaviours)


def _profile(about: str, *behaviours: Behaviour, share: float = 1.0, once: bool = False) -> Profile:
    """Each behaviour for a share of the lookups, or for all of them."""
    return Profile(about, _rules(*behaviours, share=share, once=once))


def _sporadic(share: float, seconds: int | None, words: str) -> Profile:
    refused = Fault(Behaviour.RATE_LIMITED, once=True, retry_after_seconds=seconds)
    return Profile(
        f"{100 * share:g} % are refused once, whatever the pace; {words}",
        (FaultRule(refused, share),),
    )


def _stubborn(behaviour: Behaviour, words: str, seconds: int | None = None) -> Profile:
    fault = Fault(behaviour, retry_after_seconds=seconds)
    return Profile(
        f"one number in 500 is always refused: {words}", (FaultRule(fault, 0.002, of=Of.NUMBERS),)
    )


def _sick_endpoint(fault: Fault, words: str) -> Profile:
    sick = Endpoint.CALL_FORWARDING_CHECK
    return Profile(f"{sick} alone {words}", (FaultRule(fault, 1.0, sick),))


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
    "hanging": _profile("1 % get no answer in time, once", Behaviour.HANG, share=0.01, once=True),
    "stuck-2": _profile("2 % get no answer in time, once", Behaviour.HANG, share=0.02, once=True),
    "stuck-4": _profile("4 % get no answer in time, once", Behaviour.HANG, share=0.04, once=True),
    "late-4": Profile(
        "4 % of the answers take 14 s",
        (FaultRule(Fault(Behaviour.SLOW, delay_seconds=14.0), 0.04, of=Of.REQUESTS),),
    ),
    "resets-1": _profile("1 % are reset once", Behaviour.RESET, share=0.01, once=True),
    "garbled": _profile(
        "1 % are answered once by bytes that are not HTTP", Behaviour.GARBLED, share=0.01, once=True
    ),
    "sporadic-0.1": _sporadic(0.001, 1, "Retry-After 1"),
    "sporadic-0.3": _sporadic(0.003, 1, "Retry-After 1"),
    "sporadic-1": _sporadic(0.01, 1, "Retry-After 1"),
    "sporadic-3": _sporadic(0.03, 1, "Retry-After 1"),
    "sporadic-no-wait": _sporadic(0.01, None, "no Retry-After"),
    "sporadic-long-wait": _sporadic(0.01, 30, "Retry-After 30"),
    "sporadic-day": _sporadic(0.01, 86_400, "Retry-After 86400, a day"),
    "sporadic-past": _sporadic(0.01, -60, "Retry-After a date a minute ago"),
    "bad-node": _profile(
        "one lookup in four meets a node that refuses everything, once; Retry-After 1",
        Behaviour.RATE_LIMITED,
        share=0.25,
        once=True,
    ),
    "stubborn": _stubborn(Behaviour.RATE_LIMITED, "429, Retry-After 1", 1),
    "stubborn-401": _stubborn(Behaviour.UNAUTHENTICATED, "401"),
    "stubborn-402": _stubborn(Behaviour.PAYMENT_REQUIRED, "402"),
    "stubborn-404": _stubborn(Behaviour.NOT_FOUND, "404, Retry-After 60", 60),
    "stubborn-408": _stubborn(Behaviour.REQUEST_TIMEOUT, "408"),
    "stubborn-quota": _stubborn(Behaviour.QUOTA, "429 QUOTA_EXCEEDED"),
    "storm": Profile(
        "5 s of nothing but 503, Retry-After 1, after 300 requests",
        outages=(
            ScriptedOutage(
                behaviour=Behaviour.UNAVAILABLE, lasting_seconds=5.0, after_requests=300
            ),
        ),
    ),
    "endpoint-403": _sick_endpoint(Fault(Behaviour.FORBIDDEN), "answers nothing but 403"),
    "endpoint-500": _sick_endpoint(Fault(Behaviour.SERVER_ERROR), "answers nothing but 500"),
    "endpoint-503": _sick_endpoint(
        Fault(Behaviour.UNAVAILABLE, retry_after_seconds=20),
        "answers nothing but 503, Retry-After 20",
    ),
    "endpoint-hang": _sick_endpoint(Fault(Behaviour.HANG), "never answers in time"),
    "odd-headers": _profile(
        "0.5 % of the 200 answers say X-RateLimit-Remaining: 0, X-RateLimit-Reset: 40",
        Behaviour.NOTHING_LEFT,
        share=0.005,
    ),
    "two-minds": Profile(
        "half of the answers bear another correlator than their requests",
        (FaultRule(Fault(Behaviour.OWN_CORRELATOR), 0.5, of=Of.REQUESTS),),
    ),
    "compressed": _profile(
        "honest answers come compressed, though identity was asked for",
        Behaviour.COMPRESSED,
        share=1.0,
    ),
    "slow": Profile(
        "a median of 0.8 s with a long tail",
        latency=Latency(seconds=0.8, sigma=0.6),
    ),
    "malformed": _profile(
        "5 % of the 200 answers cannot be read",
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
    "patchy": Profile(
        "one lookup in seven is refused for good: 404, 403, 422, 400",
        _rules(Behaviour.NOT_FOUND, share=0.10)
        + _rules(Behaviour.FORBIDDEN, share=0.03)
        + _rules(Behaviour.NOT_APPLICABLE, Behaviour.INVALID, share=0.01),
    ),
    "odd-dates": _profile(
        "a fifth of the dates are empty or carry an offset",
        Behaviour.EMPTY_DATE,
        Behaviour.OFFSET_DATE,
        share=0.1,
    ),
    "future-dates": _profile(
        "one date in twenty lies a century ahead", Behaviour.FUTURE_DATE, share=0.05
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
    "all-400": _profile("every number is invalid", Behaviour.INVALID),
    "all-401": _profile("no key is good", Behaviour.UNAUTHENTICATED),
    "all-402": _profile("the balance is used up", Behaviour.PAYMENT_REQUIRED),
    "all-403": _profile("the entitlement is missing", Behaviour.FORBIDDEN),
    "all-404": _profile("the paths have moved", Behaviour.NOT_FOUND),
    "all-408": _profile("every request took too long", Behaviour.REQUEST_TIMEOUT),
    "all-429": _profile("every request is refused for the rate", Behaviour.RATE_LIMITED),
    "all-500": _profile("the server is broken", Behaviour.SERVER_ERROR),
    "all-503": _profile("the server is down", Behaviour.UNAVAILABLE),
    "all-hang": _profile("nothing is answered in time", Behaviour.HANG),
    "all-redirect": _profile("the address has moved", Behaviour.REDIRECT),
    "all-reset": _profile("every connection is reset", Behaviour.RESET),
    "all-unreadable": _profile("a captive portal answers for the API", Behaviour.HTML_200),
}


class FaultChoice:
    """Chooses the fault of a request; a lookup gets the same faults every time."""

    def __init__(self, seed: int, rules: Sequence[FaultRule]) -> None:
        self._seed = seed
        self._rules = sorted(rules, key=lambda rule: rule.share < 1)  # for every lookup first

    def fault(self, question: Question, times_asked: int) -> Fault | None:
        """The fault of this request, if any; it is the ``times_asked``-th for its lookup.

        A rule for every lookup beats the magic numbers, and those beat rules for a share;
        but what is harmless gives way, so that not all is well where all is compressed.
        """
        faults = [rule.fault for rule in self._rules if self._meets(rule, question, times_asked)]
        if question.number in MAGIC_NUMBERS:
            faults.append(MAGIC_NUMBERS[question.number])
        met = (fault for fault in faults if times_asked == 1 or not fault.once)
        return min(met, key=lambda fault: fault.behaviour in HARMLESS, default=None)

    def _meets(self, rule: FaultRule, question: Question, times_asked: int) -> bool:
        if rule.endpoint not in (None, question.endpoint):
            return False
        # Only a rule for every lookup takes a magic number's own behaviour from it.
        if rule.share >= 1 or is_magic(question.number):
            return rule.share >= 1
        match rule.of:
            case Of.NUMBERS:
                drawn = question.number
            case Of.LOOKUPS:
                drawn = f"{question.endpoint} {question.number}"
            case Of.REQUESTS:
                drawn = f"{question.endpoint} {question.number} {times_asked}"
        # With the behaviour in it: two rules of one share meet different lookups.
        return draws(self._seed, "faults", f"{rule.fault.behaviour} {drawn}")[0] < rule.share


class Outages:
    """The current outage, by request; requests and seconds count from its creation.

    An outage begins with the first request at which it is due.
    """

    def __init__(self, planned: Sequence[ScriptedOutage]) -> None:
        self._planned = planned
        self._requests = 0
        self._first_at = 0.0
        self._began: dict[int, float] = {}

    def meet(self, now_seconds: float) -> tuple[ScriptedOutage, float] | None:
        """The first outage active at this request, and the seconds it has left."""
        self._requests += 1
        if self._requests == 1:
            self._first_at = now_seconds
        for index, outage in enumerate(self._planned):
            if outage.after_requests is None:
                is_due = now_seconds - self._first_at >= (outage.at_seconds or 0)
            else:
                is_due = self._requests > outage.after_requests
            if is_due:
                self._began.setdefault(index, now_seconds)
        for index, began in sorted(self._began.items()):
            left = began + self._planned[index].lasting_seconds - now_seconds
            if left > 0:
                return self._planned[index], left
        return None
