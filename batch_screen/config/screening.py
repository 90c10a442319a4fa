"""The settings of what is asked about each number, and how far back."""

from __future__ import annotations

from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, field_validator

from batch_screen.config.section import Section
from batch_screen.config.values import names_or_all
from batch_screen.model import LONGEST_WINDOW_MINUTES, Endpoint


class MaxAge(StrEnum):
    """How far back the swap checks look."""

    FIXED = ""
    SINCE_LAST_RUN = "since-last-run"


class BeyondWindow(StrEnum):
    """What to do where the last observation lies further back than a check can look."""

    ASK_DATE = "ask-date"
    REPORT_GAP = "report-gap"


class Screening(Section):
    """What to ask about each number."""

    endpoints: tuple[Endpoint, ...] = (Endpoint.SIM_SWAP_CHECK,)
    max_age_minutes: Annotated[int, Field(ge=1, le=LONGEST_WINDOW_MINUTES)] = 2400
    max_age: MaxAge = MaxAge.FIXED
    max_age_margin_minutes: Annotated[int, Field(ge=1, le=1200)] = 60
    beyond_window: BeyondWindow = BeyondWindow.ASK_DATE

    @property
    def reaches_back(self) -> bool:
        """Whether windows reach back to a number's last observation."""
        return self.max_age is MaxAge.SINCE_LAST_RUN

    @property
    def asks_dates_beyond(self) -> bool:
        """Whether the date is asked where a window cannot reach back far enough."""
        return self.reaches_back and self.beyond_window is BeyondWindow.ASK_DATE

    @property
    def dates_beyond(self) -> tuple[Endpoint, ...]:
        """The dates that are asked where a check's window cannot reach back far enough."""
        checks = self.endpoints if self.asks_dates_beyond else ()
        return tuple(e.date for e in checks if e.takes_max_age and e.date)

    @property
    def lookup_endpoints(self) -> tuple[Endpoint, ...]:
        """Those named, and dates that may be needed."""
        return tuple(e for e in Endpoint if e in self.endpoints or e in self.dates_beyond)

    @field_validator("endpoints", mode="before")
    @classmethod
    def _all_or_distinct(cls, value: Any) -> Any:
        found = names_or_all(value)
        if found == ["all"]:
            return tuple(Endpoint)
        if not found:
            raise ValueError("name at least one endpoint, or all")
        for name in set(found) - set(Endpoint):
            close = get_close_matches(name, list(Endpoint), n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"there is no endpoint '{name}'{hint}")
        # One order for every run: asking for b,a is the same run as a,b.
        return tuple(e for e in Endpoint if e.value in found)
