"""Several contracts in one process: each asks the lookups of its regions at a rate of its own.

Each has a dispatcher with a pacer, guards and a key of its own, and goes through the shards at its
own speed, so that none waits for another. They share the budget, the loop and the seals: the last
one that is through with a shard seals it. Where one contract serves all, nothing of this is used.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from itertools import zip_longest
from threading import Lock
from time import monotonic
from typing import NamedTuple

import msgspec.structs
import polars as pl

from batch_screen.config.settings import OTHERS, Settings
from batch_screen.engine.budget import BudgetGuard
from batch_screen.engine.checkpoint import Checkpointer, unsealed
from batch_screen.engine.concurrency import FEWEST
from batch_screen.engine.dispatcher import Dispatcher
from batch_screen.engine.engine import (
    Asked,
    How,
    OnEnd,
    Work,
    adaptive_rate,
    asking,
    in_loop,
    prepare,
    run_out,
    watched,
)
from batch_screen.engine.pacer import local_pacer
from batch_screen.engine.resume import History
from batch_screen.engine.schedule import ClosingTime
from batch_screen.errors import ApiError, BatchScreenError, ConfigurationError, Stopped
from batch_screen.journal.seal import read_sealed, seal_path
from batch_screen.journal.segments import shards_with_segments
from batch_screen.masking import masked_logger
from batch_screen.model import ContractPace, Endpoint, Pace
from batch_screen.planning.shards import Regions, numbers
from batch_screen.runs.events import RunEvents

_OWN = (ApiError, ConfigurationError, Stopped)
"""Errors that end one contract; any other, as of the disk, ends the run."""
_SEALED_READ = 8
_SHOWN_SECONDS = 2.0

_log = masked_logger(__name__)


class Contract(NamedTuple):
    """A contract: its name, the settings and the key to ask with, and whose numbers it asks."""

    name: str
    settings: Settings
    key: str
    regions: Regions


def contracts_of(settings: Settings, key: str, keys: Mapping[str, str]) -> list[Contract]:
    """The contracts of these settings; a region without a key in ``keys`` is asked with ``key``.

    Raises ``ConfigurationError`` where they cannot have a request under way each.
    """
    rates, pacing = settings.contracts, settings.pacing
    named = frozenset(rates) - {OTHERS}
    most = _shares(pacing.max_concurrency, rates)
    found = []
    for name, rate in rates.items():
        change = {"rate_per_second": rate, "max_concurrency": most[name]}
        own = settings.model_copy(update={"pacing": pacing.model_copy(update=change)})
        is_others = name == OTHERS
        regions = Regions(named if is_others else frozenset({name}), are_meant=not is_others)
        found.append(Contract(name, own, keys.get(name, key), regions))
    return found


def _shares(most: int, rates: Mapping[str, float]) -> dict[str, int]:
    """How many requests each may have under way: as its rate needs, and a few in any case.

    >>> _shares(256, {"DE": 100, "FR": 25, "others": 1})
    {'DE': 202, 'FR': 50, 'others': 4}
    """
    if most < len(rates):
        raise ConfigurationError(
            f"pacing.max_concurrency = {most} is less than one request for each of the "
            f"{len(rates)} contracts; raise it"
        )
    least, total = min(FEWEST, most // len(rates)), sum(rates.values())
    shares = {name: max(least, int(most * rate / total)) for name, rate in rates.items()}
    fastest = max(rates, key=lambda name: rates[name])
    shares[fastest] = most - (sum(shares.values()) - shares[fastest])
    return shares


class _Seals:
    """Lets a shard be sealed by the last contract that is through with it."""

    def __init__(self, contracts: int) -> None:
        self._contracts = contracts
        self._through: Counter[int] = Counter()
        self._lock = Lock()  # shards are sealed in threads

    def may_seal(self, shard: int) -> bool:
        with self._lock:
            self._through[shard] += 1
            return self._through[shard] == self._contracts


class _Lane:
    """A contract at work: its dispatcher, its journal, and how it has ended."""

    def __init__(self, work: Work, contract: Contract, events: RunEvents) -> None:
        settings, loop = contract.settings, asyncio.get_running_loop()
        so_far = msgspec.structs.replace(work.earlier, proved=_proved(work, contract))
        self.work = work._replace(settings=settings, key=contract.key, earlier=so_far)
        self.contract = contract
        account = adaptive_rate(settings, loop.time, events, f"the contract of {contract.name}")
        self.pacer = local_pacer(
            settings.pacing, account, clock=loop.time, endpoints=settings.endpoints
        )
        self.dispatcher: Dispatcher
        self.checkpointer: Checkpointer
        self.error: BaseException | None = None
        self._began = monotonic()
        self._ended: float | None = None

    def shards(self) -> Iterator[int | None]:
        """The open shards in turn; after each the loop may do something else."""
        loop = asyncio.get_running_loop()
        for shard in unsealed(self.work.run, self.work.plan):
            yield shard
            # This contract may be through with hundreds of them, whose journals are all read.
            loop.call_soon(self.dispatcher.wake)
            yield None

    async def run(self, others: Sequence[_Lane]) -> None:
        """Asks all that is its own. An error is kept; one that concerns all ends the others too."""
        try:
            await run_out(self.dispatcher, self.checkpointer, ())
        except Exception as error:  # noqa: BLE001 (whatever it is, the others end in order)
            self.error = error
            if not isinstance(error, _OWN):
                for other in others:
                    other.dispatcher.halt()
            elif not isinstance(error, Stopped):
                _log.warning(
                    "the contract of %s is given up, the others are asked: %s",
                    self.contract.name,
                    error,
                )
        finally:
            self._ended = monotonic()

    def pace(self) -> ContractPace:
        """The figures so far."""
        seconds = (self._ended or monotonic()) - self._began
        return ContractPace(
            self.contract.settings.pacing.rate_per_second,
            self.dispatcher.attempts,
            sum(self.pacer.snapshot().refused),
            round(seconds, 3),
            gave_up=self.error is not None and not isinstance(self.error, Stopped),
        )


def by_contract(keys: Mapping[str, str]) -> How:
    """Asks each lookup under the contract of its number's region; ``keys`` are those of regions."""
    return in_loop(partial(_ask_by_contract, keys=keys))


