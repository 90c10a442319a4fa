"""Every setting as one frozen, typed value; config.toml at the root explains them all.

Two kinds of setting: those that can change an outcome or an output row are part of a run's
identity, those that only change its pace are not (``Settings.identity``).
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from batch_screen.config.cohorts import Cohorts
from batch_screen.config.guards import Guards
from batch_screen.config.logging import Logging
from batch_screen.config.metrics import Metrics
from batch_screen.config.output import Output
from batch_screen.config.pings import Pings
from batch_screen.config.planner import Planner
from batch_screen.config.section import NotNegative, Positive, Section
from batch_screen.config.values import (
    HOURS,
    address,
    clock_time,
    duration,
    hours,
    is_loopback,
    list_of,
    names_or_all,
    table_of,
    zone,
)
from batch_screen.model import LONGEST_WINDOW_MINUTES, Endpoint

RegionCode = Annotated[str, Field(pattern=r"^([A-Z]{2})?$")]


_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_REGION = re.compile(r"[A-Z]{2}|001")
_REGION_ALIASES = {"UK": "GB"}


class Dialect(StrEnum):
    """Which of the vendor's two published sets of paths the server speaks."""

    PAGE = "v1.0.0"
    LATER = "2026-04"


class Strictness(StrEnum):
    """How sure a number must be before it is asked about: libphonenumber's degrees."""

    POSSIBLE = "possible"
    VALID = "valid"
    MOBILE = "mobile"


class Ambiguous(StrEnum):
    """What to do with digits that read as two different numbers."""

    SAFE = "safe"
    NATIONAL = "national"
    INTERNATIONAL = "international"


class MaxAge(StrEnum):
    """How far back the swap checks look."""

    FIXED = ""
    SINCE_LAST_RUN = "since-last-run"


class BeyondWindow(StrEnum):
    """What to do where the last observation lies further back than a check can look."""

    ASK_DATE = "ask-date"
    REPORT_GAP = "report-gap"


class Api(Section):
    """The API's address and how to talk to it."""

    base_url: str = "https://api.tyntec.com/network-signal/v1"
    dialect: Dialect = Dialect.PAGE
    paths: dict[Endpoint, str] = Field(default={})
    timeout_seconds: Positive = 15.0
    connect_timeout_seconds: Positive = 5.0
    proxy: str = ""
    trust_environment_proxies: bool = False
    ca_file: str = ""
    key_file: str = ""

    @field_validator("base_url")
    @classmethod
    def _is_plain_url(cls, value: str) -> str:
        parts = address(value)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must hold no user, password, query or fragment")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ValueError("must be https://: the key and the numbers would travel unencrypted")
        return value.rstrip("/")

    @field_validator("proxy")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value:
            address(value)
        return value

    @field_validator("paths", mode="before")
    @classmethod
    def _decode(cls, value: Any) -> Any:
        return table_of(value)

    @field_validator("paths")
    @classmethod
    def _are_paths(cls, value: dict[Endpoint, str]) -> dict[Endpoint, str]:
        for endpoint, path in value.items():
            if not path.startswith("/") or any(c in path for c in "?#\r\n "):
                raise ValueError(f"the path of {endpoint} must start with / and hold no query")
        return value


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


