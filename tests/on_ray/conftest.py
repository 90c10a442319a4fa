"""A Ray cluster of three nodes on loopback addresses, and runs that are led on it.

The head has no CPU, so workers are on the two others, each of which can be killed or frozen. The
command runs on the head's address.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.buckets import moto_apart, variables
from tests.e2e.conftest import KEY, NUMBERS, Desk, new_sandbox, run_command
from tests.torture.judge import bought, read_requests

HEAD, NODES = "127.0.0.4", ("127.0.0.2", "127.0.0.3")
WAIT_SECONDS = 120
CONCURRENCY = 64
RATE = 250
_SMALL = {"object_store_memory": 80 << 20}
# Kept free for books and films, as the others.
_AREAS = ("44113496", "44114496", "44116496", "44117496", "44118496", "44121496", "44131496")
_GERMAN = ("496990009", "494066969", "492214710", "498999998")
MANY = [
    *NUMBERS,
    *(f"+{area}0{i:03}" for area in _AREAS for i in range(1000)),
    *(f"+{area}{i:03}" for area in _GERMAN for i in range(1000)),
]
_TOML = f"""
[pacing]
rate_per_second = {RATE}
max_concurrency = {CONCURRENCY}
ramp_up_seconds = 1.0
[retry]
base_delay_seconds = 0.01
[output]
shard_lookups = 1000
"""


class RayCluster:
    """The cluster and its nodes by address."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                **_SMALL,
                "num_cpus": 0,
                "include_dashboard": False,
                "node_ip_address": HEAD,
                "temp_dir": folder,
            },
        )
        self.address: str = self._cluster.address
        self.nodes = {where: self.add(where) for where in NODES}
        self._cluster.wait_for_nodes()

    def add(self, where: str) -> Any:
        node = self._cluster.add_node(num_cpus=2, node_ip_address=where, **_SMALL)
        self.nodes = {**getattr(self, "nodes", {}), where: node}
        return node

    def kill(self, where: str) -> None:
        """The node with all its workers, as a machine that is lost."""
        self._cluster.remove_node(self.nodes.pop(where), allow_graceful=False)

    def renew(self, where: str) -> None:
        """Another node in the place of one that the cluster may have given up."""
        self.kill(where)
        self.add(where)

    def processes(self, where: str) -> list[int]:
        """The node's processes: its raylet, and the workers that it has started."""
        raylet = self.nodes[where].all_processes["raylet"][0].process.pid
        found, parents = [raylet], _parents()
        for process in found:  # grows
            found += [child for child, parent in parents.items() if parent == process]
        return found

    def without(self, process: int) -> str:
        """A node of workers on which this process is not."""
        return next(where for where in NODES if process not in self.processes(where))

    def close(self) -> None:
        self._cluster.shutdown()


def _parents() -> dict[int, int]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[str]:
    with moto_apart() as url:
        yield url


@pytest.fixture(scope="session")
def cluster(bucket_server: str) -> Iterator[RayCluster]:
    pytest.importorskip("ray", reason="make ray installs it")
    # A socket's path has few characters. Ray notes its address in /ray of what RAY_TMPDIR names,
    # which is not there on a new machine.
    root = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    folder = f"{root}/ray"
    Path(folder).mkdir()
    with pytest.MonkeyPatch.context() as patched:
        # Read by each node's workers, as on any machine: the key is in no argument.
        own = {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": root,
            "BATCH_SCREEN_API_KEY": KEY,
        }
        for name, value in {**own, **variables(bucket_server)}.items():
            patched.setenv(name, value)
        made = RayCluster(folder)
        yield made
        made.close()
    shutil.rmtree(root, ignore_errors=True)


@contextmanager
def cut_off(leader: int, workers: Sequence[int] = ()) -> Iterator[None]:
    """No packet passes between the coordinator's process and these workers, or anybody."""
    sockets = [(*line.split(maxsplit=5), "") for line in _output("ss", "-tnpaH").splitlines()]
    ports = {
        local.rpartition(":")[2]
        for state, _, _, local, _, users, *_ in sockets
        if state == "LISTEN" and f"pid={leader}," in users
    }
    rules: list[tuple[str, ...]]
    rules = [(end, port) for port in ports for end in ("sport", "dport")]
    if workers:
        own = [
            (local.rpartition(":")[2], port)
            for _, _, _, local, peer, users, *_ in sockets
            if (port := peer.rpartition(":")[2]) in ports
            and any(f"pid={pid}," in users for pid in workers)
        ]
        rules = [("sport", a, "dport", b) for one in own for a, b in (one, one[::-1])]
    with _black_holes(rules):
        yield


