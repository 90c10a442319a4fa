from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from batch_screen.cluster.store import StateBucket, state_store
from batch_screen.commands.status import State, status
from batch_screen.errors import JournalError, OutputError
from batch_screen.journal.seal import write_sealed
from batch_screen.model import Endpoint, Intent, Plan, ShardPlan
from batch_screen.runs.events import RunEvents
from batch_screen.runs.finding import find_run, unfinished_runs
from batch_screen.runs.state import Identity, Run, create_run, new_run_id
from batch_screen.storage.objects import ObjectStore
from batch_screen.storage.records import write_record
from tests.buckets import Bucket, Faults, faulty, use
from tests.thoroughness import in_full

from .test_reign import Notes

IDENTITY = Identity(["c0ffee"], "2026-03-02", {})
OTHER = Identity(["decaf"], "2026-03-03", {})
SHARDS = 3


def machine(bucket: Bucket, state: Path) -> StateBucket:
    return StateBucket(*state_store(f"{bucket.address}/p"), state, None)


def begun(
    bucket: Bucket, state: Path, identity: Identity = IDENTITY, taken: tuple[str, ...] = ()
) -> Run:
    """A run of one machine: a shard is sealed, and one under way."""
    run = create_run(state, identity, [], taken)
    shards = [ShardPlan(rows=1, unique_numbers=1, sha256="")] * SHARDS
    run.plan.mkdir()
    write_record(run.plan / "plan.json", Plan(SHARDS, SHARDS, {}, "", shards, [], {}))
    place = machine(bucket, state).place(run.run_id)
    place.keep_plan(run)
    writer = place.writer()
    for shard in range(2):
        writer.claim(shard)
        for number in range(3):
            note = Intent(f"+44207946{number:04}", Endpoint.SIM_SWAP_CHECK, attempt=1)
            writer.write(shard, [note])
    writer.close()
    write_sealed(pl.DataFrame({"e164": ["x"]}), run.sealed, run.run_id, 0, {}, epoch=0)
    place.keep_seal(0)
    return run


def passed_over(
    bucket: Bucket, state: Path, sought: Identity | None, day: str = "2026-03-02"
) -> tuple[list[str], list[str]]:
    """The ids that a start passes over, and its notes; it looks for a run unless that is None."""
    notes, found = Notes(), machine(bucket, state)
    events = RunEvents(notes)
    find = partial(find_run, identity=sought, inputs=[]) if sought else None
    found.restore(day, events)
    return found.pass_over(new_run_id(sought or IDENTITY, 1), find, events), notes.lines


def one(bucket: Bucket, part: str) -> str:
    """The first object with this in its key."""
    return next(key for key in bucket.keys if part in key)


DAMAGE: dict[str, Callable[[Bucket], None]] = {
    "pieces of the journal are missing": lambda b: b.delete(one(b, "/journal/00001/00000/0000000")),
    "plans/0000.json: it is damaged": lambda b: b.put(one(b, "/plans/"), b"{"),
    "files of the plan are missing": lambda b: b.delete(one(b, "/run.json")),
    "/plan: files of the plan are missing": lambda b: b.delete(one(b, "/plans/")),
    "00000.seal: it is damaged": lambda b: b.put(one(b, ".seal"), b"\xff"),
    "it is missing, though its seal is there": lambda b: b.delete(one(b, "/00000-00000.parquet")),
}


@pytest.mark.parametrize(
    "what",
    [pytest.param(each, marks=() if n < 2 else in_full) for n, each in enumerate(DAMAGE)],
)
def test_a_damaged_run_is_passed_over_but_by_the_start_that_would_resume_it(
    bucket: Bucket, tmp_path: Path, what: str
) -> None:
    run, other = begun(bucket, tmp_path / "a"), begun(bucket, tmp_path / "a", OTHER)
    DAMAGE[what](bucket)
    for sought in (OTHER, None):  # another list, and --new-run
        taken, [note] = passed_over(bucket, tmp_path / "b", sought)
        assert taken == [run.run_id]
        assert note.startswith(f"run {run.run_id} is passed over, as its state in the bucket is ")
        assert what in note
        assert f"damaged: {bucket.address}/p/runs/2026" in note
        assert "restore it (an older version of the bucket has it), or start" in note
    assert [path.name for path in (tmp_path / "b" / "runs").iterdir()] == [other.run_id]
    for state in "ab":  # where all of it is still there, too
        with pytest.raises(JournalError, match=what):
            passed_over(bucket, tmp_path / state, IDENTITY)
    # The one that --new-run began is gone on with.
    again = begun(bucket, tmp_path / "b", taken=(run.run_id,))
    assert again.run_id == f"{run.run_id}-2"
    assert passed_over(bucket, tmp_path / "c", IDENTITY)[0] == [run.run_id]


