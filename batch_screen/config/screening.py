"""Sections of the settings: input, numbers, endpoints to ask, planner, cohorts.

Those about the world outside stand in ``sections``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from batch_screen.config.parsing import list_of, names_or_all, region_code, table_of
from batch_screen.config.sections import Positive, ReadPath, Section, Table
from batch_screen.model import LONGEST_WINDOW_MINUTES, Endpoint

# The settings of what is asked about each number, and how far back.


class MaxAge(StrEnum):
    """How far back the swap checks look."""

    FIXED = ""
    SINCE_LAST_RUN = "since-last-run"


class BeyondWindow(StrEnum):
    """What to do if the last observation lies beyond a check's longest window."""

    ASK_DATE = "ask-date"
    REPORT_GAP = "report-gap"


class Unfinished(StrEnum):
    """What a start without a date does that finds a run of the same list unfinished."""

    RESUME = "resume"
    NEW = "new"
    STOP = "stop"


class Screening(Section):
    """What to ask about each number."""

    endpoints: tuple[Endpoint, ...] = (Endpoint.SIM_SWAP_CHECK,)
    max_age_minutes: Annotated[int, Field(ge=1, le=LONGEST_WINDOW_MINUTES)] = 2400
    max_age: MaxAge = MaxAge.FIXED
    max_age_margin_minutes: Annotated[int, Field(ge=1, le=1200)] = 60
    beyond_window: BeyondWindow = BeyondWindow.ASK_DATE
    unfinished: Unfinished = Unfinished.RESUME

    @property
    def reaches_back(self) -> bool:
        """Whether windows reach back to a number's last observation."""
        return self.max_age is MaxAge.SINCE_LAST_RUN

    @property
    def asks_dates_beyond(self) -> bool:
        """Whether the date endpoint is asked where a window cannot reach back far enough."""
        return self.reaches_back and self.beyond_window is BeyondWindow.ASK_DATE

    @property
    def dates_beyond(self) -> tuple[Endpoint, ...]:
        """The date endpoints asked where a check's window cannot reach back far enough."""
        checks = self.endpoints if self.asks_dates_beyond else ()
        return tuple(e.date for e in checks if e.takes_max_age and e.date)

    @property
    def lookup_endpoints(self) -> tuple[Endpoint, ...]:
        """The named endpoints, and date endpoints that may be needed."""
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


# The settings of what need not be asked: derived, reused from earlier runs, or not of interest.

_LONGEST_REUSE_MINUTES = 366 * 1440


class Planner(Section):
    """Rules that save requests. By default everything is asked."""

    derive_checks: bool = False
    look_back_days: Annotated[int, Field(ge=1, le=3650)] = 35
    reuse_within_minutes: dict[Endpoint, Annotated[int, Field(ge=1, le=_LONGEST_REUSE_MINUTES)]] = (
        Field(default={})
    )
    only_where_changed: Annotated[dict[Endpoint, Endpoint], Table] = Field(default={})

    @field_validator("reuse_within_minutes", mode="before")
    @classmethod
    def _one_for_all(cls, value: Any) -> Any:
        found = table_of(value)
        if isinstance(found, int) and not isinstance(found, bool):
            return {e: found for e in Endpoint if e is not Endpoint.CALL_FORWARDING_CHECK}
        return found

    @field_validator("reuse_within_minutes")
    @classmethod
    def _refuse_call_forwarding(cls, value: dict[Endpoint, int]) -> dict[Endpoint, int]:
        if Endpoint.CALL_FORWARDING_CHECK in value:
            raise ValueError(
                "call-forwarding/check is true of one instant only, so it is never reused"
            )
        return value

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
        """Raises ``ValueError`` if an endpoint depends on itself or on one that is not asked.

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


# The settings of which cells count as a phone number, and whose are asked about.

OPT_OUT_FILE = "numbers.opt_out_file"
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


class Strictness(StrEnum):
    """How sure a number must be before it is asked about: libphonenumber's degrees."""

    POSSIBLE = "possible"
    VALID = "valid"
    MOBILE = "mobile"


