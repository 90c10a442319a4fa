"""Checkpointer: feeds the dispatcher shard by shard and seals each shard once it is saved.

Lookups of the next shard follow those of the last without a pause, so the rate is used
throughout; only a few shards are open at a time.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

import polars as pl

from batch_screen.engine.dependencies import Decision, Number, Rules
from batch_screen.engine.following import Following, recalled
from batch_screen.engine.resume import History
from batch_screen.engine.tasks import Clock, Task, utc_now
from batch_screen.errors import OutputError
from batch_screen.journal.records import Record
from batch_screen.journal.seal import drop_leftovers, seal, seal_path
from batch_screen.journal.segments import SegmentWriter, shards_with_segments
from batch_screen.journal.writer import COMMIT_RECORDS, Entry, GroupCommit, JournalWriter, StateCopy
from batch_screen.masking import masked_logger
from batch_screen.model import Attempt, Intent, Lookup, Outcome, Plan, WithheldOutcome
from batch_screen.planning.history import read_history
from batch_screen.planning.shards import (
    Regions,
    history_path,
    lookups,
    numbers,
    planned_numbers,
    read_carried,
)
from batch_screen.runs.state import Run

_MOST_WRITTEN = 4 * COMMIT_RECORDS
"""How many outcomes without a request may wait for the disk at a time."""

_CLOSED = -1

_log = masked_logger(__name__)


class _Stream:
    """The stream of tasks: follow-ups first, then fresh ones; may yield more after it ran dry.

    A generator would be over by then.
    """

    def __init__(self, fresh: Iterator[Task | None]) -> None:
        self._fresh = fresh
        self.follow_ups: deque[Task] = deque()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Task:
        # So few numbers are half done, and a resume finds what the first start found.
        task = self.follow_ups.popleft() if self.follow_ups else next(self._fresh, None)
        if task is None:
            raise StopIteration
        return task


def unsealed(run: Run, plan: Plan) -> Iterator[int]:
    """The shards that have lookups left; clears what a crash has left of the others."""
    for shard in range(len(plan.shards)):
        if seal_path(run.sealed, shard).exists():
            drop_leftovers(run.journal, run.sealed, run.run_id, shard)
        else:
            yield shard


class Checkpointer:
    """Streams the tasks of unsealed shards, journals their outcomes, and seals them.

    By default of all of them. A worker among others gets its ``shards`` one after the other, None
    while there is none yet, and asks before it seals one whether it ``may_seal``: it may have been
    taken for dead, and another owns the shard now. With a ``copy`` records are saved there.
    """

    def __init__(  # noqa: PLR0913 (what it works on, and what it reports to)
        self,
        run: Run,
        plan: Plan,
        rules: Rules,
        *,
        on_saved: Callable[[int], None],
        on_failure: Callable[[BaseException], None],
        most_unsaved: int = 2 * COMMIT_RECORDS,
        clock: Clock = utc_now,
        shards: Iterable[int | None] | None = None,
        may_seal: Callable[[int], bool] | None = None,
        copy: StateCopy | None = None,
        regions: Regions | None = None,
    ) -> None:
        """``most_unsaved``: the number of unsaved outcomes from which it ``is_behind``.

        With ``regions`` only the lookups of their numbers are its own; others of this process have
        the rest, and ``may_seal`` says of each shard whether all are through.
        """
        self._run = run
        self._plan = plan
        self._rules = rules
        self._following = Following(rules, clock)
        self._shards = unsealed(run, plan) if shards is None else shards
        self._copy = copy
        self._may_seal = may_seal
        self._regions = regions
        self._begun = frozenset() if regions is None else {*shards_with_segments(run.journal)}
        self.epochs: dict[int, int] = {}
        self.sealed: list[int] = []
        """The shards that are complete, in the order in which they were."""
        self.expects_more = True
        self._tasks = _Stream(self._all_tasks())
        self._is_closing = False
        self._on_saved = on_saved
        self._on_failure = on_failure
        self.unsaved = 0
        self._most_unsaved = most_unsaved
        self._failure: BaseException | None = None
        self._missing: dict[int, int] = {}
        self._incomplete: set[int] = set()
        self._unsynced: Counter[int] = Counter()
        self._noted: defaultdict[int, list[Record]] = defaultdict(list)
        self._to_sync: list[Entry] = []
        self._sealing: set[asyncio.Future[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._writer: JournalWriter = (
            copy.writer() if copy else SegmentWriter(run.journal, run.run_id)
        )
        self._commit = GroupCommit(
            self._writer,
            on_saved=lambda entries: self._in_loop(self._saved, entries),
            # A bug must not end saving in silence either.
            on_failure=lambda error: self._in_loop(
                self._fail, self._cannot_save(error) if isinstance(error, OSError) else error
            ),
            # Asking goes on with the last quarter of the slots while the disk works.
            most_records=min(COMMIT_RECORDS, most_unsaved * 3 // 4 + 1),
            wait_seconds=copy.commit_seconds if copy else 0.0,
        )

    @property
    def is_behind(self) -> bool:
        is_away = self._copy is not None and not self._copy.is_held
        return is_away or self.unsaved >= self._most_unsaved

    def note(self, shard: int, intent: Intent) -> None:
        """Journals the intent; its request may be sent only after ``flush``."""
        self._noted[shard].append(intent)

    def flush(self) -> None:
        """Writes notes and records to the operating system.

        Raises ``OutputError`` if that fails, and again at every later call.
        """
        if not self._noted:
            return
        # The write outlives this process; the disk waits for the next commit. All that was noted in
        # one turn of the loop goes in one write, or asking would be as slow as its system calls.
        try:
            for shard, records in self._noted.items():
                self._writer.note(shard, *records)
        except OSError as error:
            raise self._cannot_save(error) from error
        # Only now: what could not be written is tried again, and fails again, before each request.
        self._noted.clear()
        if self._to_sync:
            self._commit.append(self._to_sync)
            self._to_sync = []

    def save(self, shard: int, record: Attempt | WithheldOutcome | Outcome) -> None:
        """Queues a record for the journal; all of one turn of the loop are written together.

        It outlives this process from then on; it counts once it is on disk.
        """
        self.unsaved += isinstance(record, Outcome)  # a slot each, or a crash would cost more
        if not self._to_sync:
            self._loop.call_soon(self._flush_or_fail)
        self._noted[shard].append(record)
        self._unsynced[shard] += 1
        self._to_sync.append((shard, record))

    def drop(self, shard: int, lookup: Lookup) -> None:
        """The lookup, and those that depend on its outcome, are not asked in this session."""
        self._incomplete.add(shard)
        self._missing[shard] -= 1 + self._following.forget(lookup.e164, lookup.endpoint)
        self._seal_if_complete(shard)

    def hurry(self) -> None:
        """Writes queued records at once."""
        self._flush_or_fail()
        self._commit.hurry()

    def tasks(self) -> Iterator[Task]:
        """Every lookup to ask that has no outcome yet, shard by shard.

        After it has found nothing it may find more: what waits for an outcome comes first once
        that is saved.
        """
        return self._tasks

    def _all_tasks(self) -> Iterator[Task | None]:
        """As ``tasks``; None where more come only once some outcomes are saved."""
        for shard in self._shards:
            if shard is None:
                yield None
                continue
            # Before its journal is read: what is read is the end. Contracts of one process take no
            # shard from each other: they claim below, and only where something is left to ask:
            # one may be through with hundreds, and each claim takes requests to the bucket.
            if (self._may_seal or self._copy) and self._regions is None:
                yield from self._claim(shard)
            yield from self._shard_tasks(shard)
        self.expects_more = False

    def _claim(self, shard: int) -> Iterator[None]:
        """In a thread: others are asked meanwhile, however slow the bucket is."""
        claiming = self._loop.run_in_executor(None, self._writer.claim, shard)
        claiming.add_done_callback(self._claimed)
        while not claiming.done():
            yield None
        self.epochs[shard] = claiming.result()

    def _claimed(self, claiming: asyncio.Future[int]) -> None:
        if not claiming.cancelled():
            claiming.exception()  # raised where its tasks are taken
            self._on_saved(0)

    def _shard_tasks(self, shard: int) -> Iterator[Task | None]:
        rules, expected = self._rules, self._expected(shard)
        carried = read_carried(self._run.plan, self._plan, shard)
        only = planned_numbers(self._run.plan, self._plan, shard)
        if self._regions is not None:
            only = numbers(self._run.plan, self._plan, shard, self._regions)
            carried = carried.filter(pl.col("e164").is_in(only.implode()))
            expected = only.len() * len(rules.endpoints)
        endpoints = () if rules.is_plain else rules.endpoints
        # What is there by now is another contract's: to read it would hold up the loop.
        is_new = self._regions is not None and shard not in self._begun
        history = History(self._run, shard, endpoints, carried, only, is_new=is_new)
        if history.dropped_bytes:
            _log.warning(
                "a crash has torn %d bytes off the journal of shard %d; they were dropped",
                history.dropped_bytes,
                shard,
            )
        # Already complete where a crash came between the last outcome and the seal.
        self._missing[shard] = missing = expected - len(history.finished)
        self._seal_if_complete(shard)
        if missing and self._copy and self._regions is not None:
            yield from self._claim(shard)  # or the first record would wait for the bucket
        if not rules.is_plain:
            yield from self._planned_tasks(shard, history)
            return
        windows = {e: rules.window_minutes if e.takes_max_age else None for e in rules.endpoints}
        plan, finished = self._run.plan, history.finished
        for lookup in lookups(plan, self._plan, shard, windows, finished, self._regions):
            yield history.task(shard, lookup)

    def _planned_tasks(self, shard: int, history: History) -> Iterator[Task | None]:
        """The tasks that need not wait for others; journals the outcomes that need no request."""
        plan, planned = self._run.plan, self._plan.shards[shard]
        known = read_history(history_path(plan, shard), planned.history_sha256)
        listed = numbers(plan, self._plan, shard, self._regions)
        for e164, past in recalled(known, listed, self._rules):
            number = Number(shard, e164, past, history.outcomes.pop(e164, {}))
            if not number.outcomes and (e164, self._rules.endpoints[0]) in history.finished:
                continue  # it has all its outcomes
            # What something was spent on is finished, whatever the decision would be now.
            number.begun |= {e for e in self._rules.endpoints if history.has_begun((e164, e))}
            for endpoint in sorted(number.begun):
                yield history.recall(self._following.task(number, endpoint))
            yield from self._decided(number, self._following.begin(number))
            if self.unsaved >= _MOST_WRITTEN:  # the dispatcher is woken by what is saved
                yield None

    def _decided(self, number: Number, decision: Decision) -> Iterator[Task]:
        for outcome in decision.write:
            self.save(number.shard, outcome)
        for endpoint in decision.ask:
            yield self._following.task(number, endpoint)

    async def close(self) -> None:
        """Waits until everything queued is saved and all sealing that began has ended.

        Raises the first failure to save or seal, even if another error ended the run: it must not
        say that answers are saved when they are not.
        """
        self._is_closing = True
        self._flush_or_fail()
        await asyncio.to_thread(self._commit.close)
        await asyncio.sleep(0)  # what the saving thread has posted to the loop comes first
        await asyncio.gather(*self._sealing, return_exceptions=True)
        if self._failure is not None:
            raise self._failure

    def _flush_or_fail(self) -> None:
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001 (nothing else would report it)
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
            self._on_failure(error)

    def _in_loop(self, call: Callable[[Any], None], argument: object) -> None:
        # The thread that waits for the disk calls back, and everything here belongs to the loop.
        self._loop.call_soon_threadsafe(call, argument)

    def _saved(self, entries: list[Entry]) -> None:
        outcomes = Counter(shard for shard, record in entries if isinstance(record, Outcome))
        self.unsaved -= outcomes.total()
        self._unsynced.subtract(shard for shard, _ in entries)
        for shard, count in outcomes.items():
            self._missing[shard] -= count
        for shard in outcomes.keys() | self._incomplete:
            self._seal_if_complete(shard)
        if self._following.is_waiting and not self._is_closing:
            for _, record in entries:
                if isinstance(record, Outcome) and (found := self._following.learn(record)):
                    self._tasks.follow_ups.extend(self._decided(*found))
        self._on_saved(outcomes.total())

    def _cannot_save(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot save outcomes to {self._run.journal}: {error.strerror}; no more requests are "
            "sent. Free space or fix the disk, then start again to resume"
        )

    def _expected(self, shard: int) -> int:
        return self._plan.shards[shard].unique_numbers * len(self._rules.endpoints)

    def _seal_if_complete(self, shard: int) -> None:
        if self._missing[shard] == 0 and not self._unsynced[shard]:
            # A shard that lacks what was dropped is only closed: there may be thousands of them.
            end = self._seal
            if shard in self._incomplete:
                self._incomplete.discard(shard)
                self._missing[shard] = _CLOSED
                end = self._writer.close_shard
            del self._unsynced[shard]
            # In a thread: sorting and compressing a shard takes longer than the loop may pause.
            sealing = self._loop.run_in_executor(None, end, shard)
            self._sealing.add(sealing)
            sealing.add_done_callback(self._sealed)

    def _seal(self, shard: int) -> None:
        self._writer.close_shard(shard)
        if self._may_seal is not None and not self._may_seal(shard):
            return
        if self._copy is not None:
            if shard not in self.epochs:  # a contract that had nothing left to ask there
                self.epochs[shard] = self._writer.claim(shard)
                self._writer.close_shard(shard)
            if not self._copy.may_seal(shard):
                return
        run = self._run
        seal(
            run.journal,
            run.sealed,
            run.run_id,
            shard,
            expected=self._expected(shard),
            carried=read_carried(run.plan, self._plan, shard),
            only=planned_numbers(run.plan, self._plan, shard),
            epoch=self.epochs.get(shard),
        )
        if self._copy is not None:
            self._copy.keep_seal(shard)
        self.sealed.append(shard)

    def _sealed(self, sealing: asyncio.Future[None]) -> None:
        self._sealing.discard(sealing)
        if not sealing.cancelled() and (error := sealing.exception()):
            self._fail(error)
