"""Domain records: endpoint, lookup, answer, attempt, outcome, session, plan.

Knows nothing of files, HTTP, configuration or polars. Records that are made for every request
cannot be part of a reference cycle, so the garbage collector need not look at them (``gc=False``).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone: one without it, in a file that others touched, could not be compared."""


class Endpoint(StrEnum):
    """One operation of the API, named by its path on the reference page."""

    SIM_SWAP_CHECK = "sim-swap/check"
    SIM_SWAP_DATE = "sim-swap/retrieve-date"
    DEVICE_SWAP_CHECK = "device-swap/check"
    DEVICE_SWAP_DATE = "device-swap/retrieve-date"
    CALL_FORWARDING_CHECK = "call-forwarding/check"

    @property
    def takes_max_age(self) -> bool:
        """Whether it takes an observation window, as only the two swap checks do."""
        return self in (Endpoint.SIM_SWAP_CHECK, Endpoint.DEVICE_SWAP_CHECK)

    @property
    def answers_date(self) -> bool:
        """Whether it answers a date; the others answer yes or no."""
        return self in (Endpoint.SIM_SWAP_DATE, Endpoint.DEVICE_SWAP_DATE)

    @property
    def check(self) -> Endpoint:
        """The check of the same signal; a check's own is itself.

        >>> Endpoint.DEVICE_SWAP_DATE.check.value
        'device-swap/check'
        """
        return _CHECKS.get(self, self)

    @property
    def date(self) -> Endpoint | None:
        """The date endpoint of the same signal, if there is one."""
        return _DATES.get(self.check)

    @property
    def unchanged(self) -> str:
        """The skip reason of lookups that are not needed because this check found no change."""
        return _UNCHANGED[self.check]

    @property
    def column(self) -> str:
        """Prefix of this endpoint's columns in results.

        >>> Endpoint.SIM_SWAP_DATE.column
        'sim_swap_date'
        """
        return self.name.lower()


_CHECKS = {
    Endpoint.SIM_SWAP_DATE: Endpoint.SIM_SWAP_CHECK,
    Endpoint.DEVICE_SWAP_DATE: Endpoint.DEVICE_SWAP_CHECK,
}
_DATES = {check: date for date, check in _CHECKS.items()}
_UNCHANGED = {
    Endpoint.SIM_SWAP_CHECK: "sim_unchanged",
    Endpoint.DEVICE_SWAP_CHECK: "device_unchanged",
    Endpoint.CALL_FORWARDING_CHECK: "not_forwarding",
}
LONGEST_WINDOW_MINUTES = 2400
"""The longest observation window that the API accepts."""


class ColumnKind(StrEnum):
    """Type of the column of raw numbers in its file: in a numeric one, zeros may be lost."""

    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"


class OutcomeKind(StrEnum):
    """Final state of a lookup. Everything but ``success`` leaves the signal unknown."""

    SUCCESS = "success"
    NOT_FOUND = "not_found"
    FORBIDDEN = "forbidden"
    REJECTED = "rejected"
    NOT_APPLICABLE = "not_applicable"
    BAD_RESPONSE = "bad_response"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    SERVER_ERROR = "server_error"
    SKIPPED = "skipped"


INCONCLUSIVE = frozenset({OutcomeKind.NOT_FOUND, OutcomeKind.NOT_APPLICABLE})
"""Outcomes that are answers but neither pass nor fail: a retry would not help."""


NOT_NEEDED = "not_needed"
"""Skip reason of a date lookup: its check's window reaches back far enough."""

UNCHANGED = tuple(_UNCHANGED.values())
"""Skip reasons of lookups that are wanted only where another signal has changed."""

SPARED = frozenset({NOT_NEEDED, *UNCHANGED})
"""Skip reasons that are intended and no failure."""


class AnswerSource(StrEnum):
    """How an outcome was obtained; a skipped one has no source.

    ``carried``: asked in a run that this one supersedes. Unlike a reused answer of another night it
    counts whatever its outcome and its age.
    """

    ASKED = "asked"
    DERIVED = "derived"
    REUSED = "reused"
    CARRIED = "carried"


class LatestChange(StrEnum):
    """Result of a date endpoint; the API's null is never published as "never swapped"."""

    REPORTED = "reported"
    NONE_REPORTED = "none_reported"


Key = tuple[str, Endpoint]
"""Key of a lookup within its run. Without the window, which may be chosen only when sending."""


class Lookup(msgspec.Struct, frozen=True, gc=False):
    """One number at one endpoint with its parameters: the unit of work."""

    e164: str
    endpoint: Endpoint
    max_age_minutes: int | None = None

    @property
    def key(self) -> Key:
        return self.e164, self.endpoint