class Input(Section):
    """How to read the lists of numbers."""

    phone_column: str = ""
    region_column: str = ""
    default_region: RegionCode = ""
    keep_columns: tuple[str, ...] = ()
    has_header: bool = True
    delimiter: str = ""
    encoding: str = ""
    max_unpacked_gib: Positive = 64.0
    max_unpacking_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 200.0

    @field_validator("keep_columns", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(names_or_all(value))

    @field_validator("default_region", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        value = {"tab": "\t", "\\t": "\t"}.get(value, value)
        if value not in ("", ",", ";", "\t", "|"):
            raise ValueError("must be one of , ; | tab, or empty to find out")
        return value


class Numbers(Section):
    """Which cells count as a phone number."""

    strictness: Strictness = Strictness.VALID
    ambiguous: Ambiguous = Ambiguous.SAFE
    double_zero_is_plus: bool = False
    vanity_letters: bool = False
    test_numbers: tuple[str, ...] = ()
    allowed_regions: tuple[str, ...] = ()
    denied_regions: tuple[str, ...] = ()
    opt_out_file: str = ""

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
        codes = [code.upper() for code in list_of(value)]
        for code in codes:
            if not _REGION.fullmatch(code):
                raise ValueError(f"'{code[:20]}' is neither a two-letter code such as DE nor 001")
        # One order for every run: to allow FR,DE is the same run as DE,FR.
        return tuple(sorted({_REGION_ALIASES.get(code, code) for code in codes}))

    @model_validator(mode="after")
    def _contradict_nowhere(self) -> Self:
        if both := sorted({*self.allowed_regions} & {*self.denied_regions}):
            raise ValueError(f"allowed_regions and denied_regions both name {both[0]}")
        return self


class Pacing(Section):
    """How fast to ask."""

    rate_per_second: Positive = 10.0
    rate_per_second_by_endpoint: dict[Endpoint, Positive] = Field(default={})
    headroom: Annotated[float, Field(ge=0, lt=1)] = 0.02
    ramp_up_seconds: NotNegative = 5.0
    max_concurrency: Annotated[int, Field(ge=1, le=10_000)] = 256
    max_retry_after_seconds: Positive = 900.0

    @field_validator("rate_per_second_by_endpoint", mode="before")
    @classmethod
    def _decode(cls, value: Any) -> Any:
        return table_of(value)


class Schedule(Section):
    """When to ask, by the clock on a wall."""

    timezone: str = "UTC"
    stop_at: str = ""
    rate_per_second_by_hour: dict[str, NotNegative] = Field(default={})

    @field_validator("timezone")
    @classmethod
    def _exists(cls, value: str) -> str:
        zone(value)
        return value

    @field_validator("stop_at")
    @classmethod
    def _is_time(cls, value: str) -> str:
        if value:
            clock_time(value)
        return value

    @field_validator("rate_per_second_by_hour", mode="before")
    @classmethod
    def _decode(cls, value: Any) -> Any:
        return table_of(value)

    @field_validator("rate_per_second_by_hour")
    @classmethod
    def _are_hours(cls, value: dict[str, float]) -> dict[str, float]:
        taken: dict[int, str] = {}
        for text in value:
            for hour in hours(text):
                if hour in taken:
                    raise ValueError(f"'{taken[hour]}' and '{text}' share an hour")
                taken[hour] = text
        if len(taken) == HOURS and not any(value.values()):
            raise ValueError("allows nothing at any hour")
        return value


class Budget(Section):
    """How much may be spent before the run stops, to be resumed; 0: no bound."""

    max_requests: Annotated[int, Field(ge=0)] = 0
    max_cost: NotNegative = 0.0
    max_duration_seconds: NotNegative = 0.0

    @field_validator("max_duration_seconds", mode="before")
    @classmethod
    def _in_seconds(cls, value: Any) -> Any:
        return duration(value) if isinstance(value, str) else value


class Retry(Section):
    """How often to ask again after an answer that may pass."""

    max_attempts: Annotated[int, Field(ge=1, le=20)] = 4
    base_delay_seconds: Positive = 0.5
    max_delay_seconds: Positive = 30.0
    max_refusals: Annotated[int, Field(ge=1)] = 50


class Prices(Section):
    """What one request costs by contract; zero where you do not want a cost."""

    currency: str = "EUR"
    per_request: dict[Endpoint, NotNegative] = Field(default={})

    @field_validator("per_request", mode="before")
    @classmethod
    def _decode(cls, value: Any) -> Any:
        return table_of(value)


class Settings(Section):
    """All settings; ``identity`` is the part that can change an outcome or a row."""

    api: Api = Api()
    screening: Screening = Screening()
    planner: Planner = Planner()
    input: Input = Input()
    numbers: Numbers = Numbers()
    pacing: Pacing = Pacing()
    retry: Retry = Retry()
    schedule: Schedule = Schedule()
    budget: Budget = Budget()
    guards: Guards = Guards()
    output: Output = Output()
    prices: Prices = Prices()
    logging: Logging = Logging()
    metrics: Metrics = Metrics()
    pings: Pings = Pings()
    cohorts: Cohorts = Cohorts()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.input.region_column and self.input.region_column == self.input.phone_column:
            raise ValueError("input.region_column and input.phone_column name the same column")
        self.planner.refuse_deadlock(self.screening.endpoints, self.dates_beyond)
        return self

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints of the run's lookups: those named, and dates that may be needed."""
        named = self.screening.endpoints
        return tuple(e for e in Endpoint if e in named or e in self.dates_beyond)

    @property
    def dates_beyond(self) -> tuple[Endpoint, ...]:
        """The dates that are asked where a check's window cannot reach back far enough."""
        checks = self.screening.endpoints if self.screening.asks_dates_beyond else ()
        return tuple(e.date for e in checks if e.takes_max_age and e.date)

    def identity(self) -> dict[str, Any]:
        """The settings that belong to a run's identity, as flat JSON values by dotted name.

        Of ``OPT_OUT_FILE`` it is the content that counts: whoever can read it puts its digest
        in the place of its path.
        """
        dumped = self.model_dump(mode="json")
        api = {name: dumped["api"][name] for name in ("base_url", "dialect", "paths")}
        sections = {"api": api, **{name: dumped[name] for name in _IDENTITY_SECTIONS}}
        flat = {
            f"{s}.{name}": value for s, fields in sections.items() for name, value in fields.items()
        }
        for name in _ONLY_PROTECTS:
            del flat[name]
        # How rows are cut into shards decides which files a resume finds.
        flat["output.shard_lookups"] = self.output.shard_lookups
        return flat


OPT_OUT_FILE = "numbers.opt_out_file"
_IDENTITY_SECTIONS = ("screening", "planner", "input", "numbers", "cohorts")
# They refuse a file or let it pass, and change no row of it.
_ONLY_PROTECTS = ("input.max_unpacked_gib", "input.max_unpacking_ratio")
