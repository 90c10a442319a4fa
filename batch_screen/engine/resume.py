"""Resume: reads back, shard by shard, the journal of a run's earlier sessions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import polars as pl

from batch_screen.engine.retry import NOT_COUNTED
from batch_screen.engine.tasks import Task
from batch_screen.journal.records import Record, SpendCounter
from batch_screen.journal.seal import is_sealed, seal_path, sealed_spent
from batch_screen.journal.segments import Replay, shards_with_segments
from batch_screen.model import (
    Attempt,
    Endpoint,
    Intent,
    Key,
    Lookup,
    Outcome,
    OutcomeKind,
    Plan,
    Spent,
    WithheldOutcome,
)
from batch_screen.planning.shards import planned_numbers, read_carried
from batch_screen.runs.state import Run
from batch_screen.storage.records import damaged


class History:
    """A shard's journal as read back: finished lookups, and the attempts of the others.

    ``unanswered`` counts requests that were noted and of which nothing else was saved. Where a
    number's lookups wait for each other, ``endpoints`` says which there are, and the outcomes
    of numbers that lack some are kept. ``carried`` are outcomes from before the journal; where
    ``only`` names numbers, nothing is learned of others but what was spent on them.
    """

    def __init__(  # noqa: PLR0913 (whose journal, and what of it matters)
        self,
        run: Run,
        shard: int,
        endpoints: Sequence[Endpoint] = (),
        carried: pl.DataFrame | None = None,
        only: pl.Series | None = None,
        *,
        is_new: bool = False,
    ) -> None:
        """``is_new``: nothing in the journal is about these numbers, so it is not read."""
        self.finished: set[Key] = set()
        self.failed_attempts: Counter[Key] = Counter()
        self.refusals: Counter[Key] = Counter()
        self.unanswered: Counter[Key] = Counter()
        self.held: dict[Key, Outcome] = {}
        self.outcomes: dict[str, dict[Endpoint, Outcome]] = {}
        self.proved: Counter[Endpoint] = Counter()
        self.tally = SpendCounter()
        self._complete = len(endpoints)
        self._only = None if only is None else frozenset(only)
        if carried is not None:
            self._carry(carried)
        replay = Replay(run.journal, run.run_id, shard)
        for record in () if is_new else replay:
            self._learn(record)
        self._has_past = bool(self.failed_attempts or self.refusals or self.unanswered or self.held)
        self.dropped_bytes = replay.dropped_bytes

    def task(self, shard: int, lookup: Lookup) -> Task:
        """The task of a lookup, with its earlier attempts."""
        return self.recall(Task(shard, lookup))

    def recall(self, task: Task) -> Task:
        """Restores the task's earlier attempts."""
        if self._has_past:
            key = task.lookup.key
            task.failed_attempts = self.failed_attempts[key]
            task.refusals = self.refusals[key]
            task.unanswered = self.unanswered[key]
            task.held = self.held.get(key)
        return task

    def has_begun(self, key: Key) -> bool:
        """Whether an unfinished lookup has been asked before."""
        counted = (self.held, self.failed_attempts, self.refusals, self.unanswered)
        return self._has_past and key not in self.finished and any(key in some for some in counted)

    def _carry(self, carried: pl.DataFrame) -> None:
        names = {endpoint.value: endpoint for endpoint in Endpoint}
        for e164, name in carried.select("e164", "endpoint").iter_rows():
            self.finished.add((e164, names[name]))
        if self._complete:
            lacks_some = pl.len().over("e164") < self._complete
            for row in carried.filter(lacks_some).iter_rows(named=True):
                outcome = msgspec.convert({**row, "kind": row["outcome"]}, Outcome)
                self.outcomes.setdefault(outcome.e164, {})[outcome.endpoint] = outcome

    def _learn(self, record: Record) -> None:
        self.tally.count(record)
        if self._only is not None and _number_of(record) not in self._only:
            return
        match record:
            case Intent(e164, endpoint):
                self.unanswered[e164, endpoint] += 1
            case WithheldOutcome(outcome):
                self._answered(outcome.key)
                self.held[outcome.key] = outcome
            case Attempt(e164, endpoint):
                self._answered((e164, endpoint))
                if record.reason not in NOT_COUNTED:
                    is_refused = record.kind is OutcomeKind.RATE_LIMITED
                    counts = self.refusals if is_refused else self.failed_attempts
                    counts[e164, endpoint] += 1
            case Outcome():
                self._answered(record.key)
                self.finished.add(record.key)
                self.proved[record.endpoint] += record.attempts > 0
                if self._complete:
                    number = self.outcomes.setdefault(record.e164, {})
                    number.setdefault(record.endpoint, record)  # the first saved one counts
                    if len(number) == self._complete:
                        del self.outcomes[record.e164]

    def _answered(self, key: Key) -> None:
        if self.held.pop(key, None):  # its request was answered when it was held back
            return
        if self.unanswered[key] <= 1:
            del self.unanswered[key]  # nearly every lookup: only those in doubt are kept
        else:
            self.unanswered[key] -= 1


def _number_of(record: Record) -> str:
    outcome = record.outcome if isinstance(record, WithheldOutcome) else record
    return getattr(outcome, "e164", "")


class SoFar(msgspec.Struct, frozen=True):
    """Progress of earlier sessions: lookups with a saved outcome, and requests spent.

    ``proved`` counts the outcomes among them for which the endpoint was asked.
    """

    answered: dict[Endpoint, int]
    spent: dict[Endpoint, Spent]
    proved: dict[Endpoint, int] = {}


def so_far(
    run: Run, plan: Plan, endpoints: Sequence[Endpoint], folder: Path | None = None
) -> SoFar:
    """Counts saved outcomes per endpoint, and what was spent; the plan may lie in a ``folder``.

    Raises ``JournalError`` if what was saved is damaged: before anything more is bought.
    """
    answered, proved = dict.fromkeys(endpoints, 0), Counter[Endpoint]()
    tally = SpendCounter()
    begun = set(shards_with_segments(run.journal))
    for shard, planned in enumerate(plan.shards):
        if is_sealed(run.sealed, run.run_id, shard):  # complete: counted without reading outcomes
            for endpoint in answered:
                answered[endpoint] += planned.unique_numbers
            spent = sealed_spent(run.sealed, run.run_id, shard)
            tally.add(spent)
            for endpoint, asked in spent.items():
                proved[endpoint] += min(planned.unique_numbers, asked.requests - asked.refusals)
        elif shard in begun or planned.carried:
            carried = read_carried(folder or run.plan, plan, shard)
            only = planned_numbers(folder or run.plan, plan, shard)
            history = History(run, shard, carried=carried, only=only)
            for _, endpoint in history.finished:
                answered[endpoint] += 1
            proved += history.proved
            tally.add(history.tally.spent())
        elif planned.unique_numbers and any(run.sealed.glob(f"{shard:05d}*.parquet")):
            raise damaged(seal_path(run.sealed, shard))  # it was sealed: its segments went last
    return SoFar(answered, dict.fromkeys(endpoints, Spent()) | tally.spent(), dict(proved))
