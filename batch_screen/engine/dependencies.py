"""Dependencies between a number's lookups: which to ask now, derive, reuse, or put off.

Pure: it follows from the rules, from what earlier runs know of the number, from its outcomes
so far, and from the time. What is unknown is never taken for unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

import msgspec

from batch_screen.config.settings import Settings
from batch_screen.model import (
    LONGEST_WINDOW_MINUTES,
    NOT_NEEDED,
    AnswerSource,
    Endpoint,
    LatestChange,
    Lookup,
    Outcome,
    OutcomeKind,
)

# How far back a check looks, so that nothing is left out since the last observation: in whole
# minutes, begun ones counted, and with a margin, because clocks differ and a request takes seconds.
_MINUTE = timedelta(minutes=1)


def wanted_minutes(last_observed_at: datetime, now: datetime, margin_minutes: int) -> int:
    """Minutes back to the last observation, with the margin; at least 1.

    >>> from datetime import UTC
    >>> wanted_minutes(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC), 60)
    1500
    """
    begun = -((last_observed_at - now) // _MINUTE)  # // rounds down, so the negative rounds up
    return max(1, begun + margin_minutes)


def is_beyond(last_observed_at: datetime, now: datetime, margin_minutes: int) -> bool:
    """Whether the last observation lies beyond the API's longest window."""
    return wanted_minutes(last_observed_at, now, margin_minutes) > LONGEST_WINDOW_MINUTES


def aimed(lookup: Lookup, last_observed_at: datetime, now: datetime, margin: int) -> Lookup:
    """The lookup with its window as of now: a run may last for hours."""
    minutes = wanted_minutes(last_observed_at, now, margin)
    return Lookup(lookup.e164, lookup.endpoint, min(minutes, LONGEST_WINDOW_MINUTES))


class Rules(msgspec.Struct, frozen=True):
    """The planner's rules, from the settings.

    ``endpoints`` are those of the run's lookups; ``joined`` are dates among them that nobody
    has named and that are asked only where a window cannot reach back far enough.
    """

    endpoints: tuple[Endpoint, ...]
    joined: frozenset[Endpoint] = frozenset()
    derives: bool = False
    only_where_changed: Mapping[Endpoint, Endpoint] = {}
    window_minutes: int = 2400
    reaches_back: bool = False
    asks_dates_beyond: bool = False
    margin_minutes: int = 60
    reuses: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether every lookup is simply asked."""
        return not (self.derives or self.only_where_changed or self.reaches_back or self.reuses)


def rules_of(settings: Settings) -> Rules:
    """The rules of these settings; those that can never apply are left out."""
    screening, planner = settings.screening, settings.planner
    named = screening.endpoints
    return Rules(
        endpoints=settings.endpoints,
        joined=frozenset(settings.endpoints) - frozenset(named),
        derives=planner.derive_checks and any(e.answers_date and e.check in named for e in named),
        only_where_changed={e: f for e, f in planner.only_where_changed.items() if e in named},
        window_minutes=screening.max_age_minutes,
        reaches_back=screening.reaches_back,
        asks_dates_beyond=screening.asks_dates_beyond,
        margin_minutes=screening.max_age_margin_minutes,
        reuses=bool(planner.reuse_within_minutes),
    )


class EarlierAnswers(msgspec.Struct, frozen=True):
    """What earlier runs observed about a number.

    ``observed_at``: check → until when its signal was observed; ``reusable``: endpoint → an
    outcome that may be had without asking.
    """

    observed_at: Mapping[Endpoint, datetime] = {}
    reusable: Mapping[Endpoint, Outcome] = {}


NOBODY_ASKED = EarlierAnswers()


class Number(msgspec.Struct):
    """A number in progress: its saved outcomes, and the endpoints being asked."""

    shard: int
    e164: str
    past: EarlierAnswers = NOBODY_ASKED
    outcomes: dict[Endpoint, Outcome] = msgspec.field(default_factory=dict)
    begun: set[Endpoint] = msgspec.field(default_factory=set)


class Decision(NamedTuple):
    """The endpoints to ask now, and the outcomes that need no request."""

    ask: list[Endpoint]
    write: list[Outcome]


class _Step(Enum):
    ASK = 1
    WAIT = 2


def decide(rules: Rules, number: Number, now: datetime) -> Decision:
    """Decides what can be done now for a number, and marks it as begun."""
    decision = Decision([], [])
    for endpoint in rules.endpoints:
        if endpoint in number.outcomes or endpoint in number.begun:
            continue
        step = _step(rules, number, endpoint, now)
        if isinstance(step, Outcome):
            decision.write.append(step)
            number.begun.add(endpoint)
        elif step is _Step.ASK:
            decision.ask.append(endpoint)
            number.begun.add(endpoint)
    return decision


def dependents(rules: Rules, endpoint: Endpoint) -> set[Endpoint]:
    """The endpoints that may depend on this one's outcome, directly or indirectly."""
    found = {endpoint}  # grows until nothing waits for any of them: chains may be long
    while more := {e for e in rules.endpoints for first in found if _may_wait(rules, e, first)} - (
        found
    ):
        found |= more
    return found - {endpoint}


