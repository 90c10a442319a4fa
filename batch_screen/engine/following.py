"""Follow-up lookups: those that become possible once another of the number is saved.

Kept are only those that still wait for something: as many as are being asked. The decisions are
those of ``dependencies``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import polars as pl

from batch_screen.engine.dependencies import (
    NOBODY_ASKED,
    Decision,
    EarlierAnswers,
    Number,
    Rules,
    aimed,
    decide,
    dependents,
    last_observed_at,
)
from batch_screen.engine.tasks import Clock, Task, utc_now
from batch_screen.model import AnswerSource, Endpoint, LatestChange, Lookup, Outcome, OutcomeKind


class Following:
    """Decides about each number, again after each of its outcomes is saved."""

    def __init__(self, rules: Rules, clock: Clock = utc_now) -> None:
        self._rules = rules
        self._now = clock
        self._waiting: dict[str, Number] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether a number in progress may yet need more lookups."""
        return bool(self._waiting)

    def begin(self, number: Number) -> Decision:
        """Decides for a new number; more may follow as its outcomes are saved."""
        decision = decide(self._rules, number, self._now())
        if not self._is_decided(number):
            self._waiting[number.e164] = number
        return decision

    def learn(self, outcome: Outcome) -> tuple[Number, Decision] | None:
        """What a saved outcome makes possible; None if nothing depends on it."""
        number = self._waiting.get(outcome.e164)
        if number is None:
            return None
        number.outcomes[outcome.endpoint] = outcome
        decision = decide(self._rules, number, self._now())
        if self._is_decided(number):
            del self._waiting[number.e164]
        return number, decision

    def forget(self, e164: str, endpoint: Endpoint) -> int:
        """The endpoint will have no outcome; returns how many lookups depended on it."""
        number = self._waiting.get(e164)
        if number is None:
            return 0
        known = number.outcomes.keys() | number.begun
        lost = dependents(self._rules, endpoint) - known
        number.begun |= lost  # not asked in this session, and a resume decides about them anew
        if self._is_decided(number):
            del self._waiting[e164]
        return len(lost)

    def task(self, number: Number, endpoint: Endpoint) -> Task:
        """The task for a lookup, with its window as of now."""
        rules = self._rules
        window = rules.window_minutes if endpoint.takes_max_age else None
        lookup = Lookup(number.e164, endpoint, window)
        observed = last_observed_at(rules, number.past, endpoint)
        if observed is not None:
            lookup = aimed(lookup, observed, self._now(), rules.margin_minutes)
        return Task(number.shard, lookup, last_observed_at=observed)

    def _is_decided(self, number: Number) -> bool:
        return all(e in number.outcomes or e in number.begun for e in self._rules.endpoints)


def recalled(
    known: pl.DataFrame, numbers: pl.Series, rules: Rules
) -> Iterator[tuple[str, EarlierAnswers]]:
    """Each number with its history, in the order of ``numbers``.

    ``known``, what earlier runs know of a shard, has the columns ``planning.history.KNOWN``.
    """
    places = numbers.alias("e164").to_frame().with_row_index("place")
    rows = known.join(places, on="e164", how="inner").sort("place").iter_rows(named=True)
    groups = groupby(rows, key=itemgetter("place"))
    upcoming = next(groups, None)
    for place, e164 in enumerate(numbers):
        if upcoming is not None and upcoming[0] == place:
            yield e164, _past(list(upcoming[1]), rules)
            upcoming = next(groups, None)
        else:
            yield e164, NOBODY_ASKED


def _past(rows: list[dict[str, Any]], rules: Rules) -> EarlierAnswers:
    observed: dict[Endpoint, datetime] = {}
    reusable: dict[Endpoint, Outcome] = {}
    for row in rows:
        endpoint = Endpoint(row["endpoint"])
        # Whether all that had happened by then was seen: a null date may hide what is too old.
        if not endpoint.answers_date or row["latest_change"] == LatestChange.REPORTED.value:
            at = row["responded_at"]
            observed[endpoint.check] = max(at, observed.get(endpoint.check, at))
        if row["reusable"] and endpoint in rules.endpoints and endpoint not in rules.joined:
            reusable[endpoint] = _reused(endpoint, row)
    return EarlierAnswers(observed, reusable)


def _reused(endpoint: Endpoint, row: dict[str, Any]) -> Outcome:
    said = row["latest_change"]
    return Outcome(
        row["e164"],
        endpoint,
        row["max_age_minutes"],
        kind=OutcomeKind.SUCCESS,
        swapped=row["swapped"],
        latest_change=None if said is None else LatestChange(said),
        latest_change_at=row["latest_change_at"],
        latest_change_raw=row["latest_change_raw"],
        http_status=row["http_status"],
        responded_at=row["responded_at"],
        source=AnswerSource.REUSED,
        source_run_id=row["source_run_id"],
        last_observed_at=row["last_observed_at"],
    )