async def _ask_by_contract(
    work: Work,
    events: RunEvents,
    closing: ClosingTime | None,
    on_end: OnEnd,
    *,
    keys: Mapping[str, str],
) -> Asked:
    """One contract that fails leaves the others to be asked to their end; then that is raised."""
    settings = work.settings
    contracts = contracts_of(settings, work.key, keys)
    closing, began = closing if prepare(work, events) else None, monotonic()
    budget = BudgetGuard(settings.budget, settings.prices, work.earlier.spent)
    seals = _Seals(len(contracts))
    async with AsyncExitStack() as stack:
        lanes: list[_Lane] = []
        for contract in contracts:
            # That nothing is asked at this hour is said once.
            lane = _Lane(work, contract, RunEvents() if lanes else events)
            lane.dispatcher, lane.checkpointer = await stack.enter_async_context(
                asking(
                    lane.work,
                    lane.pacer,
                    budget,
                    on_saved=events.progress.advance,
                    shards=lane.shards(),
                    may_seal=seals.may_seal,
                    regions=contract.regions,
                )
            )
            lanes.append(lane)
        dispatchers, pacers = [each.dispatcher for each in lanes], [each.pacer for each in lanes]
        showing = asyncio.create_task(_show(lanes, events))
        try:
            async with (
                watched(work, events, closing, dispatchers, pacers),
                asyncio.TaskGroup() as group,
            ):
                for lane in lanes:
                    group.create_task(lane.run(lanes))
        finally:  # what was asked counts, also where the last of it could not be saved
            showing.cancel()
            attempts = sum(dispatcher.attempts for dispatcher in dispatchers)
            pace = together([pacer.snapshot() for pacer in pacers])
            asked = Asked(attempts, monotonic() - began, pace, _paces(lanes))
            on_end(asked)
    if error := _error(lanes):
        raise error
    return asked


async def _show(lanes: Sequence[_Lane], events: RunEvents) -> None:
    """Shows how far each contract is, for whom it concerns."""
    while True:
        await asyncio.sleep(_SHOWN_SECONDS)
        events.on_contracts(_paces(lanes))


def _paces(lanes: Sequence[_Lane]) -> dict[str, ContractPace]:
    return {lane.contract.name: lane.pace() for lane in lanes}


def _error(lanes: Sequence[_Lane]) -> BaseException | None:
    """The error that ends the run: the gravest, which names the contracts it was not alone in."""
    failed = {lane.contract.name: lane.error for lane in lanes if lane.error is not None}
    for error in failed.values():
        if not isinstance(error, _OWN):
            return error
    own = [error for error in failed.values() if isinstance(error, BatchScreenError)]
    if len({str(error) for error in own}) <= 1 and len(own) in (0, len(lanes)):
        return own[0] if own else None
    gravest = max(own, key=lambda error: error.exit_code)
    reasons: dict[str, list[str]] = {}
    for name, error in failed.items():
        reasons.setdefault(str(error), []).append(name)
    said = "; ".join(f"contract of {' and '.join(names)}: {why}" for why, names in reasons.items())
    rest = (
        "" if len(own) == len(lanes) else "; what other contracts could ask is answered and saved"
    )
    return type(gravest)(f"{said}{rest}", exit_code=gravest.exit_code)


def _proved(work: Work, contract: Contract) -> dict[Endpoint, int]:
    """How many answers earlier sessions had under the contract, as far as its canary cares."""
    run, plan = work.run, work.plan
    found, enough = Counter[Endpoint](), work.settings.guards.canary_answers
    begun = set(shards_with_segments(run.journal))
    sealed = [n for n in range(len(plan.shards)) if n not in begun]
    sealed = [n for n in sealed if seal_path(run.sealed, n).exists()]
    for shard in (*sealed[:_SEALED_READ], *begun):  # a few show as much as thousands
        if found and all(found[endpoint] >= enough for endpoint in work.settings.endpoints):
            break
        only = numbers(run.plan, plan, shard, contract.regions)
        if shard in begun:
            found += History(run, shard, only=only).proved
            continue
        own = pl.col("e164").is_in(only.implode()) & (pl.col("attempts") > 0)
        asked = read_sealed(run.sealed, run.run_id, shard).filter(own)
        for name, count in asked.group_by("endpoint").len().iter_rows():
            found[Endpoint(name)] += count
    return dict(found)


def together(paces: Sequence[Pace]) -> Pace:
    """The paces of contracts that were asked at the same time, as that of the session.

    >>> together([Pace(1.0, [1, 2, 3], [0, 0, 1], [4.0] * 3), Pace(2.0, [5], [1], [6.0])]).attempts
    [8, 3]
    """
    longest = max(pace.step_seconds for pace in paces)
    paces = [pace.at_steps_of(longest) for pace in paces]
    return Pace(
        longest,
        [sum(step) for step in zip_longest(*(p.attempts for p in paces), fillvalue=0)],
        [sum(step) for step in zip_longest(*(p.refused for p in paces), fillvalue=0)],
        [
            round(sum(step), 3)
            for step in zip_longest(*(p.limit_per_second for p in paces), fillvalue=0.0)
        ],
        max(pace.held_by_headers_seconds for pace in paces),
    )