def test_a_damaged_run_of_another_day_counts_as_unfinished(bucket: Bucket, tmp_path: Path) -> None:
    begun(bucket, tmp_path / "a")
    bucket.delete(one(bucket, "/journal/"))
    later = Identity(IDENTITY.content, "2026-03-04", {})
    found = machine(bucket, tmp_path / "b")
    found.restore(later.run_date, RunEvents())
    with pytest.raises(JournalError, match="pieces of the journal are missing"):
        found.pass_over(
            new_run_id(later, 1),
            lambda state: next(iter(unfinished_runs(state, later)), None),
            RunEvents(),
        )


def test_a_damaged_run_is_none_that_is_restored(bucket: Bucket, tmp_path: Path) -> None:
    run = begun(bucket, tmp_path / "a")
    bucket.delete(one(bucket, "/journal/"))
    found = machine(bucket, tmp_path / "a")
    found.restore("2026-03-02", RunEvents())
    with pytest.raises(JournalError, match="pieces of the journal are missing"):
        found.place(run.run_id)


def test_a_bucket_that_is_away_passes_over_nothing(
    bucket: Bucket, bucket_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(bucket, tmp_path / "a")
    monkeypatch.setattr("batch_screen.storage.objects._RETRIES", {"max_retries": 0})
    with faulty(bucket_server, faults := Faults()) as url:
        use(monkeypatch, url)
        found, read = machine(bucket, tmp_path / "b"), ObjectStore.read

        def read_until_away(store: ObjectStore, key: str) -> bytes:
            faults.is_away = "/journal/" in key
            return read(store, key)

        monkeypatch.setattr(ObjectStore, "read", read_until_away)
        with pytest.raises(OutputError, match="HTTP 503"):
            found.restore("2026-03-02", RunEvents())


def test_other_names_are_nobody_s(bucket: Bucket, tmp_path: Path) -> None:
    run = begun(bucket, tmp_path / "a")
    own = f"p/runs/{run.run_id}/"
    for name in ("plans/", "journal/", "journal/00001/", "sealed/", "sessions/", ""):
        bucket.put(f"{own}{name}.DS_Store", b"")
    for name in ("journal/00001/x", "sealed/x.seal", "plans/1.json", "sessions/a/b"):
        bucket.put(f"{own}{name}", b"")
    bucket.put("p/runs/.DS_Store", b"")
    bucket.put("p/runs/backup/plans/0000.json", b"{")
    assert passed_over(bucket, tmp_path / "b", IDENTITY) == ([], [])
    assert machine(bucket, tmp_path / "b").run_ids() == [run.run_id]
    [found] = status(None, bucket=f"{bucket.address}/p").runs
    assert (found.state, found.done) == (State.RESUMABLE, 1)


def test_status_shows_the_others_and_says_which_is_damaged(bucket: Bucket, tmp_path: Path) -> None:
    run, other = begun(bucket, tmp_path / "a"), begun(bucket, tmp_path / "a", OTHER)
    bucket.delete(one(bucket, "/journal/"))
    bad, good = status(None, bucket=f"{bucket.address}/p").runs
    assert (bad.run_id, bad.state) == (run.run_id, State.UNREADABLE)
    assert bad.problem.startswith("its state in the bucket is damaged: ")
    assert (good.run_id, good.state) == (other.run_id, State.RESUMABLE)


def test_a_shard_that_is_sealed_while_it_is_looked_at_counts_as_sealed(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, read = begun(bucket, tmp_path / "a"), ObjectStore.read

    def read_late(store: ObjectStore, key: str) -> bytes:
        if "/journal/" in key:
            bucket.put(f"p/runs/{run.run_id}/sealed/00001.seal", b"")
            bucket.delete(key)
        return read(store, key)

    monkeypatch.setattr(ObjectStore, "read", read_late)
    [found] = status(None, bucket=f"{bucket.address}/p").runs
    assert (found.state, found.done) == (State.RESUMABLE, 2)


def test_a_removal_that_was_killed_is_finished_and_leaves_no_answers_to_another(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(bucket, tmp_path / "a")
    place = machine(bucket, tmp_path / "a").place(run.run_id)
    assert place.is_open()
    place.complete()
    assert not place.is_open()
    delete, gone = ObjectStore.delete, list[str]()

    def delete_until(store: ObjectStore, *keys: str) -> None:
        if gone:
            raise OutputError("killed")
        gone.extend(keys)
        delete(store, *keys)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "delete", delete_until)
        with pytest.raises(OutputError):
            place.remove()
    assert "/plans/0000.json" in gone[0]
    use_again = machine(bucket, tmp_path / "b")
    assert use_again.old_runs("2026-03-03", unfinished=False) == (run.run_id,)
    assert not use_again.place(run.run_id).is_open()
    # Of the same name, on a machine where nothing of the first one is left.
    begun(bucket, tmp_path / "b")
    assert f"p/runs/{run.run_id}/complete" not in bucket.keys
    place.remove()
    assert [key for key in bucket.keys if "/runs/" in key] == []
