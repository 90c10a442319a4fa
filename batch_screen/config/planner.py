"""The settings of what need not be asked: derived, reused from earlier runs, or not of interest."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any

from pydantic import Field, field_validator

from batch_screen.config.section import Section
from batch_screen.config.values import table_of
from batch_screen.model import Endpoint

_LONGEST_REUSE_MINUTES = 366 * 1440


class Planner(Section):
    """How to ask less for the same answer. By default everything is asked."""

    derive_checks: bool = False
    look_back_days: Annotated[int, Field(ge=1, le=3650)] = 35
    reuse_within_minutes: dict[Endpoint, Annotated[int, Field(ge=1, le=_LONGEST_REUSE_MINUTES)]] = (
        Field(default={})
    )
    only_where_changed: dict[Endpoint, Endpoint] = Field(default={})

    @field_validator("reuse_within_minutes", mode="before")
    @classmethod
    def _one_for_all(cls, value: Any) -> Any:
        found = table_of(value)
        if isinstance(found, int) and not isinstance(found, bool):
            return {e: found for e in Endpoint if e is not Endpoint.CALL_FORWARDING_CHECK}
        return found

    @field_validator("reuse_within_minutes")
    @classmethod
    def _never_of_this_instant(cls, value: dict[Endpoint, int]) -> dict[Endpoint, int]:
        if Endpoint.CALL_FORWARDING_CHECK in value:
            raise ValueError(
                "call-forwarding/check is true of one instant only, so it is never reused"
            )
        return value

    @field_validator("only_where_changed", mode="before")
    @classmethod
    def _decode(cls, value: Any) -> Any:
        return table_of(value)

    @field_validator("only_where_changed")
    @classmethod
    def _has_one_link(cls, value: dict[Endpoint, Endpoint]) -> dict[Endpoint, Endpoint]:
        for endpoint, first in value.items():
            if first in value:
                raise ValueError(
                    f"{endpoint} waits for {first}, which may not be asked itself; name the "
                    "endpoint that is always asked"
                )
        return value

    def refuse_deadlock(self, named: Sequence[Endpoint], beyond: Sequence[Endpoint]) -> None:
        """Raises ``ValueError`` where an endpoint would wait for one that is not asked, or itself.

        ``named`` are the endpoints to ask; ``beyond`` the dates that checks may wait for.
        """
        waits: dict[Endpoint, set[Endpoint]] = {endpoint: set() for endpoint in named}
        for endpoint, first in self.only_where_changed.items():
            if endpoint in waits and first not in waits:
                raise ValueError(
                    f"planner.only_where_changed: {endpoint} waits for {first}, which is not among "
                    "screening.endpoints; add it there"
                )
            if endpoint in waits:
                waits[endpoint].add(first)
        for date in (e for e in Endpoint if e.answers_date and e.check in waits):
            if date in beyond or (self.derive_checks and date in waits):
                waits[date.check].add(date)
        try:
            TopologicalSorter(waits).prepare()
        except CycleError as error:
            circle = " waits for ".join(reversed(error.args[1]))
            raise ValueError(f"planner.only_where_changed makes a circle: {circle}") from None
