from __future__ import annotations

import asyncio
import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from batch_screen.config.screening import Screening
from batch_screen.config.sections import Guards
from batch_screen.config.settings import Pacing, Retry, Settings
from batch_screen.engine import checkpoint as shards_module
from batch_screen.engine.adaptive_rate import AdaptiveRate
from batch_screen.engine.checkpoint import Checkpointer
from batch_screen.engine.dependencies import rules_of
from batch_screen.engine.resume import History, so_far
from batch_screen.engine.retry import ACCOUNT, HELD
from batch_screen.engine.tasks import Task, key_of
from batch_screen.errors import (
    BatchScreenError,
    ConfigurationError,
    JournalError,
    OutputError,
    QuotaError,
    Stopped,
)
from batch_screen.journal.records import Record
from batch_screen.journal.seal import seal_path
from batch_screen.journal.segments import Replay, SegmentWriter, segments
from batch_screen.model import (
    CANNOT_CONNECT,
    Answer,
    Attempt,
    Endpoint,
    Intent,
    Lookup,
    Outcome,
    OutcomeKind,
    Plan,
    Spent,
    WithheldOutcome,
)
from batch_screen.planning.shards import Regions
from batch_screen.runs.state import Run
from tests.making import dispatcher_of, made, number
from tests.thoroughness import in_full

CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE
BOTH = Screening(endpoints=(CHECK, DATE))
CELLS = [i * 7 % 60 for i in range(200)]


def answer(lookup: Lookup, **values: Any) -> Outcome:
    return Outcome(
        lookup.e164,
        lookup.endpoint,
        lookup.max_age_minutes,
        **{"kind": OutcomeKind.SUCCESS, "attempts": 1, **values},
    )


def journal(run: Run, shard: int, *records: Record) -> None:
    writer = SegmentWriter(run.journal, run.run_id)
    writer.write(shard, records)
    writer.close()


class Session:
    """One start of a run: a shard line and what it has reported."""

    def __init__(self, run: Run, plan: Plan, screening: Screening = BOTH) -> None:
        self.run, self.plan, self.screening = run, plan, screening
        self.saved = 0
        self.failures: list[BaseException] = []
        self.tasks: list[Task] = []
        self.error: BaseException | None = None

    def go(self, what: Callable[[Session, Checkpointer], Any]) -> Session:
        asyncio.run(self._go(what))
        return self

    async def _go(self, what: Callable[[Session, Checkpointer], Any]) -> None:
        def count(outcomes: int) -> None:
            self.saved += outcomes

        line = Checkpointer(
            self.run,
            self.plan,
            rules_of(Settings(screening=self.screening)),
            on_saved=count,
            on_failure=self.failures.append,
        )
        try:
            what(self, line)
        except (BatchScreenError, ZeroDivisionError) as error:
            self.error = error
        finally:
            try:
                await line.close()
            except Exception as error:  # noqa: BLE001 (what close raises is looked at)
                self.error = self.error or error

    def sealed(self) -> list[Path]:
        return [
            path
            for shard in range(len(self.plan.shards))
            if (path := seal_path(self.run.sealed, shard)).exists()
        ]


def ask_everything(session: Session, line: Checkpointer) -> None:
    for task in line.tasks():
        session.tasks.append(task)
        line.note(task.shard, Intent(task.lookup.e164, task.lookup.endpoint))
        line.flush()
        line.save(task.shard, answer(task.lookup))


def ask_some(share: float) -> Callable[[Session, Checkpointer], None]:
    def ask(session: Session, line: Checkpointer) -> None:
        chance = random.Random(7)
        for task in line.tasks():
            if chance.random() < share:
                session.tasks.append(task)
                line.save(task.shard, answer(task.lookup))

    return ask


@pytest.fixture(params=[1000, 50], ids=["one shard", "four shards"])
def planned(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Run, Plan]:
    return made(tmp_path, CELLS, shard_rows=request.param)


def outcomes(run: Run) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted(run.sealed.glob("*.parquet"))])