class Allowance(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Rate limit from a server's headers; None: not stated.

    ``remaining`` requests until the window ends in ``reset_seconds`` (rounded up by the server
    to whole seconds); ``limit_per_second`` is its limit over its window.
    """

    limit_per_second: float | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


class Pace(msgspec.Struct, frozen=True):
    """Time series of a session's attempts, in equal steps from its first request.

    Per step: ``attempts`` started, refusals received (429, 408), and ``limit_per_second``, the mean
    rate permitted by settings and server. The last step may be incomplete.
    ``held_by_headers_seconds``: how long the server's headers were the limit.
    """

    step_seconds: float = 1.0
    attempts: list[int] = []
    refused: list[int] = []
    limit_per_second: list[float] = []
    held_by_headers_seconds: float = 0.0

    @property
    def rates_per_second(self) -> list[float]:
        return [count / self.step_seconds for count in self.attempts]

    def at_most(self, steps: int) -> Pace:
        """The pace merged into at most ``steps`` equal steps.

        >>> pace = Pace(1.0, [1, 2, 3], [0, 1, 0], [4.0, 2.0, 4.0]).at_most(2)
        >>> pace.step_seconds, pace.attempts, pace.refused, pace.limit_per_second
        (2.0, [3, 3], [1, 0], [3.0, 4.0])
        """
        return self._merged(-(-len(self.attempts) // steps))

    def at_steps_of(self, seconds: float) -> Pace:
        """The pace in steps of so many seconds, a multiple of its own."""
        return self._merged(round(seconds / self.step_seconds))

    def _merged(self, size: int) -> Pace:
        if size <= 1:
            return self
        firsts = range(0, len(self.attempts), size)
        limits = [self.limit_per_second[first : first + size] for first in firsts]
        return Pace(
            self.step_seconds * size,
            [sum(self.attempts[first : first + size]) for first in firsts],
            [sum(self.refused[first : first + size]) for first in firsts],
            [round(sum(each) / len(each), 3) for each in limits],
            self.held_by_headers_seconds,
        )


class ContractPace(msgspec.Struct, frozen=True):
    """What a session asked under one of several contracts, and the rate that this one permits.

    ``seconds``: how long it was asked under; ``gave_up``: it ended before all its lookups had been
    asked, because its key or its answers did.
    """

    rate_per_second: float
    attempts: int = 0
    refused: int = 0
    seconds: float = 0.0
    gave_up: bool = False

    @property
    def mean_per_second(self) -> float:
        return self.attempts / self.seconds if self.seconds else 0.0


Contracts = dict[str, ContractPace] | msgspec.UnsetType
"""Each contract's share of a session by its region; unset where one contract serves all."""


class Crew(msgspec.Struct, frozen=True):
    """The workers of a session: how many, whose shards others took over, slots that were lost."""

    workers: int
    takeovers: int = 0
    slots_lost: int = 0


Workers = Crew | msgspec.UnsetType
"""Unset where one worker asks, in the process that leads."""


class Session(msgspec.Struct, frozen=True):
    """One session of a run: its times, its attempts and their pace."""

    started_at: Instant
    ended_at: Instant
    attempts: int = 0
    asking_seconds: float = 0.0
    pace: Pace = Pace()
    contracts: Contracts = msgspec.UNSET
    crew: Workers = msgspec.UNSET

    @property
    def rate_per_second(self) -> float:
        return self.attempts / self.asking_seconds if self.asking_seconds else 0.0


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The parsed response to one attempt; the engine decides about the lookup."""

    kind: OutcomeKind
    reason: str | None = None
    swapped: bool | None = None
    active: bool | None = None
    latest_change: LatestChange | None = None
    latest_change_at: datetime | None = None
    latest_change_raw: str | None = None
    http_status: int | None = None
    code: str | None = None
    message: str | None = None
    retry_after_seconds: float | None = None
    allowance: Allowance | None = None


class Intent(
    msgspec.Struct, frozen=True, tag="intent", tag_field="t", omit_defaults=True, gc=False
):
    """Journal note before a request is sent: after a crash, the request may have been billed."""

    e164: str
    endpoint: Endpoint
    max_age_minutes: int | None = None
    attempt: int = 1


class Attempt(
    msgspec.Struct, frozen=True, tag="attempt", tag_field="t", omit_defaults=True, gc=False
):
    """Journal record of an attempt without a final answer; a resume counts on from it."""

    e164: str
    endpoint: Endpoint
    max_age_minutes: int | None = None
    kind: OutcomeKind = OutcomeKind.SERVER_ERROR
    reason: str | None = None
    http_status: int | None = None


class Outcome(
    msgspec.Struct, frozen=True, tag="outcome", tag_field="t", omit_defaults=True, gc=False
):
    """Final state of a lookup, as journalled and as published in ``lookups``.

    ``attempts`` counts HTTP requests answered or failed, ``refusals`` those refused for the rate,
    ``unanswered`` further requests without a saved answer because the run ended abruptly: they may
    have been billed. ``latency_ms`` and ``responded_at`` (UTC) are those of the last attempt.
    ``source_run_id`` is the earlier run of a reused or carried outcome; ``last_observed_at`` the
    end of the earlier runs' observation of the number, where the window reaches back to it.
    """

    e164: str
    endpoint: Endpoint
    max_age_minutes: int | None = None
    kind: OutcomeKind = OutcomeKind.SKIPPED
    reason: str | None = None
    swapped: bool | None = None
    active: bool | None = None
    latest_change: LatestChange | None = None
    latest_change_at: datetime | None = None
    latest_change_raw: str | None = None
    http_status: int | None = None
    code: str | None = None
    message: str | None = None
    attempts: int = 0
    refusals: int = 0
    unanswered: int = 0
    latency_ms: float | None = None
    responded_at: datetime | None = None
    correlator: str | None = None
    source: AnswerSource | None = AnswerSource.ASKED
    source_run_id: str | None = None
    last_observed_at: datetime | None = None

    @property
    def key(self) -> Key:
        return self.e164, self.endpoint

    @property
    def lookup(self) -> Lookup:
        return Lookup(self.e164, self.endpoint, self.max_age_minutes)


TOO_LONG = "retry_after_too_long"
"""Reason of a lookup whose Retry-After is longer than the settings accept."""

CANNOT_CONNECT = "cannot_connect"
"""Reason of an attempt without a connection: nothing was sent, nothing is billed."""


class Spent(msgspec.Struct, frozen=True):
    """Requests sent, answered or not, and those among them refused for the rate."""

    requests: int = 0
    refusals: int = 0


class WithheldOutcome(msgspec.Struct, frozen=True, tag="held", tag_field="t"):
    """An outcome the canary withheld when the run was stopped: paid for, not yet trusted."""

    outcome: Outcome


class ShardPlan(msgspec.Struct, frozen=True):
    """A shard's numbers of rows and of unique numbers, and the SHA-256 of its file.

    ``history_sha256`` is that of its file of earlier answers, ``carried_sha256`` that of the
    ``carried`` outcomes it has without asking; empty if there is none.
    """

    rows: int
    unique_numbers: int
    sha256: str
    history_sha256: str = ""
    carried: int = 0
    carried_sha256: str = ""


class ColumnRows(msgspec.Struct, frozen=True):
    """The rows of a phone column; the ``rejected`` ones with those whose cell is ``empty``."""

    read: int
    accepted: int
    rejected: int
    empty: int

    def __add__(self, other: ColumnRows) -> ColumnRows:
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return ColumnRows(*map(sum, pairs))


class Erasure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One erasure of people from a run: when, and how many rows each table lost.

    ``cells`` are those of columns kept in other rows that held one of the numbers too: emptied.
    """

    at: Instant
    rows: dict[str, int]
    cells: int = 0


class Plan(msgspec.Struct, frozen=True):
    """The plan of a run: rows = accepted + rejected, and the shards of accepted numbers.

    ``left_out`` rows stand below those and were not taken, for a limit was reached.
    ``supersedes`` are the runs whose place it takes, the latest first. ``opt_out_list`` is the
    SHA-256 of the opt-out list it was made with, and ``opt_outs_sha256`` that of the plan's file of
    marks of its numbers; empty if there was none. ``objected`` numbers have joined the list since
    and were dropped: of outcomes in the journal theirs do not count. ``nul_cells`` are kept cells
    out of which U+0000 was dropped. ``keep_columns`` is the setting by which ``kept`` were chosen;
    None: that of the run's identity. ``erased`` are the erasures from the run that a retry carries
    on: its rows keep their places in the list.
    """

    rows: int
    accepted: int
    rejected: dict[str, int]
    rejects_sha256: str
    shards: list[ShardPlan]
    kept: list[str]
    facts: dict[str, str]
    left_out: int = 0
    supersedes: list[str] = []
    opt_out_list: str = ""
    opt_outs_sha256: str = ""
    objected: int = 0
    phone_columns: dict[str, ColumnRows] = {}
    nul_cells: int = 0
    keep_columns: list[str] | None = None
    erased: list[Erasure] = []

    @property
    def places(self) -> int:
        """The rows of the list, among which each row has its index: with those erased since."""
        return self.rows + sum(each.rows.get("results", 0) for each in self.erased)

    @property
    def carried(self) -> int:
        """Lookups that have their outcome from a superseded run."""
        return sum(shard.carried for shard in self.shards)

    @property
    def unique_numbers(self) -> int:
        return sum(shard.unique_numbers for shard in self.shards)

    @property
    def duplicates(self) -> int:
        """Accepted rows whose number an earlier row has already."""
        return self.accepted - self.unique_numbers


JsonObject = dict[str, Any]
"""A decoded JSON object; its members are checked where they are used."""