def _may_wait(rules: Rules, endpoint: Endpoint, first: Endpoint) -> bool:
    if rules.only_where_changed.get(endpoint) is first:
        return True
    if endpoint in rules.joined and endpoint.check is first:
        return True
    waits_for_date = endpoint.takes_max_age and endpoint.date is first
    return waits_for_date and (rules.derives or rules.asks_dates_beyond)


def last_observed_at(rules: Rules, past: EarlierAnswers, endpoint: Endpoint) -> datetime | None:
    """When earlier runs last observed what a check asks about; None without a window."""
    is_of_interest = rules.reaches_back and endpoint.takes_max_age
    return past.observed_at.get(endpoint) if is_of_interest else None


def _step(rules: Rules, number: Number, endpoint: Endpoint, now: datetime) -> _Step | Outcome:
    # Had for nothing, so no rule that saves a request has to hold.
    if reused := number.past.reusable.get(endpoint):
        return reused
    if endpoint in rules.joined:
        return _joined(rules, number, endpoint, now)
    if (first := rules.only_where_changed.get(endpoint)) is not None:
        if (found := number.outcomes.get(first)) is None:
            return _Step.WAIT
        if _is_unchanged(rules, number, found):
            return _skipped(number, endpoint, first.unchanged)
    return _from_date(rules, number, endpoint, now) if endpoint.takes_max_age else _Step.ASK


def _from_date(rules: Rules, number: Number, check: Endpoint, now: datetime) -> _Step | Outcome:
    """Derives a check from its date; if the date says nothing, the check is asked."""
    date = check.date
    derives = rules.derives and date in rules.endpoints and date not in rules.joined
    if not derives and not _is_beyond(rules, number, check, now):
        return _Step.ASK
    answer = number.outcomes.get(date) if date else None
    if answer is None:
        return _Step.WAIT
    # A date that was reused knows nothing of today, and none that was reported is no "never".
    is_dated = (
        answer.kind is OutcomeKind.SUCCESS
        and answer.latest_change is LatestChange.REPORTED
        and answer.source is AnswerSource.ASKED
    )
    return _derived(rules, number, check, answer) if is_dated else _Step.ASK


def _joined(rules: Rules, number: Number, date: Endpoint, now: datetime) -> _Step | Outcome:
    """A date endpoint that was not named: asked only where its check needs it."""
    check = date.check
    # Not before: after a pause of days the check's window may no longer reach.
    if check in number.outcomes:
        return _skipped(number, date, NOT_NEEDED)
    if check in number.begun or check in number.past.reusable:
        return _Step.WAIT  # it will have its outcome without the date
    if (first := rules.only_where_changed.get(check)) is not None:
        found = number.outcomes.get(first)
        if found is None or _is_unchanged(rules, number, found):
            return _Step.WAIT
    return _Step.ASK if _is_beyond(rules, number, check, now) else _Step.WAIT


def _is_beyond(rules: Rules, number: Number, check: Endpoint, now: datetime) -> bool:
    observed = last_observed_at(rules, number.past, check)
    # By the time of asking: what still reached when it was planned may not reach any more.
    if observed is None or not rules.asks_dates_beyond:
        return False
    return is_beyond(observed, now, rules.margin_minutes)


def _is_unchanged(rules: Rules, number: Number, found: Outcome) -> bool:
    """Whether a lookup found no change; unknown does not count."""
    if found.kind is not OutcomeKind.SUCCESS:
        return False
    # One of the two is None: which one, says the endpoint.
    if not found.endpoint.answers_date:
        return False in (found.swapped, found.active)
    if found.latest_change_at is None or found.responded_at is None:
        return False  # the API's null is never taken for "never swapped"
    minutes = _window(rules, number, found.endpoint.check, found.responded_at)
    return found.latest_change_at < found.responded_at - timedelta(minutes=minutes)


def _window(rules: Rules, number: Number, check: Endpoint, at: datetime) -> int:
    observed = last_observed_at(rules, number.past, check)
    if observed is None:
        return rules.window_minutes
    return wanted_minutes(observed, at, rules.margin_minutes)


def _derived(rules: Rules, number: Number, check: Endpoint, date: Outcome) -> Outcome:
    """The check's value at the instant of the date's answer."""
    changed_at, at = date.latest_change_at, date.responded_at
    if changed_at is None or at is None:
        raise ValueError("a date that was reported has neither instant nor time")
    minutes = _window(rules, number, check, at)
    return Outcome(
        number.e164,
        check,
        minutes,
        kind=OutcomeKind.SUCCESS,
        swapped=changed_at >= at - timedelta(minutes=minutes),
        responded_at=at,
        source=AnswerSource.DERIVED,
        last_observed_at=last_observed_at(rules, number.past, check),
    )


def _skipped(number: Number, endpoint: Endpoint, reason: str) -> Outcome:
    return Outcome(number.e164, endpoint, kind=OutcomeKind.SKIPPED, reason=reason, source=None)
