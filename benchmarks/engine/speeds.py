"""How many attempts a second the engine makes, beside a bare aiohttp loop on the same server.

The two take turns, each in a process of its own on one core, against a server on another that
answers everything after 10 ms. Then the engine once more, sampled. Writes ``speeds.md`` beside
this file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks import tables
from benchmarks.engine.clients import Taken
from benchmarks.engine.sampling import JOURNAL
from benchmarks.memory import cpu_seconds

HERE = Path(__file__).parent
OURS, BARE = "batch-screen", "bare"
NOTES = """\
Medians over {rounds} rounds of {attempts:,} attempts, {concurrency} under way, {loop}; in brackets
the slowest and the fastest round. *bare*: as many coroutines as requests under way, which post with
an aiohttp session and parse the answer; nothing is paced, judged or kept. *batch-screen*: with a
rate it never reaches; from plan to sealed outcomes, each request noted before it is sent, each
outcome on disk (fdatasync) before it counts. *CPU*: user and system time of the whole process for
each attempt. *Server*: how much of its core it used; near 100 % it would be the limit.
"""
PARTS_NOTES = """\
Where the engine's CPU time goes, from {samples:,} looks at its event loop's thread and the kernel's
clocks of its threads. Time in C shows at the Python code that called it or follows it, so what
the loop does with sockets counts as HTTP client. The journal altogether: {journal}.
"""


class Round(NamedTuple):
    """What one client took once, and how busy the server was meanwhile."""

    taken: Taken
    server_share: float

    @property
    def rate(self) -> float:
        return self.taken.attempts / self.taken.seconds

    @property
    def cpu_us(self) -> float:
        return 1e6 * self.taken.cpu_seconds / self.taken.attempts


class Server(NamedTuple):
    """The server's address and process."""

    url: str
    process: int


@contextmanager
def serving(latency_seconds: float) -> Iterator[Server]:
    """A server that runs meanwhile."""
    command = [sys.executable, "-m", "benchmarks.engine.server"]
    with subprocess.Popen(
        [*command, "--latency-seconds", str(latency_seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdout is None:
            raise RuntimeError("the server was started without a pipe")
        keep_off_the_last_core(process.pid)
        yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid)


def keep_off_the_last_core(process: int) -> None:
    """The client's core is its own."""
    if hasattr(os, "sched_setaffinity"):
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(process, cores - {max(cores)} or cores)


def measured(client: str, server: Server, chosen: argparse.Namespace, *more: str) -> Round:
    """One client, once."""
    command = [
        *(sys.executable, "-m", "benchmarks.engine.clients", client, server.url),
        *("--attempts", str(chosen.attempts), "--concurrency", str(chosen.concurrency), *more),
    ]
    before = cpu_seconds(server.process)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    taken = Taken(**json.loads(done.stdout))
    return Round(taken, (cpu_seconds(server.process) - before) / taken.seconds)


def compare(server: Server, chosen: argparse.Namespace) -> tables.Table:
    """Both in turn, and what they took in the middle."""
    rounds: dict[str, list[Round]] = {BARE: [], OURS: []}
    for _ in range(chosen.rounds):
        for client, seen in rounds.items():
            seen.append(measured(client, server, chosen))
    table = tables.Table("client", "attempts/s", "CPU µs", "of bare", "server")
    usual = median(seen.rate for seen in rounds[BARE])
    for client, seen in rounds.items():
        rates = [each.rate for each in seen]
        table.add(
            client,
            f"{median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})",
            f"{median(each.cpu_us for each in seen):,.0f}",
            tables.percent(median(rates) / usual),
            tables.percent(median(each.server_share for each in seen)),
        )
    return table


def parts_of(taken: Taken) -> dict[str, float]:
    """CPU seconds by part, of all threads; they add up to the process's.

    >>> parts_of(Taken(1, 9.0, 8.0, 6.0, 1.5, {"a": 1.0, "b": 5.0}))
    {'b': 5.0, 'a': 1.0, 'journal: its thread': 1.5, 'sealing, other threads': 0.5}
    """
    parts = dict(sorted(taken.parts.items(), key=lambda item: -item[1]))
    parts["journal: its thread"] = taken.journal_cpu_seconds
    others = taken.cpu_seconds - taken.loop_cpu_seconds - taken.journal_cpu_seconds
    parts["sealing, other threads"] = max(0.0, others)
    return parts


def take_apart(taken: Taken) -> tuple[tables.Table, str]:
    """The table of parts and a word about them."""
    parts = parts_of(taken)
    whole = sum(parts.values())
    table = tables.Table("part", "share", "CPU µs for each attempt")
    for part, seconds in parts.items():
        table.add(part, tables.percent(seconds / whole), f"{1e6 * seconds / taken.attempts:,.1f}")
    journal = parts.get(JOURNAL, 0.0) + taken.journal_cpu_seconds
    notes = PARTS_NOTES.format(samples=taken.samples, journal=tables.percent(journal / whole))
    return table, notes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attempts", type=int, default=40_000)
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency-seconds", type=float, default=0.01)
    chosen = parser.parse_args()
    head = tables.machine()
    print(head)
    with serving(chosen.latency_seconds) as server:
        table = compare(server, chosen)
        sampled = measured(OURS, server, chosen, "--sampled")
    parts, word = take_apart(sampled.taken)
    loop = "both on uvloop" if find_spec("uvloop") else "both on asyncio's own loop"
    notes = NOTES.format(**vars(chosen), loop=loop)
    tables.save(HERE / "speeds.md", head, table, notes, parts, word)


if __name__ == "__main__":
    main()
