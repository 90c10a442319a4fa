"""All settings as one frozen, typed value; config.toml explains each of them.

Two kinds of setting: those that can change an outcome or an output row are part of a run's
identity, those that only change its pace are not (``Settings.identity``).
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from batch_screen.config.parsing import HOURS, clock_time, duration, hours, zone
from batch_screen.config.screening import Cohorts, Input, Numbers, Planner, Screening
from batch_screen.config.sections import (
    Api,
    ByRegion,
    Cluster,
    Guards,
    Logging,
    Metrics,
    NotNegative,
    Output,
    Pings,
    Positive,
    Privacy,
    Section,
    Table,
)
from batch_screen.model import Endpoint

OTHERS = "others"
"""The contract of the numbers whose region has none of its own."""


class Pacing(Section):
    """How fast to ask."""

    rate_per_second: Positive = 10.0
    rate_per_second_by_endpoint: Annotated[dict[Endpoint, Positive], Table] = Field(default={})
    rate_per_second_by_region: Annotated[dict[str, Positive], ByRegion] = Field(default={})
    headroom: Annotated[float, Field(ge=0, lt=1)] = 0.02
    ramp_up_seconds: NotNegative = 5.0
    max_concurrency: Annotated[int, Field(ge=1, le=10_000)] = 256
    max_retry_after_seconds: Positive = 900.0


class Schedule(Section):
    """Rates by hour of day, and when to stop."""

    timezone: str = "UTC"
    stop_at: str = ""
    rate_per_second_by_hour: Annotated[dict[str, NotNegative], Table] = Field(default={})

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
    """What a run may spend before it is stopped; 0: no bound."""

    max_requests: Annotated[int, Field(ge=0)] = 0
    max_cost: NotNegative = 0.0
    max_duration_seconds: NotNegative = 0.0

    @field_validator("max_duration_seconds", mode="before")
    @classmethod
    def _in_seconds(cls, value: Any) -> Any:
        return duration(value) if isinstance(value, str) else value


class Retry(Section):
    """How often a failed attempt is retried."""

    max_attempts: Annotated[int, Field(ge=1, le=20)] = 4
    base_delay_seconds: Positive = 0.5
    max_delay_seconds: Positive = 30.0
    max_refusals: Annotated[int, Field(ge=1)] = 8


class Prices(Section):
    """The contract's price per request; zero if no cost is to be shown."""

    currency: str = "EUR"
    per_request: Annotated[dict[Endpoint, NotNegative], Table] = Field(default={})


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
    cluster: Cluster = Cluster()
    output: Output = Output()
    privacy: Privacy = Privacy()
    prices: Prices = Prices()
    logging: Logging = Logging()
    metrics: Metrics = Metrics()
    pings: Pings = Pings()
    cohorts: Cohorts = Cohorts()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.input.region_column and self.input.region_column == self.input.phone_column:
            raise ValueError("input.region_column and input.phone_column name the same column")
        if self.contracts and self.cluster != Cluster(ray_address=self.cluster.ray_address):
            raise ValueError(
                "workers of [cluster] and contracts by region (pacing.rate_per_second_by_region, "
                "api.keys_by_region) do not go together: one process asks for all contracts"
            )
        self.planner.refuse_deadlock(self.screening.endpoints, self.screening.dates_beyond)
        return self

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints of the run's lookups: the named ones, and dates that may be needed."""
        return self.screening.lookup_endpoints

    @property
    def contracts(self) -> dict[str, float]:
        """The rate of each contract where regions have their own, that of all others last.

        Empty where one contract serves all.
        """
        own, rate = self.pacing.rate_per_second_by_region, self.pacing.rate_per_second
        regions = sorted({*own, *self.api.keys_by_region})
        rates = {region: own.get(region, rate) for region in regions}
        return {**rates, OTHERS: rate} if regions else {}

    def identity(self) -> dict[str, Any]:
        """The settings that belong to a run's identity, as flat JSON values by dotted name.

        Kept columns are among them, though they make no other run: see ``Identity.work``.
        The value of ``OPT_OUT_FILE`` is a path; a caller that can read the file replaces it by
        the digest of its content.
        """
        dumped = self.model_dump(mode="json")
        api = {name: dumped["api"][name] for name in ("base_url", "dialect", "paths")}
        sections = {"api": api, **{name: dumped[name] for name in _IDENTITY_SECTIONS}}
        flat = {
            f"{s}.{name}": value for s, fields in sections.items() for name, value in fields.items()
        }
        for name in _OF_A_START:
            del flat[name]
        # How rows are cut into shards decides which files a resume finds.
        flat["output.shard_lookups"] = self.output.shard_lookups
        return flat


_IDENTITY_SECTIONS = ("screening", "planner", "input", "numbers", "cohorts")
# They refuse a file or let it pass, or choose the run, and change no row of it.
_OF_A_START = ("input.max_unpacked_gib", "input.max_unpacking_ratio", "screening.unfinished")