def test_every_lookup_is_asked_once_counted_and_sealed(planned: tuple[Run, Plan]) -> None:
    run, plan = planned
    session = Session(run, plan).go(ask_everything)
    lookups = [task.lookup for task in session.tasks]
    expected = {
        Lookup(number(i), e, 2400 if e is CHECK else None) for i in CELLS for e in (CHECK, DATE)
    }
    assert len(lookups) == len(set(lookups)) == len(expected) == 120
    assert set(lookups) == expected
    assert session.saved == 120
    assert (session.error, session.failures) == (None, [])
    assert len(session.sealed()) == len(plan.shards)
    assert list(run.journal.iterdir()) == []
    assert outcomes(run).height == 120


def test_the_last_outcomes_are_sealed_though_they_come_just_before_the_end(
    planned: tuple[Run, Plan],
) -> None:
    for _ in range(10):
        Session(*planned).go(ask_some(0.3))
    session = Session(*planned).go(ask_everything)
    assert session.error is None
    assert len(session.sealed()) == len(planned[1].shards)


def test_a_resume_asks_only_what_is_missing(planned: tuple[Run, Plan]) -> None:
    run, plan = planned
    first = Session(run, plan).go(ask_some(0.5))
    second = Session(run, plan).go(ask_everything)
    asked = [task.lookup for session in (first, second) for task in session.tasks]
    assert 30 < len(first.tasks) < 90
    assert len(asked) == len(set(asked)) == 120
    assert first.saved + second.saved == 120
    assert outcomes(run).height == 120
    third = Session(run, plan).go(ask_everything)
    assert third.tasks == []


def drop_dates(session: Session, line: Checkpointer) -> None:
    """The endpoint is given up after a while: the other one is asked to the end."""
    for task in line.tasks():
        if task.lookup.endpoint is DATE and len(session.tasks) >= 20:
            line.drop(task.shard, task.lookup)
            continue
        session.tasks.append(task)
        line.save(task.shard, answer(task.lookup))


def test_what_was_dropped_is_asked_by_the_next_start(planned: tuple[Run, Plan]) -> None:
    run, plan = planned
    first = Session(run, plan).go(drop_dates)
    assert (first.error, first.failures) == (None, [])
    assert first.saved == len(first.tasks) < 120
    assert first.sealed() == [], "a shard that lacks an outcome is not sealed"
    second = Session(run, plan).go(ask_everything)
    asked = {task.lookup for session in (first, second) for task in session.tasks}
    assert {task.lookup.endpoint for task in second.tasks} == {DATE}
    assert len(asked) == len(first.tasks) + len(second.tasks) == 120
    assert len(second.sealed()) == len(plan.shards)
    assert outcomes(run).height == 120


def test_a_shard_of_which_all_is_dropped_is_closed(planned: tuple[Run, Plan]) -> None:
    def drop_all(_: Session, line: Checkpointer) -> None:
        for task in line.tasks():
            line.drop(task.shard, task.lookup)

    session = Session(*planned).go(drop_all)
    assert (session.error, session.saved, session.sealed()) == (None, 0, [])
    assert len(Session(*planned).go(ask_everything).tasks) == 120


