"""Runs on a real Ray cluster, killed, frozen and stopped; the figures of each are printed."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.buckets import Bucket, Faults, faulty

from .conftest import (
    CONCURRENCY,
    KEY,
    NODES,
    RATE,
    RayCluster,
    Trial,
    actors,
    cut,
    cut_off,
    wait_until,
)

pytestmark = pytest.mark.ray
FULL = pytest.mark.torture
"""For make ray alone."""
PER_WORKER = 2 * -(-CONCURRENCY // 4) + 1


@pytest.mark.parametrize("lookups", [4_000])
def test_an_undisturbed_run(cluster: RayCluster, tmp_path: Path, lookups: int) -> None:
    trial = Trial(tmp_path, cluster, lookups)
    with trial.serving():
        done = trial.desk.run()
    assert done.code == 0, done.err
    trial.judge("nothing", twice=0, silence=1.5)
    assert "Traceback" not in done.err
    # Neither key nor a number in what Ray writes and shows.
    assert trial.found_in_logs([KEY, "+44", "44113496", "442079460", "493023125"]) == []


def test_a_worker_that_is_killed_is_replaced(cluster: RayCluster, tmp_path: Path) -> None:
    trial = Trial(tmp_path, cluster, 5_000)
    with trial.serving(), trial.desk.started() as running:
        trial.wait_until_under_way()
        os.kill(actors("WorkerActor.run")[0], signal.SIGKILL)
        trial.wait_until_under_way(after=2_500)
        os.kill(actors("WorkerActor.run")[0], signal.SIGKILL)
        assert running.process.wait(120) == 0, running.said
    trial.judge("2 × kill -9 worker", twice=2 * PER_WORKER, silence=1.5)
    assert running.said.count("another one takes over") == 2


def test_a_refused_key_ends_the_run_with_its_exit_code(cluster: RayCluster, tmp_path: Path) -> None:
    trial = Trial(tmp_path, cluster, 1_000)
    with trial.serving(keys=("another-key-than-theirs",)):
        done = trial.desk.run()
    assert done.code == 77, done.err
    assert "Traceback" not in done.err
    assert trial.asked() < 100


@FULL
def test_the_coordinator_is_killed(cluster: RayCluster, tmp_path: Path) -> None:
    trial = Trial(tmp_path, cluster, 6_000)
    with trial.serving(), trial.desk.started() as running:
        trial.wait_until_under_way()
        [leader] = actors("Leader")
        os.kill(leader, signal.SIGKILL)
        assert running.process.wait(180) == 0, running.said
    trial.judge("kill -9 coordinator", twice=0, silence=8.0)


@FULL
def test_a_node_is_lost(cluster: RayCluster, tmp_path: Path) -> None:
    trial = Trial(tmp_path, cluster, 6_000)
    with trial.serving(), trial.desk.started() as running:
        trial.wait_until_under_way()
        [leader] = actors("Leader")
        cluster.renew(cluster.without(leader))
        assert running.process.wait(180) == 0, running.said
    trial.judge("a node lost", twice=2 * PER_WORKER, silence=2.0)


@FULL
def test_the_command_is_killed_and_started_again(cluster: RayCluster, tmp_path: Path) -> None:
    trial = Trial(tmp_path, cluster, 6_000)
    with trial.serving():
        with trial.desk.started() as running:
            trial.wait_until_under_way()
            running.process.kill()
            running.process.wait(10)
        trial.run()
    trial.judge("kill -9 driver, same command at once", twice=4 * PER_WORKER, silence=30.0)


@FULL
def test_sigterm_saves_all_and_resumes(cluster: RayCluster, tmp_path: Path) -> None:
    trial = Trial(tmp_path, cluster, 4_000)
    with trial.serving():
        with trial.desk.started() as running:
            trial.wait_until_under_way()
            running.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert running.process.wait(60) == 143, running.said
            assert time.monotonic() - began < 10
        trial.run()
    trial.judge("SIGTERM to the driver", twice=0, silence=30.0)


@FULL
@pytest.mark.parametrize("seconds", [10, 36])
def test_a_node_is_frozen_and_thawed(cluster: RayCluster, tmp_path: Path, seconds: int) -> None:
    trial = Trial(tmp_path, cluster, 12_000)
    with trial.serving(), trial.desk.started() as running:
        trial.wait_until_under_way()
        [leader] = actors("Leader")
        where = cluster.without(leader)
        frozen = cluster.processes(where)
        for process in frozen:
            os.kill(process, signal.SIGSTOP)
        time.sleep(seconds)
        for process in frozen:
            os.kill(process, signal.SIGCONT)
        assert running.process.wait(240) == 0, running.said
    trial.judge(f"a node frozen {seconds} s", twice=2 * PER_WORKER, silence=1.5)
    cluster.renew(where)


@FULL
@pytest.mark.usefixtures("own_network")
@pytest.mark.parametrize("seconds", [5, 40])
def test_two_workers_are_cut_off_from_the_coordinator(
    cluster: RayCluster, tmp_path: Path, seconds: int
) -> None:
    trial = Trial(tmp_path, cluster, 12_000)
    with trial.serving(), trial.desk.started() as running:
        trial.wait_until_under_way()
        [leader] = actors("Leader")
        with cut_off(leader, actors("WorkerActor.run")[:2]):
            time.sleep(seconds)
        assert running.process.wait(240) == 0, running.said
    trial.judge(f"two workers cut off for {seconds} s", twice=2 * PER_WORKER, silence=1.5)
    # Whoever is not heard for 20 seconds is given up.
    assert running.said.count("another one takes over") == (2 if seconds > 20 else 0)


@FULL
@pytest.mark.usefixtures("own_network")
def test_the_coordinator_is_cut_off_from_all(cluster: RayCluster, tmp_path: Path) -> None:
    trial = Trial(tmp_path, cluster, 6_000)
    with trial.serving(), trial.desk.started() as running:
        trial.wait_until_under_way()
        [leader] = actors("Leader")
        with cut_off(leader):
            time.sleep(1.0)
            before = trial.asked()
            time.sleep(4.0)
            assert trial.asked() == before
        assert running.process.wait(240) == 0, running.said
    trial.judge("the coordinator cut off from all for 5 s", twice=0, silence=10.0)


@FULL
def test_the_budget_holds_where_the_coordinator_is_killed(
    cluster: RayCluster, tmp_path: Path
) -> None:
    trial = Trial(tmp_path, cluster, 6_000, "--max-requests", "3000")
    with trial.serving(), trial.desk.started() as running:
        trial.wait_until_under_way()
        [leader] = actors("Leader")
        os.kill(leader, signal.SIGKILL)
        assert running.process.wait(180) == 4, running.said
    assert 3_000 - RATE <= trial.asked() <= 3_000
    print(f"\nbudget 3,000, kill -9 coordinator: {trial.asked():,} requests")


@FULL
def test_a_run_goes_on_from_the_bucket_when_the_drivers_machine_is_lost(
    cluster: RayCluster, tmp_path: Path, bucket: Bucket
) -> None:
    state = ("--state", f"{bucket.address}/screening")
    trial = Trial(tmp_path / "first", cluster, 6_000, *state)
    with trial.serving():
        with trial.desk.started() as running:
            trial.wait_until_under_way()
            running.process.kill()
            running.process.wait(10)
        wait_until(lambda: not actors("WorkerActor.run"))
        shutil.rmtree(trial.desk.out)
        trial.run()
    trial.judge(
        "driver lost with its state, same command in an empty folder, --state s3://",
        twice=2 * CONCURRENCY,
        silence=60.0,
    )


@FULL
@pytest.mark.usefixtures("own_network")
def test_a_node_is_cut_off_from_the_store_alone(
    cluster: RayCluster,
    tmp_path: Path,
    bucket: Bucket,
    bucket_server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trial = Trial(tmp_path, cluster, 12_000, "--state", f"{bucket.address}/screening")
    where = NODES[0]
    with faulty(bucket_server, Faults()) as proxy, trial.serving():
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy)  # this node's way to the bucket
        cluster.renew(where)
        monkeypatch.setenv("AWS_ENDPOINT_URL", bucket_server)
        with trial.desk.started() as running:
            trial.wait_until_under_way()
            with cut(urlsplit(proxy).port):
                time.sleep(10)
            assert running.process.wait(240) == 0, running.said
        trial.judge("a node without the store for 10 s", twice=4 * PER_WORKER, silence=1.5)
    cluster.renew(where)