class Ambiguous(StrEnum):
    """How to read digits without a + that could be two different numbers.

    ``by_list``: as the list's own rows are written, where enough of them agree; ``safe``: not at
    all, they are rejected.
    """

    BY_LIST = "by_list"
    SAFE = "safe"
    NATIONAL = "national"
    INTERNATIONAL = "international"


class Numbers(Section):
    """Which cells count as a phone number."""

    strictness: Strictness = Strictness.VALID
    ambiguous: Ambiguous = Ambiguous.BY_LIST
    double_zero_is_plus: bool = False
    vanity_letters: bool = False
    test_numbers: tuple[str, ...] = ()
    allowed_regions: tuple[str, ...] = ()
    denied_regions: tuple[str, ...] = ()
    opt_out_file: ReadPath = ""

    @field_validator("test_numbers", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return value.replace(",", " ").split() if isinstance(value, str) else value

    @field_validator("test_numbers")
    @classmethod
    def _are_e164(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_E164.fullmatch(number) for number in value):
            raise ValueError("every test number must be written as + and 7 to 15 digits")
        return value

    @field_validator("allowed_regions", "denied_regions", mode="before")
    @classmethod
    def _are_regions(cls, value: Any) -> Any:
        # One order for every run: to allow FR,DE is the same run as DE,FR.
        return tuple(sorted({region_code(code) for code in list_of(value)}))

    @model_validator(mode="after")
    def _are_disjoint(self) -> Self:
        if both := sorted({*self.allowed_regions} & {*self.denied_regions}):
            raise ValueError(f"allowed_regions and denied_regions both name {both[0]}")
        return self


# The settings of how lists are read.


class QuoteEscape(StrEnum):
    """How quotes inside a quoted cell are written: twice, or behind a backslash."""

    FOUND = ""
    DOUBLED = "doubled"
    BACKSLASH = "backslash"


def is_delimiter(text: str) -> bool:
    """Whether one character can stand between cells: none of those that numbers are made of."""
    return len(text) == 1 and not text.isalnum() and text not in "\0\r\n \"'\\+"


class Input(Section):
    """How to read the lists of numbers."""

    phone_column: str = ""
    region_column: str = ""
    default_region: str = ""
    keep_columns: tuple[str, ...] = ()
    has_header: bool = True
    delimiter: str = ""
    quote_escape: QuoteEscape = QuoteEscape.FOUND
    skip_lines: Annotated[int, Field(ge=0, le=10_000)] = 0
    sheet: str = ""
    encoding: str = ""
    max_unpacked_gib: Positive = 64.0
    max_unpacking_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 200.0

    @field_validator("phone_column", mode="before")
    @classmethod
    def _joined(cls, value: Any) -> Any:
        # One text for every spelling: which commas are a name's own, the file says.
        return ",".join(list_of(value))

    @field_validator("keep_columns", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(names_or_all(value))

    @field_validator("default_region", mode="before")
    @classmethod
    def _is_region(cls, value: Any) -> Any:
        if isinstance(value, str) and not re.fullmatch(r"([A-Za-z]{2})?", value):
            raise ValueError("must be a two-letter code such as DE")
        return value.upper() if isinstance(value, str) else value

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        value = {"tab": "\t", "\\t": "\t", "\\x01": "\x01"}.get(value, value)
        if value and not is_delimiter(value):
            raise ValueError(
                "must be one character such as , ; | ^ ~, or tab, and none that numbers are made "
                "of; empty to find out"
            )
        return value


# The settings of the cohort guard: when a rise over a whole block or country is marked.
#
# They change rows of the change feed, so they belong to a run's identity.


class Cohorts(Section):
    """The bounds from which many new positives count as a migration rather than fraud."""

    min_numbers: Annotated[int, Field(ge=1)] = 50
    min_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    min_rise: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 5.0
