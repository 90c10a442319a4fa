"""Account-level errors (401, 402, empty quota): held back until another number confirms them.

A refused key (401), an empty balance (402) or quota (429 QUOTA_EXCEEDED) stops everything, so the
word of one answer is not enough: gateways say 401 for a number that they may not speak of, too.
While one is open, nothing is asked but one request at a time for another number, until an answer
to a later attempt decides: another of the kind stops the run, any other clears it.
"""

from __future__ import annotations

from collections.abc import Collection

from batch_screen.engine.retry import FAILURES, account_error
from batch_screen.engine.tasks import Result, Task
from batch_screen.model import Answer, Endpoint, OutcomeKind


class Accusations:
    """Account-level errors not confirmed yet. With several ``endpoints``, two must agree."""

    def __init__(self, endpoints: Collection[Endpoint]) -> None:
        self._are_several = self._several = len(endpoints) > 1
        self._was_served = False
        self._open: list[Result] = []
        self._last_served = 0

    @property
    def has_passed(self) -> bool:
        """Whether the account was ever served in this run."""
        return self._was_served or self._last_served > 0

    @property
    def is_open(self) -> bool:
        """Whether an accusation is undecided."""
        return bool(self._open)

    def known_good(self) -> None:
        """Notes that an earlier session of the run was served."""
        self._was_served = True

    def accuse(self, result: Result) -> bool:
        """Adds such an answer; returns whether it stays open: a later good answer clears it.

        Raises the error that stops the run where it bears others out.
        """
        if result.sent.places.of_all < self._last_served:
            return False
        self._open.append(result)
        if self._is_borne_out() and (error := account_error(result.answer)):
            if len({each.task.lookup.endpoint for each in self._open}) == 1:
                raise type(error)(f"at {result.task.lookup.endpoint} {error}")
            raise error
        return True

    def _is_borne_out(self) -> bool:
        numbers = {held.task.lookup.e164 for held in self._open}
        endpoints = {held.task.lookup.endpoint for held in self._open}
        # One endpoint may not be part of what the account has bought, which is no dead key.
        # Amid good answers one more: two odd numbers may stand side by side.
        enough = 3 if self.has_passed else 2
        return len(numbers) >= enough and (len(endpoints) > 1 or not self._several)

    def is_witness(self, task: Task) -> bool:
        """Whether the answer to this task would decide."""
        lookup = task.lookup
        if any(held.task.lookup.e164 == lookup.e164 for held in self._open):
            return False
        first = self._open[0].task.lookup.endpoint
        same = all(held.task.lookup.endpoint is first for held in self._open)
        return not (self._several and same and lookup.endpoint is first)

    def no_other_endpoint(self) -> None:
        """No task at another endpoint is left: another number at the same endpoint must decide."""
        self._several = False

    def clear(self, answer: Answer, place: int) -> list[Result]:
        """Removes and returns the errors that a good answer to attempt ``place`` clears."""
        if answer.kind in FAILURES or answer.kind is OutcomeKind.RATE_LIMITED:
            return []
        self._last_served = max(self._last_served, place)
        if not self._open:
            return []
        cleared = [held for held in self._open if held.sent.places.of_all < place]
        self._open = [held for held in self._open if held.sent.places.of_all >= place]
        if not self._open:
            self._several = self._are_several
        return cleared

    def take(self) -> list[Result]:
        """Removes and returns the open accusations."""
        taken, self._open = self._open, []
        self._several = self._are_several
        return taken
