"""A state in a bucket: a run that was killed with its machine goes on on any other."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import batch_screen
from batch_screen.sandbox.run import SandboxThread
from tests.buckets import Bucket, Faults, faulty, variables
from tests.thoroughness import in_full

from .conftest import CONCURRENCY, NUMBERS, Desk, Finished, run_command, until

COUNT = 300
RATE = ("--rate", "75")
TOML = "[guards]\nmax_failure_share = 1\n"


@pytest.fixture
def api(sandbox: Callable[..., SandboxThread]) -> SandboxThread:
    return sandbox()


def machine(folder: Path, api: SandboxThread, bucket: Bucket, url: str | None = None) -> Desk:
    """A machine of its own, with the same list."""
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    return Desk(
        folder,
        api.url,
        cells=NUMBERS[:COUNT],
        toml=TOML,
        environment={**environment, **(variables(url) if url else {})},
        options=("--state", f"{bucket.address}/screening", *RATE),
    )


def pieces(bucket: Bucket) -> list[str]:
    return [key for key in bucket.keys if "/journal/" in key]


def wait_for_pieces(bucket: Bucket, more_than: int) -> None:
    """A look costs the server of buckets more than what is waited for."""
    until(lambda: len(pieces(bucket)) > more_than, every=0.05)


def lose(desk: Desk) -> None:
    shutil.rmtree(desk.out, ignore_errors=True)


def begun_and_lost(desk: Desk, bucket: Bucket, more_than: int = 5) -> None:
    """A run is killed once it has saved something, and its machine is gone."""
    with desk.started() as running:
        wait_for_pieces(bucket, more_than)
        running.process.kill()
    lose(desk)


def assert_whole(desk: Desk, done: Finished) -> None:
    assert done.code == 0, done.err
    assert batch_screen.validate(desk.out).is_whole
    assert desk.latest.frame("lookups").filter(outcome="success").height == COUNT


def twice(api: SandboxThread) -> int:
    """How many answers were bought for lookups that had one."""
    seen = api.statistics()
    return int(seen["clean_answers"] - seen["answered_lookups"])


def test_the_same_command_goes_on_in_an_empty_folder(
    tmp_path: Path, api: SandboxThread, bucket: Bucket
) -> None:
    first = machine(tmp_path / "first", api, bucket)
    begun_and_lost(first, bucket)
    second = machine(tmp_path / "second", api, bucket)
    assert_whole(second, second.run())
    assert 0 < api.statistics()["answered_lookups"] == COUNT
    assert twice(api) <= 2 * CONCURRENCY
    assert pieces(bucket) == []  # sealed: they hold numbers

    # What was complete is written again, on a third one, and nothing is asked.
    asked = api.statistics()["requests"]
    third = machine(tmp_path / "third", api, bucket)
    assert_whole(third, third.run())
    assert api.statistics()["requests"] == asked
    assert third.latest.content == second.latest.content


def test_a_stopped_run_goes_on_elsewhere_and_buys_nothing_twice(
    tmp_path: Path, api: SandboxThread, bucket: Bucket
) -> None:
    first = machine(tmp_path / "first", api, bucket)
    with first.started() as running:
        wait_for_pieces(bucket, 3)
        assert running.end(signal.SIGTERM).code == 143
    second = machine(tmp_path / "second", api, bucket)
    done = second.run()
    assert_whole(second, done)
    assert "for a sign of life" not in done.err  # the first one said that it ended
    assert twice(api) == 0
    session, *_ = second.latest.report("summary.json")["starts"]
    assert session["attempts"] > 0


@in_full
def test_one_of_two_machines_leaves(tmp_path: Path, api: SandboxThread, bucket: Bucket) -> None:
    first = machine(tmp_path / "first", api, bucket)
    second = machine(tmp_path / "second", api, bucket)
    with first.started("--rate", "30") as running:
        wait_for_pieces(bucket, 1)
        done = second.run()
        assert done.code == 75
        assert f"another run holds {bucket.address}/screening (process " in done.error
        assert "wait for it to end and start again" in done.error
        assert_whole(first, running.end())
    assert twice(api) == 0


@in_full
def test_a_machine_that_slept_leaves_when_another_has_taken_over(
    tmp_path: Path, api: SandboxThread, bucket: Bucket
) -> None:
    first = machine(tmp_path / "first", api, bucket)
    second = machine(tmp_path / "second", api, bucket)
    with first.started() as running:
        wait_for_pieces(bucket, 3)
        running.process.send_signal(signal.SIGSTOP)
        done = second.run()  # it watches for ten seconds
        assert_whole(second, done)
        running.process.send_signal(signal.SIGCONT)
        left = running.end()
    assert left.code == 75
    assert "another machine has taken over" in left.error
    assert twice(api) <= 2 * CONCURRENCY


@in_full
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_killed_at_any_moment_over_a_bad_line(
    tmp_path: Path, api: SandboxThread, bucket: Bucket, bucket_server: str, seed: int
) -> None:
    chance, kills = random.Random(seed), 0
    faults = Faults(seed, refused=0.03, conflicting=0.03, dropped=0.03, seconds=0.05)
    with faulty(bucket_server, faults) as url:
        for number in range(4):
            desk = machine(tmp_path / f"machine-{number}", api, bucket, url)
            with desk.started() as running:
                time.sleep(chance.uniform(0.3, 3))
                kills += running.process.poll() is None
                running.process.kill()
            lose(desk)
        desk = machine(tmp_path / "last", api, bucket, url)
        assert_whole(desk, desk.run())
    assert api.statistics()["answered_lookups"] == COUNT
    assert twice(api) <= kills * 2 * CONCURRENCY
    assert faults.counts["503"]


def test_a_server_that_writes_over_objects_is_refused(
    tmp_path: Path, api: SandboxThread, bucket: Bucket, bucket_server: str
) -> None:
    with faulty(bucket_server, Faults(ignores_conditions=True)) as url:
        done = machine(tmp_path, api, bucket, url).run()
    assert done.code == 73
    assert "writes over an object" in done.error
    assert "If-None-Match" in done.error
    assert api.statistics()["requests"] == 0


@in_full
def test_a_state_begun_here_is_handed_in(
    tmp_path: Path, api: SandboxThread, bucket: Bucket
) -> None:
    first = machine(tmp_path / "first", api, bucket)
    local = Desk(first.folder, api.url, first.cells, TOML, RATE)
    with local.started() as running:
        until(lambda: api.statistics()["answered_lookups"] > 50)
        assert running.end(signal.SIGTERM).code == 143
    with first.started() as running:
        wait_for_pieces(bucket, 3)
        assert running.end(signal.SIGTERM).code == 143
    lose(first)
    second = machine(tmp_path / "second", api, bucket)
    assert_whole(second, second.run())
    assert twice(api) == 0


def test_status_and_doctor_read_the_bucket(
    tmp_path: Path, api: SandboxThread, bucket: Bucket
) -> None:
    first = machine(tmp_path / "first", api, bucket)
    other = machine(tmp_path / "other", api, bucket)
    there = ("--state", f"{bucket.address}/screening", "--out", other.out)

    def said(command: str, *more: object) -> Finished:
        return run_command(command, *there, *more, environment=other.environment)

    assert "none: nothing has run there" in said("status").out
    with first.started("--rate", "10") as running:
        wait_for_pieces(bucket, 3)
        status = said("status")
        assert f"status of {bucket.address}/screening" in status.out
        assert f"  running  {COUNT} rows" in status.out
        assert "asking" in status.out
        doctor = said("doctor", "--sandbox")
        assert doctor.code == 75
        assert "is held by process" in " ".join(doctor.out.split())
        running.process.kill()
    lose(first)
    status = said("status")
    assert f"  resumable  {COUNT} rows" in status.out
    assert f"--state {bucket.address}/screening" in status.out
    doctor = said("doctor", "--sandbox")
    assert "creates an object once only, and is free" in " ".join(doctor.out.split())
    assert not other.out.exists()
    assert [key for key in bucket.keys if "/probes/" in key] == []


@in_full
@pytest.mark.parametrize("how", ["workers", "regions"])
def test_several_workers_and_contracts_keep_their_state_there(
    tmp_path: Path, api: SandboxThread, bucket: Bucket, how: str
) -> None:
    more = ("--rate", "300", *(("--workers", "2") if how == "workers" else ()))
    cells = NUMBERS[450:1550]  # of both regions, for two shards
    toml = "[pacing.rate_per_second_by_region]\nGB = 150\nDE = 150\n" if how == "regions" else ""

    def made(name: str) -> Desk:
        desk = machine(tmp_path / name, api, bucket)
        shards = "[output]\nshard_lookups = 1000\n"
        return Desk(
            desk.folder, api.url, cells, TOML + shards + toml, desk.options + more, desk.environment
        )

    first, second = made("first"), made("second")
    begun_and_lost(first, bucket, 8)
    done = second.run()
    assert done.code == 0, done.err
    assert batch_screen.validate(second.out).is_whole
    assert api.statistics()["answered_lookups"] == len(cells)
    assert twice(api) <= 2 * CONCURRENCY
    assert pieces(bucket) == []


def test_a_damaged_run_ends_its_own_start_alone(
    tmp_path: Path, api: SandboxThread, bucket: Bucket
) -> None:
    first = machine(tmp_path / "first", api, bucket)
    begun_and_lost(first, bucket)
    bucket.delete(pieces(bucket)[2])
    second = machine(tmp_path / "second", api, bucket)
    done = second.run()
    assert done.code == 73
    assert "pieces of the journal are missing" in done.error
    assert "--new-run" in done.error
    done = second.run("--new-run")
    assert_whole(second, done)
    assert " is passed over, as its state in the bucket is damaged: " in done.err
    assert second.latest.run_id.endswith("-2")

    asked = api.statistics()["requests"]
    third = machine(tmp_path / "third", api, bucket)
    assert_whole(third, third.run())
    assert api.statistics()["requests"] == asked


def test_what_could_not_be_noted_as_complete_is_by_the_next_start(
    tmp_path: Path, api: SandboxThread, bucket: Bucket
) -> None:
    desk = machine(tmp_path, api, bucket)
    assert_whole(desk, desk.run())
    mark = next(key for key in bucket.keys if key.endswith("/complete"))
    bucket.delete(mark)
    assert desk.run().code == 0
    assert mark in bucket.keys


def test_purge_removes_the_state_from_the_bucket(
    tmp_path: Path, api: SandboxThread, bucket: Bucket
) -> None:
    desk = machine(tmp_path, api, bucket)
    assert_whole(desk, desk.run())
    assert [key for key in bucket.keys if "/runs/" in key]
    there = ("--state", f"{bucket.address}/screening", "--out", desk.out, "--state-only")
    done = run_command("purge", *there, "--older-than", "1d", "--yes", environment=desk.environment)
    assert done.code == 0, done.err
    assert "the state of 1 run in the bucket" in done.out
    assert not [key for key in bucket.keys if "/runs/" in key]
