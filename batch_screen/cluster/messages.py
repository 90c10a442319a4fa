"""Messages between a worker and the coordinator: one call, a report for orders.

No number and no key is in them. A call may come twice: its number says so. Counts are totals since
the worker's start, so that a report that was lost takes nothing with it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from batch_screen.model import Allowance, Endpoint, Spent

HORIZON_SECONDS = 0.2
"""How far ahead slots are leased: without the coordinator a worker is silent after that."""
LATE_SECONDS = 0.018
"""A slot is void so long after its instant: the rate is a headroom above what that can add."""
SYNC_SECONDS = 0.05
"""How often a worker calls."""
SETTLE_SECONDS = HORIZON_SECONDS + LATE_SECONDS + 0.1
"""So long after its last lease a worker that is gone has started and saved all it ever will."""
SILENT_SECONDS = 20.0
"""A worker that has not called for so long is given up: its shard goes to another one."""
RETURN_SECONDS = 2.0
"""So long a coordinator that takes another one's place waits for the owners of shards."""
UNCLAIMED = 1 << 60
"""The epoch of a shard that its new owner has not begun: later than any."""


class Slot(NamedTuple):
    """The permission to start one attempt at an instant of the coordinator's clock."""

    number: int
    at: float
    permits: tuple[Endpoint, ...] = ()
    """Endpoints with a lower rate of their own that may be asked in it too."""


class Passed(NamedTuple):
    """An answer that is neither a refusal nor a failure, and the slot of its attempt."""

    number: int
    at: float
    endpoint: Endpoint
    allowance: Allowance | None


class Refused(NamedTuple):
    """A refusal for the rate; ``who`` tells numbers apart, and is none."""

    number: int
    at: float
    endpoint: Endpoint
    who: str
    wait: float | None
    is_first: bool


class Report(msgspec.Struct):
    """What a worker wants, holds and has seen since its last call."""

    call: int
    incarnation: int = -1
    """The coordinator's that it knows."""
    wants: int = 0
    """So many more slots it could use within the horizon."""
    settled: int = 0
    lost: int = 0
    """Slots that were used or void, and those that were void."""
    spent: dict[Endpoint, Spent] = {}
    attempts: int = 0
    in_flight: int = 0
    started: list[tuple[int, float, Endpoint]] = []
    results: list[Passed | Refused] = []
    pause_seconds: float = 0.0
    ramps_up: bool = False
    owed: float = 0.0
    is_probing: bool = False
    decided: set[Endpoint] = set()
    """Endpoints that its canary has proved, or that it no longer asks."""
    given_up: dict[Endpoint, BaseException] = {}
    shards: dict[int, int] = {}
    """Those it owns, with its epoch at each, or ``UNCLAIMED``."""
    wants_shard: bool = False
    sealing: set[int] = set()
    done: set[int] = set()
    """Shards that are sealed, or of which nothing more can be asked in this session."""
    saved: int = 0
    error: BaseException | None = None
    """What has ended it."""
    is_leaving: bool = False
    log: list[tuple[int, str, str]] = []


class Standing(msgspec.Struct):
    """How the account and its endpoints are served: what a worker's own guards go by."""

    rate: float = 0.0
    """This worker's share of the permitted rate."""
    is_closed: bool = False
    has_passed: bool = False
    probing: set[Endpoint] = set()
    weights: dict[Endpoint, float] = {}
    refusing: set[Endpoint | None] = set()


class Orders(msgspec.Struct):
    """What a worker may do until its next call."""

    incarnation: int
    now: float
    slots: list[Slot] = []
    standing: Standing = msgspec.field(default_factory=Standing)
    limited: set[Endpoint] = set()
    """Endpoints with a lower rate of their own: they need a slot that permits them."""
    proved: set[Endpoint] = set()
    left_alone: set[Endpoint] = set()
    """Endpoints that another worker is to prove first."""
    given_up: dict[Endpoint, BaseException] = {}
    shard: int | None = None
    is_queue_empty: bool = False
    is_over: bool = False
    """Nothing is left to ask, by anybody."""
    may_seal: set[int] = set()
    halt: BaseException | None = None
    within_seconds: float = math.inf
    is_fenced: bool = False
    """Another owns its shards now: it must end."""
