"""Feeds the dispatcher shard after shard and seals each one when its outcomes are saved.

Lookups of the next shard follow those of the last without a pause, so the rate is used
throughout; only a few shards are open at a time.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from batch_screen.checked import damaged
from batch_screen.config.settings import Screening
from batch_screen.engine.retry import NOT_COUNTED
from batch_screen.engine.task import Task
from batch_screen.errors import OutputError
from batch_screen.journal.commit import COMMIT_RECORDS, Entry, GroupCommit
from batch_screen.journal.lines import Record
from batch_screen.journal.seal import (
    drop_segments,
    is_sealed,
    seal,
    seal_path,
    sealed_path,
    sealed_spent,
)
from batch_screen.journal.segments import Replay, SegmentWriter, shards_with_segments
from batch_screen.journal.tally import Tally
from batch_screen.masking import masked_logger
from batch_screen.model import (
    Attempt,
    Endpoint,
    Held,
    Intent,
    Lookup,
    Outcome,
    OutcomeKind,
    Plan,
    Spent,
)
from batch_screen.plan import lookups
from batch_screen.runs import Run

_log = masked_logger(__name__)


class History:
    """What a shard's journal says already: finished lookups, and what the others went through.

    ``unanswered`` counts requests that were noted and of which nothing else was saved.
    """

    def __init__(self, run: Run, shard: int) -> None:
        self.finished: set[Lookup] = set()
        self.failed_attempts: Counter[Lookup] = Counter()
        self.refusals: Counter[Lookup] = Counter()
        self.unanswered: Counter[Lookup] = Counter()
        self.held: dict[Lookup, Outcome] = {}
        self.tally = Tally()
        replay = Replay(run.journal, run.run_id, shard)
        for record in replay:
            self._learn(record)
        self._has_past = bool(self.failed_attempts or self.refusals or self.unanswered or self.held)
        self.dropped_bytes = replay.dropped_bytes

    def task(self, shard: int, lookup: Lookup) -> Task:
        """The lookup as an earlier start left it."""
        if not self._has_past:
            return Task(shard, lookup)
        return Task(
            shard,
            lookup,
            failed_attempts=self.failed_attempts[lookup],
            refusals=self.refusals[lookup],
            unanswered=self.unanswered[lookup],
            held=self.held.get(lookup),
        )

    def _learn(self, record: Record) -> None:
        self.tally.count(record)
        match record:
            case Intent(e164, endpoint, window):
                self.unanswered[Lookup(e164, endpoint, window)] += 1
            case Held(outcome):
                self._answered(outcome.lookup)
                self.held[outcome.lookup] = outcome
            case Attempt(e164, endpoint, window):
                self._tried(Lookup(e164, endpoint, window), record)
            case Outcome():
                self._answered(record.lookup)
                self.finished.add(record.lookup)

    def _tried(self, lookup: Lookup, attempt: Attempt) -> None:
        self._answered(lookup)
        if attempt.reason in NOT_COUNTED:
            return
        refused = attempt.kind is OutcomeKind.RATE_LIMITED
        counts = self.refusals if refused else self.failed_attempts
        counts[lookup] += 1

    def _answered(self, lookup: Lookup) -> None:
        if self.held.pop(lookup, None):  # its request was answered when it was held back
            return
        if self.unanswered[lookup] <= 1:
            del self.unanswered[lookup]  # nearly every lookup: only those in doubt are kept
        else:
            self.unanswered[lookup] -= 1


class SoFar(msgspec.Struct, frozen=True):
    """What earlier starts of a run have left: lookups with a saved outcome, and what was spent."""

    answered: dict[Endpoint, int]
    spent: dict[Endpoint, Spent]


def so_far(run: Run, plan: Plan, endpoints: Sequence[Endpoint]) -> SoFar:
    """How many lookups of each endpoint are answered, and what was spent on all there are.

    Raises ``JournalError`` if what was saved is damaged: before anything more is bought.
    """
    answered = dict.fromkeys(endpoints, 0)
    tally = Tally()
    begun = set(shards_with_segments(run.journal))
    for shard, planned in enumerate(plan.shards):
        if is_sealed(run.sealed, run.run_id, shard):
            for endpoint in answered:
                answered[endpoint] += planned.unique_numbers
            tally.add(sealed_spent(run.sealed, run.run_id, shard))
        elif shard not in begun and planned.unique_numbers and _was_sealed(run, shard):
            raise damaged(seal_path(run.sealed, shard))
        elif shard in begun:
            history = History(run, shard)
            for lookup in history.finished:
                answered[lookup.endpoint] += 1
            tally.add(history.tally.spent())
    return SoFar(answered, dict.fromkeys(endpoints, Spent()) | tally.spent())


def _was_sealed(run: Run, shard: int) -> bool:
    """Whether outcomes lie there of which nothing else is left: their segments went last."""
    return sealed_path(run.sealed, shard).exists()


class ShardLine:
    """The stream of tasks over all unsealed shards, and the sealing behind it."""

    def __init__(  # noqa: PLR0913 (what it works on, and whom it tells)
        self,
        run: Run,
        plan: Plan,
        screening: Screening,
        *,
        on_saved: Callable[[int], None],
        on_failure: Callable[[BaseException], None],
        most_waiting: int = COMMIT_RECORDS,
    ) -> None:
        """``most_waiting``: so many records are saved without waiting for more."""
        self._run = run
        self._plan = plan
        self._screening = screening
        self._on_saved = on_saved
        self._on_failure = on_failure
        self.unsaved = 0
        self._failure: BaseException | None = None
        self._missing: dict[int, int] = {}
        self._noted: defaultdict[int, list[Record]] = defaultdict(list)
        self._to_sync: list[Entry] = []
        self._sealing: set[asyncio.Future[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._writer = SegmentWriter(run.journal, run.run_id)
        self._commit = GroupCommit(
            self._writer,
            on_saved=lambda entries: self._in_loop(self._saved, entries),
            on_failure=lambda error: self._in_loop(self._failed, error),
            most_records=most_waiting,
        )

    def note(self, shard: int, intent: Intent) -> None:
        """Takes down the intent; its request may be sent only after ``flush``."""
        self._noted[shard].append(intent)

    def flush(self) -> None:
        """Hands what was noted, and what is to be saved, to the operating system.

        Raises ``OutputError`` if that fails, and again at every later call.
        """
        if not self._noted:
            return
        try:
            for shard, records in self._noted.items():
                self._writer.note(shard, *records)
        except OSError as error:
            raise self._cannot_save(error) from error
        self._noted.clear()
        for shard, record in self._to_sync:
            self._commit.append(shard, record)
        self._to_sync.clear()

    def save(self, shard: int, record: Attempt | Held | Outcome) -> None:
        """Hands a record to the journal, with all others of this turn of the loop.

        It outlives this process from then on; it counts once it is on disk.
        """
        self.unsaved += isinstance(record, Outcome)
        if not self._to_sync:
            self._loop.call_soon(self._flush_or_fail)
        self._noted[shard].append(record)
        self._to_sync.append((shard, record))

    def hurry(self) -> None:
        """Saves what waits without waiting for more."""
        self._flush_or_fail()
        self._commit.hurry()

    def tasks(self) -> Iterator[Task]:
        """Every lookup without an outcome, shard after shard."""
        for shard in range(len(self._plan.shards)):
            if seal_path(self._run.sealed, shard).exists():
                drop_segments(self._run.journal, shard)  # a crash may have left them
                continue
            yield from self._shard_tasks(shard)

    def _shard_tasks(self, shard: int) -> Iterator[Task]:
        history = History(self._run, shard)
        if history.dropped_bytes:
            _log.warning(
                "a crash has torn %d bytes off the journal of shard %d; they were dropped",
                history.dropped_bytes,
                shard,
            )
        self._missing[shard] = self._expected(shard) - len(history.finished)
        self._seal_if_complete(shard)
        screening = self._screening
        windows = {
            e: screening.max_age_minutes if e.takes_max_age else None for e in screening.endpoints
        }
        for lookup in lookups(self._run.plan, self._plan, shard, windows, history.finished):
            yield history.task(shard, lookup)

    async def close(self) -> None:
        """Returns when everything handed over is saved and all sealing begun has ended.

        Raises the first failure to save or seal, whatever else ended the run: nobody may be
        told that answers are saved when they are not.
        """
        self._flush_or_fail()
        await asyncio.to_thread(self._commit.close)
        await asyncio.sleep(0)  # what the saving thread has posted to the loop comes first
        await asyncio.gather(*self._sealing, return_exceptions=True)
        if self._failure is not None:
            raise self._failure

    def _flush_or_fail(self) -> None:
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001 (nobody else would hear of it)
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
            self._on_failure(error)

    def _in_loop(self, call: Callable[[Any], None], argument: object) -> None:
        self._loop.call_soon_threadsafe(call, argument)

    def _saved(self, entries: list[Entry]) -> None:
        outcomes = Counter(shard for shard, record in entries if isinstance(record, Outcome))
        self.unsaved -= outcomes.total()
        for shard, count in outcomes.items():
            self._missing[shard] -= count
            self._seal_if_complete(shard)
        self._on_saved(outcomes.total())

    def _failed(self, error: Exception) -> None:
        # A bug must not end saving in silence either.
        self._fail(self._cannot_save(error) if isinstance(error, OSError) else error)

    def _cannot_save(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot save outcomes to {self._run.journal}: {error.strerror}; no more requests are "
            "sent. Free space or fix the disk, then start again to resume"
        )

    def _expected(self, shard: int) -> int:
        return self._plan.shards[shard].unique_numbers * len(self._screening.endpoints)

    def _seal_if_complete(self, shard: int) -> None:
        if self._missing[shard] == 0:
            sealing = self._loop.run_in_executor(None, self._seal, shard)
            self._sealing.add(sealing)
            sealing.add_done_callback(self._sealed)

    def _seal(self, shard: int) -> None:
        self._writer.close_shard(shard)
        run = self._run
        seal(run.journal, run.sealed, run.run_id, shard, expected=self._expected(shard))

    def _sealed(self, sealing: asyncio.Future[None]) -> None:
        self._sealing.discard(sealing)
        if not sealing.cancelled() and (error := sealing.exception()):
            self._fail(error)
