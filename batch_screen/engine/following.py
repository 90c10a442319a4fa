"""Numbers whose lookups wait for each other: what an outcome makes possible comes next.

Kept are only those that still wait for something: as many as are being asked.
"""

from __future__ import annotations

from batch_screen.engine.deciding import (
    Decision,
    Number,
    Rules,
    decide,
    dependents,
    last_observed_at,
)
from batch_screen.engine.seams import Clock, utc_now
from batch_screen.engine.task import Task
from batch_screen.engine.windows import aimed
from batch_screen.model import Endpoint, Lookup, Outcome


class Following:
    """Decides about numbers, again with each outcome of theirs that is saved."""

    def __init__(self, rules: Rules, clock: Clock = utc_now) -> None:
        self._rules = rules
        self._now = clock
        self._waiting: dict[str, Number] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether an outcome may make more possible."""
        return bool(self._waiting)

    def begin(self, number: Number) -> Decision:
        """What can be done for the number now; the rest is told as its outcomes are saved."""
        decision = decide(self._rules, number, self._now())
        if not self._is_decided(number):
            self._waiting[number.e164] = number
        return decision

    def learn(self, outcome: Outcome) -> tuple[Number, Decision] | None:
        """What a saved outcome makes possible; None: nobody waits for it."""
        number = self._waiting.get(outcome.e164)
        if number is None:
            return None
        number.outcomes[outcome.endpoint] = outcome
        decision = decide(self._rules, number, self._now())
        if self._is_decided(number):
            del self._waiting[number.e164]
        return number, decision

    def forget(self, e164: str, endpoint: Endpoint) -> int:
        """There will be no outcome of this endpoint; says how many lookups waited for it."""
        number = self._waiting.get(e164)
        if number is None:
            return 0
        known = number.outcomes.keys() | number.begun
        lost = dependents(self._rules, endpoint) - known
        number.begun |= lost  # they are not asked in this start
        if self._is_decided(number):
            del self._waiting[e164]
        return len(lost)

    def task(self, number: Number, endpoint: Endpoint) -> Task:
        """The lookup to ask, with the window that it needs by now."""
        rules = self._rules
        window = rules.window_minutes if endpoint.takes_max_age else None
        lookup = Lookup(number.e164, endpoint, window)
        observed = last_observed_at(rules, number.past, endpoint)
        if observed is not None:
            lookup = aimed(lookup, observed, self._now(), rules.margin_minutes)
        return Task(number.shard, lookup, last_observed_at=observed)

    def _is_decided(self, number: Number) -> bool:
        return all(e in number.outcomes or e in number.begun for e in self._rules.endpoints)
