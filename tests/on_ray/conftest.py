"""A Ray cluster of three nodes on loopback addresses, and runs that are led on it.

The head has no CPU, so workers are on the two others, each of which can be killed or frozen. The
command runs on the head's address.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import KEY, NUMBERS, Desk, new_sandbox
from tests.torture.judge import bought, read_requests

HEAD, NODES = "127.0.0.4", ("127.0.0.2", "127.0.0.3")
WAIT_SECONDS = 120
CONCURRENCY = 64
RATE = 250
_SMALL = {"object_store_memory": 80 << 20}
# Ofcom keeps these free, as the others.
_AREAS = (113, 114, 115, 116, 117, 118, 121, 131, 141, 151, 161)
MANY = NUMBERS + [f"+44{area}4960{i:03}" for area in _AREAS for i in range(1000)]
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
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        # Read by each node's worker as on any machine: the key is in no argument.
        os.environ["BATCH_SCREEN_API_KEY"] = KEY
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

    def close(self) -> None:
        self._cluster.shutdown()


@pytest.fixture(scope="session")
def cluster() -> Iterator[RayCluster]:
    pytest.importorskip("ray", reason="make ray installs it")
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # a socket's path has few characters
    made = RayCluster(folder)
    yield made
    made.close()
    shutil.rmtree(folder, ignore_errors=True)


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


def signalled(process: int, number: int) -> None:
    os.kill(process, number)


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
        self.lookups = lookups

    @contextmanager
    def serving(self, **settings: Any) -> Iterator[Any]:
        with new_sandbox(journal_path=self.log, rate_limit_per_second=RATE, **settings) as server:
            self.desk.url = server.url
            yield server

    def asked(self) -> int:
        return self.log.read_bytes().count(b"\n") if self.log.exists() else 0

    def twice(self) -> int:
        """Purchases beyond one for each lookup."""
        return sum(times - 1 for times in bought(read_requests(self.log)).values())

    def refused(self) -> int:
        """Requests over the rate, as the server counts."""
        return sum(line.status == 429 for line in read_requests(self.log))

    def silence(self) -> float:
        """The longest time without a request."""
        at = [line.at for line in read_requests(self.log)]
        return max(after - before for before, after in pairwise(at))