def test_a_shard_is_closed_only_after_what_was_saved_before_the_drop(
    planned: tuple[Run, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal's thread may still be saving when the last lookup of a shard is dropped."""
    run, plan = planned
    may_sync, closed = threading.Event(), Counter[int]()
    sync, close_shard = SegmentWriter.sync, SegmentWriter.close_shard

    def slow_sync(writer: SegmentWriter, shard: int) -> None:
        assert may_sync.wait(10)
        sync(writer, shard)

    def counted(writer: SegmentWriter, shard: int) -> None:
        closed[shard] += 1
        close_shard(writer, shard)

    monkeypatch.setattr(SegmentWriter, "sync", slow_sync)
    monkeypatch.setattr(SegmentWriter, "close_shard", counted)

    async def main() -> None:
        failures: list[BaseException] = []
        line = Checkpointer(
            run,
            plan,
            rules_of(Settings(screening=BOTH)),
            on_saved=lambda _: None,
            on_failure=failures.append,
        )
        for task in line.tasks():
            line.save(task.shard, Attempt(*key_of(task.lookup), kind=OutcomeKind.TIMEOUT))
            line.drop(task.shard, task.lookup)
        line.hurry()
        await asyncio.sleep(0.05)
        assert not closed, "there is still something to save"
        may_sync.set()
        while len(closed) < len(plan.shards):  # noqa: ASYNC110 (threads close them)
            await asyncio.sleep(0.01)
        await line.close()
        assert not failures

    asyncio.run(asyncio.wait_for(main(), 10))
    assert closed == dict.fromkeys(range(len(plan.shards)), 1)
    history = [History(run, shard) for shard in range(len(plan.shards))]
    assert sum(each.failed_attempts.total() for each in history) == 120


def test_a_finished_shard_that_was_not_sealed_is_sealed(planned: tuple[Run, Plan]) -> None:
    run, plan = planned
    crashed = Session(run, plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpointer, "_seal_if_complete", lambda *_: None)
        crashed.go(ask_everything)
    assert crashed.sealed() == []
    resumed = Session(run, plan).go(ask_everything)
    assert (resumed.tasks, resumed.saved, resumed.error) == ([], 0, None)
    assert len(resumed.sealed()) == len(plan.shards)


def test_shards_without_rows_are_sealed_too(tmp_path: Path) -> None:
    run, plan = made(tmp_path, [1] * 8, shard_rows=2)
    assert sorted(s.rows for s in plan.shards) == [0, 0, 0, 8]
    session = Session(run, plan).go(ask_everything)
    assert len(session.tasks) == 2
    assert len(session.sealed()) == 4


def test_segments_that_a_crash_left_behind_a_seal_go(planned: tuple[Run, Plan]) -> None:
    run, plan = planned
    Session(run, plan).go(ask_everything)
    journal(run, 0, Intent(number(1), CHECK, 2400))
    session = Session(run, plan).go(ask_everything)
    assert session.tasks == []
    assert list(run.journal.iterdir()) == []


def test_attempts_of_an_earlier_start_come_back_with_their_task(tmp_path: Path) -> None:
    run, plan = made(tmp_path, [1, 2])
    key = (number(1), CHECK, 2400)
    journal(
        run,
        0,
        Intent(*key),
        Attempt(*key, kind=OutcomeKind.TIMEOUT),
        Intent(*key, attempt=2),
        Attempt(*key, kind=OutcomeKind.RATE_LIMITED, http_status=429),
        Attempt(*key, kind=OutcomeKind.UNREACHABLE, reason=CANNOT_CONNECT),
        Attempt(*key, kind=OutcomeKind.FORBIDDEN, http_status=401, reason=ACCOUNT),
        Intent(*key, attempt=3),
        Attempt(*key, kind=OutcomeKind.UNREACHABLE, reason="connection_lost"),
        Intent(number(2), CHECK, 2400),
    )
    session = Session(run, plan, Screening()).go(ask_everything)
    assert [(t.lookup.e164, t.failed_attempts, t.refusals) for t in session.tasks] == [
        (number(1), 2, 1),
        (number(2), 0, 0),
    ]
    assert [t.unanswered for t in session.tasks] == [0, 1]


def test_requests_without_an_answer_are_counted_over_several_crashes(tmp_path: Path) -> None:
    run, plan = made(tmp_path, [1, 2, 3])
    one, two, three = ((number(i), CHECK, 2400) for i in (1, 2, 3))
    journal(run, 0, Intent(*one), Intent(*two), Intent(*three))
    journal(run, 0, Intent(*one, attempt=2), Intent(*two, attempt=2), Attempt(*two))
    journal(
        run, 0, Intent(*one, attempt=3), WithheldOutcome(Outcome(*one, kind=OutcomeKind.NOT_FOUND))
    )
    session = Session(run, plan, Screening()).go(ask_everything)
    assert [(t.lookup.e164, t.unanswered, t.failed_attempts) for t in session.tasks] == [
        (number(1), 2, 0),
        (number(2), 1, 1),
        (number(3), 1, 0),
    ]
    assert session.tasks[0].held == Outcome(*one, kind=OutcomeKind.NOT_FOUND)


def test_what_was_held_back_until_the_canary_fell_is_asked_again(tmp_path: Path) -> None:
    run, _ = made(tmp_path, [1, 2])
    one, two = ((number(i), CHECK, 2400) for i in (1, 2))
    journal(run, 0, Intent(*two), Intent(*one), Intent(*one), WithheldOutcome(Outcome(*one)))
    assert set(History(run, 0).held) == {one[:2]}
    journal(run, 0, Attempt(*one, reason=HELD))
    history = History(run, 0)
    assert history.held == {}
    assert history.failed_attempts == {}
    assert history.unanswered == {one[:2]: 1, two[:2]: 1}


def test_history_takes_back_intents_that_were_answered(tmp_path: Path) -> None:
    run, _ = made(tmp_path, [1, 2, 3])
    keys = [(number(i), CHECK, 2400) for i in (1, 2, 3)]
    journal(run, 0, *(Intent(*key) for key in keys))
    journal(run, 0, Outcome(*keys[0]), Attempt(*keys[1]))
    history = History(run, 0)
    assert history.finished == {keys[0][:2]}
    assert history.unanswered == {keys[2][:2]: 1}
    [path, _] = segments(run.journal, 0)
    path.write_bytes(path.read_bytes() + b"torn")
    assert History(run, 0).dropped_bytes == 4


def test_damage_in_the_middle_of_a_shard_is_refused(planned: tuple[Run, Plan]) -> None:
    run, plan = planned
    Session(run, plan).go(ask_some(0.5))
    path = max(run.journal.iterdir())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    session = Session(run, plan).go(ask_everything)
    assert isinstance(session.error, JournalError)
    assert path.name in str(session.error)
    assert path.exists()
    with pytest.raises(JournalError, match=path.name):
        so_far(run, plan, [CHECK, DATE])


def test_a_full_disk_is_told_once_and_raised_at_the_end(
    planned: tuple[Run, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    session = Session(*planned).go(ask_everything)
    assert isinstance(session.error, OutputError)
    assert "No space left on device" in str(session.error)
    assert {str(failure) for failure in session.failures} <= {str(session.error)}
    assert session.saved == 0
    assert session.sealed() == []


@pytest.mark.parametrize("error", [JournalError("count"), OutputError("disk"), ZeroDivisionError()])
def test_a_failure_to_seal_is_not_swallowed(
    planned: tuple[Run, Plan], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(shards_module, "seal", fail)
    session = Session(*planned).go(ask_everything)
    assert session.error is error
    assert session.failures[0] is error


class Copied:
    """A state in a bucket, which lies in the run's folder."""

    commit_seconds, is_held = 0.0, True

    def __init__(self, run: Run) -> None:
        self.run = run

    def writer(self) -> SegmentWriter:
        return SegmentWriter(self.run.journal, self.run.run_id)

    def may_seal(self, shard: int) -> bool:
        return True

    def keep_seal(self, shard: int) -> None:
        pass


@pytest.mark.parametrize("regions", [None, Regions(frozenset(), are_meant=False)])
def test_the_loop_goes_on_while_a_shard_is_claimed(
    planned: tuple[Run, Plan], monkeypatch: pytest.MonkeyPatch, regions: Regions | None
) -> None:
    run, plan = planned
    may_claim, claim = threading.Event(), SegmentWriter.claim

    def slowly(writer: SegmentWriter, shard: int) -> int:
        assert may_claim.wait(10)
        return claim(writer, shard)

    monkeypatch.setattr(SegmentWriter, "claim", slowly)

    async def main() -> None:
        woken = asyncio.Event()
        line = Checkpointer(
            run,
            plan,
            rules_of(Settings(screening=BOTH)),
            on_saved=lambda _: woken.set(),
            on_failure=lambda _: None,
            may_seal=lambda _: True,
            copy=Copied(run),
            regions=regions,
        )
        assert [*line.tasks()] == []
        assert line.expects_more
        may_claim.set()
        await asyncio.wait_for(woken.wait(), 10)
        assert next(line.tasks()).shard == 0
        assert line.epochs == {0: 0}
        await line.close()

    asyncio.run(main())


def test_a_contract_with_nothing_left_to_ask_seals_under_an_epoch_of_its_own(
    tmp_path: Path,
) -> None:
    run, plan = made(tmp_path, CELLS, shard_rows=1000)

    async def main(regions: Regions, *, may_seal: bool) -> dict[int, int]:
        line = Checkpointer(
            run,
            plan,
            rules_of(Settings(screening=BOTH)),
            on_saved=lambda _: None,
            on_failure=lambda _: None,
            may_seal=lambda _: may_seal,
            copy=Copied(run),
            regions=regions,
        )
        while line.expects_more:
            for task in line.tasks():
                line.save(task.shard, answer(task.lookup))
            await asyncio.sleep(0)
        await line.close()
        return line.epochs

    everybody, nobody = (Regions(frozenset(), are_meant=meant) for meant in (False, True))
    assert asyncio.run(main(everybody, may_seal=False)) == {0: 0}
    assert asyncio.run(main(nobody, may_seal=True)) == {0: 1}
    # Another machine that seals the shard at the same time does not write to this file.
    assert [path.name for path in run.sealed.glob("*.parquet")] == ["00000-00001.parquet"]
    assert outcomes(run).height == 120


def test_a_bug_while_saving_is_not_swallowed(
    planned: tuple[Run, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: object) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr("batch_screen.journal.segments.encode", bug)
    session = Session(*planned).go(ask_everything)
    assert isinstance(session.error, ZeroDivisionError)


def test_an_answer_outlives_the_process_before_it_is_on_disk(
    planned: tuple[Run, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_read = threading.Event()
    monkeypatch.setattr(SegmentWriter, "sync", lambda *_: is_read.wait(5))
    kept: list[object] = []

    def ask_one(session: Session, line: Checkpointer) -> None:
        task = next(line.tasks())
        line.save(task.shard, answer(task.lookup))
        line.flush()
        kept.extend(Replay(session.run.journal, session.run.run_id, task.shard))
        is_read.set()

    Session(*planned).go(ask_one)
    assert [type(record) for record in kept] == [Outcome]


def test_a_full_disk_is_told_before_the_request_is_sent(
    planned: tuple[Run, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def ask_one(session: Session, line: Checkpointer) -> None:
        task = next(line.tasks())
        monkeypatch.setattr("batch_screen.journal.segments._write_all", full)
        line.note(task.shard, Intent(task.lookup.e164, task.lookup.endpoint))
        with pytest.raises(OutputError, match=r"No space left on device.*no more requests"):
            line.flush()
        monkeypatch.undo()
        with pytest.raises(OutputError, match="No space left on device"):
            line.flush()
        line.save(task.shard, answer(task.lookup))

    session = Session(*planned).go(ask_one)
    assert isinstance(session.error, OutputError), "nothing stands behind a line half written"
    assert session.failures == [session.error]
    assert session.saved == 0


def test_answered_lookups_count_journal_and_sealed_shards(planned: tuple[Run, Plan]) -> None:
    run, plan = planned
    endpoints = [CHECK, DATE]
    assert so_far(run, plan, endpoints).answered == {CHECK: 0, DATE: 0}
    half = Session(run, plan).go(ask_some(0.5))
    answered = so_far(run, plan, endpoints).answered
    assert answered == {e: sum(t.lookup.endpoint is e for t in half.tasks) for e in endpoints}
    Session(run, plan).go(ask_everything)
    assert so_far(run, plan, endpoints).answered == {CHECK: 60, DATE: 60}


def test_what_was_spent_is_counted_over_journal_and_sealed_shards(
    planned: tuple[Run, Plan],
) -> None:
    run, plan = planned
    nothing = {CHECK: Spent(), DATE: Spent()}
    assert so_far(run, plan, BOTH.endpoints).spent == nothing
    key = (number(7), CHECK, 2400)
    journal(run, 0, Intent(*key), Attempt(*key, kind=OutcomeKind.RATE_LIMITED))
    journal(run, 0, Intent(*key), Attempt(*key, reason=CANNOT_CONNECT), Intent(*key))
    assert so_far(run, plan, BOTH.endpoints).spent == {**nothing, CHECK: Spent(2, 1)}
    Session(run, plan).go(ask_everything)
    assert so_far(run, plan, BOTH.endpoints).spent == {CHECK: Spent(62, 1), DATE: Spent(60)}
    journal(run, 0, Intent(*key))  # a crash may leave the segments of a sealed shard
    assert so_far(run, plan, BOTH.endpoints).spent == {CHECK: Spent(62, 1), DATE: Spent(60)}


ANSWERS = [
    *[Answer(kind=OutcomeKind.SUCCESS, http_status=200)] * 8,
    *[Answer(kind=OutcomeKind.NOT_FOUND, http_status=404)] * 4,
    *[Answer(kind=OutcomeKind.RATE_LIMITED, http_status=429, retry_after_seconds=0)] * 3,
    *[Answer(kind=OutcomeKind.SERVER_ERROR, http_status=500)] * 2,
    Answer(kind=OutcomeKind.UNREACHABLE, reason=CANNOT_CONNECT),
    Answer(kind=OutcomeKind.UNREACHABLE, reason="connection_lost"),
    Answer(kind=OutcomeKind.RATE_LIMITED, http_status=429, code="QUOTA_EXCEEDED"),
    None,  # none before the run ends
]
FAST = Settings(
    screening=BOTH,
    pacing=Pacing(rate_per_second=1e6, ramp_up_seconds=0),
    retry=Retry(max_attempts=2, max_refusals=2, base_delay_seconds=1e-6),
    guards=Guards(grace_seconds=0, canary_answers=5, max_consecutive_failures=0),
)


class Deaf(AdaptiveRate):
    """What the server says of its rate is of no interest here."""

    def pause(self, seconds: float) -> None: ...

    def refused(self, *_: object, **__: object) -> bool:
        return False


class Server:
    """Answers at random, and knows what it was asked."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.requests: Counter[Endpoint] = Counter()
        self.refusals: Counter[Endpoint] = Counter()

    def spent(self) -> dict[Endpoint, Spent]:
        return {e: Spent(self.requests[e], self.refusals[e]) for e in BOTH.endpoints}

    async def ask(self, lookup: Lookup, _correlator: str) -> Answer:
        answer = self.chance.choice(ANSWERS)
        self.requests[lookup.endpoint] += answer is None or answer.reason != CANNOT_CONNECT
        await asyncio.sleep(0 if answer else 3600)
        assert answer is not None
        self.refusals[lookup.endpoint] += answer.kind is OutcomeKind.RATE_LIMITED
        return answer


async def start(run: Run, plan: Plan, server: Server, requests: int) -> None:
    """One start, which is stopped when so many requests were asked."""
    loop = asyncio.get_running_loop()
    line = Checkpointer(
        run, plan, rules_of(FAST), on_saved=lambda _: None, on_failure=lambda _: None
    )

    async def ask(lookup: Lookup, correlator: str) -> Answer:
        if dispatcher.attempts >= requests:
            dispatcher.halt(Stopped("enough"))
        return await server.ask(lookup, correlator)

    dispatcher = dispatcher_of(FAST, ask, line, rate=1e6, correlate=run.correlator, adaptive=Deaf)
    loop.call_later(0.3, dispatcher.halt, Stopped("nothing is answered any more"))
    try:
        await dispatcher.run(line.tasks())
    except (ConfigurationError, QuotaError, Stopped):
        pass  # the first answers may all be 404, by chance
    finally:
        await line.close()


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=in_full) for n in range(2, 6))])
def test_what_was_spent_is_what_the_server_was_asked(tmp_path: Path, seed: int) -> None:
    run, plan = made(tmp_path, range(40), shard_rows=10)
    server = Server(seed)
    for _ in range(200):
        asyncio.run(start(run, plan, server, server.chance.randrange(1, 40)))
        found = so_far(run, plan, BOTH.endpoints)
        assert found.spent == server.spent()
        if sum(found.answered.values()) == 80:
            break
    assert len(list(run.sealed.glob("*.seal"))) == len(plan.shards)
    assert any(spent.refusals for spent in found.spent.values())