@contextmanager
def cut(port: int) -> Iterator[None]:
    """No packet passes to or from whoever listens there."""
    with _black_holes([("sport", str(port)), ("dport", str(port))]):
        yield


@contextmanager
def _black_holes(rules: Sequence[tuple[str, ...]]) -> Iterator[None]:
    assert rules
    for rule in rules:
        _output("ip", "rule", "add", "pref", "5", "ipproto", "tcp", *rule, "blackhole")
    try:
        yield
    finally:
        for _ in rules:
            _output("ip", "rule", "del", "pref", "5")


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def own_network() -> None:
    """The network is this process's own, so that ways in it can be cut."""
    if os.environ.get("OWN_NETWORK") != "1":
        pytest.skip("make ray makes a network of its own, as root")


def actors(what: str) -> list[int]:
    """The processes of actors of this class."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            title = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
        except (OSError, ValueError):
            continue
        if title.startswith(b"ray::" + what.encode()):
            found.append(int(entry.name))
    return found


def wait_until(condition: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.05)
    return found


class Trial:
    """One list screened on the cluster, disturbed, and judged by what the server saw."""

    def __init__(self, folder: Path, cluster: RayCluster, lookups: int, *options: str) -> None:
        self.log = folder / "requests.jsonl"
        self.cluster = cluster
        self.desk = Desk(
            folder,
            "",
            MANY[:lookups],
            _TOML,
            ("--engine", "ray", "--ray-address", cluster.address, "--workers", "4", *options),
        )
        self.desk.configuration.write_text(_TOML, "utf-8")
        self.desk.environment = {n: v for n, v in os.environ.items() if n.startswith("AWS_")}
        self.lookups = lookups
        self._chance = random.Random(f"{os.environ.get('SEED')}{folder.name}")

    @contextmanager
    def serving(self, **settings: Any) -> Iterator[Any]:
        with new_sandbox(journal_path=self.log, rate_limit_per_second=RATE, **settings) as server:
            self.desk.url = server.url
            yield server

    def run(self) -> None:
        """One start to its end, which is a complete run."""
        with self.desk.started() as running:
            assert running.process.wait(240) == 0, running.said

    def wait_until_under_way(self, after: int = 500) -> None:
        """All four work, and some were asked, up to 1,500: ``SEED=1 make ray`` says how many."""
        wait_until(lambda: len(actors("WorkerActor.run")) == 4)
        count = max(after, self.asked()) + self._chance.randrange(1_500)
        wait_until(lambda: self.asked() > count)

    def asked(self) -> int:
        return self.log.read_bytes().count(b"\n") if self.log.exists() else 0

    def judge(self, what: str, *, twice: int, silence: float) -> None:
        """Nothing is lost, and nothing is refused; the rest is printed."""
        requests = read_requests(self.log)
        times = bought(requests)
        again = sum(each - 1 for each in times.values())
        refused = sum(line.status == 429 for line in requests)
        at = [line.at for line in requests]
        quiet = max(after - before for before, after in pairwise(at))
        worst = max(len(each) for each in _seconds(at))
        print(
            f"\n{what}: {self.lookups:,} lookups, twice {again}, refused {refused}, "
            f"worst second {worst} of {RATE}, silence {quiet:.1f} s"
        )
        assert len(times) == self.lookups
        assert self.desk.latest.frame("lookups").height == self.lookups
        done = run_command("validate", self.desk.out)
        assert done.code == 0, done.out + done.err
        assert refused == 0
        assert again <= twice
        assert quiet <= silence

    def found_in_logs(self, secrets: Sequence[str]) -> list[str]:
        """Files of Ray that hold one of these."""
        return [
            f"{path.name}: {secret}"
            for path in Path(self.cluster.folder).rglob("*")
            if path.is_file()
            for secret in secrets
            if secret.encode() in path.read_bytes()
        ]


def _seconds(at: Sequence[float]) -> Iterator[Sequence[float]]:
    """For each request those of the second that it begins."""
    end = 0
    for begin, first in enumerate(at):
        while end < len(at) and at[end] < first + 1:
            end += 1
        yield at[begin:end]
