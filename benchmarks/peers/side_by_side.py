"""One task, four ways to do it: batch-screen, a script, Scrapy and Ray Data.

Each asks the same numbers at two endpoints of a server of its own, which accepts so many
requests in any second, takes its time and fails at times. Then each does so again, is killed
when half of the lookups are answered, or half of the time it may take is over, and goes on. Writes
``side_by_side.md`` and ``side_by_side.svg`` beside this file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import tables
from benchmarks.pacing import charts
from benchmarks.pacing.figures import worst_second
from benchmarks.pacing.timetable import Timetable
from benchmarks.peers import figures, trial
from benchmarks.peers.contestants import CONTESTANTS
from benchmarks.sheets import new_sheet

HERE = Path(__file__).parent
LATENCY_SECONDS = 0.05
FAILING_SHARE = 0.01
COMMON = ("wall", "used", "worst second", "refused", "bought twice", "missing", "peak memory")
CHART_STEPS = 400
NOTES = """\
Everything is counted at the server and in the output, not taken from what a contestant says.
*Wall*: from the start of the command to its end; with a kill, from the first start to the second
end, half a second between them included. *Used*: lookups answered, each once, as a share of what
the limit allowed in that time. *Worst second*: the most requests, refused ones included, in any
second at the server. *Refused*: requests answered with 429. *Bought twice*: requests answered
with 200 although the same number had been answered at the same endpoint before. *Missing*:
lookups that the output holds no answer for at the end. *Peak memory*: the resident memory of all
of a contestant's processes, added up and sampled five times a second; what processes share
counts once for each. *Lines*: lines of code the user writes, without comments and docstrings;
for batch-screen a command. *Resumed after*: from the second start to its first request at the
server. *Server stalled*: the longest time in which the server could not read, for want of CPU.
"""


class Panel(NamedTuple):
    """What a panel of the chart shows."""

    client: str
    is_killed: bool
    seen: trial.Seen


def undisturbed(task: trial.Task, clients: list[str]) -> tuple[tables.Table, list[Panel]]:
    """Each contestant does the task."""
    table = tables.Table("undisturbed", *COMMON, "lines", "server stalled")
    panels = []
    for client in clients:
        seen = trial.run(CONTESTANTS[client], task, is_killed=False)
        lines = CONTESTANTS[client].lines
        table.add(named(client, seen, task), *cells(seen, task), lines, stalled(seen))
        panels.append(Panel(client, is_killed=False, seen=seen))
    return table, panels


def killed(task: trial.Task, clients: list[str]) -> tuple[tables.Table, list[Panel]]:
    """Each contestant does the task, is killed at half-time, and started again."""
    table = tables.Table("killed at half-time", *COMMON, "resumed after", "server stalled")
    panels = []
    for client in clients:
        seen = trial.run(CONTESTANTS[client], task, is_killed=True)
        resumed = "–" if seen.resumed_after is None else f"{seen.resumed_after:.1f} s"
        table.add(named(client, seen, task), *cells(seen, task), resumed, stalled(seen))
        panels.append(Panel(client, is_killed=True, seen=seen))
    return table, panels


def named(client: str, seen: trial.Seen, task: trial.Task) -> str:
    """The contestant, and how it ended if not well."""
    done = f"{len(seen.bought):,} of {seen.lookups:,} lookups answered"
    if seen.exit_code is None:
        return f"{client}, stopped after {task.give_up_seconds:.0f} s, {done}"
    return f"{client}, exit code {seen.exit_code}, {done}" if seen.exit_code else client


def cells(seen: trial.Seen, task: trial.Task) -> Iterator[str]:
    """What both tables show."""
    yield f"{seen.wall_seconds:.1f} s"
    yield tables.percent(figures.used(len(seen.bought), task.rate, seen.wall_seconds))
    yield f"{worst_second(seen.arrivals):,}"
    yield f"{len(seen.arrivals.refused):,}"
    yield f"{figures.bought_twice(seen.bought):,}"
    yield f"{seen.missing:,}"
    yield f"{seen.peak_mib:,.0f} MiB"


def stalled(seen: trial.Seen) -> str:
    return f"{1000 * seen.stalled_seconds:.0f} ms"


def draw(panels: list[Panel], task: trial.Task) -> None:
    """A row for each contestant, on the right the one that was killed."""
    clients = list(dict.fromkeys(panel.client for panel in panels))
    sheet, axes = new_sheet(9.4, 0.9 + 1.6 * len(clients), len(clients), 2)
    until = max(1.0, *(panel.seen.arrivals.last for panel in panels))
    limit = Timetable.read(str(task.rate))
    for client, is_killed, seen in panels:
        row = clients.index(client)
        axis = axes[row][int(is_killed)]
        charts.draw(axis, seen.arrivals, limit, until, until / CHART_STEPS)
        axis.set_title(f"{client}, killed at half-time" if is_killed else client)
        if row == len(clients) - 1:
            axis.set_xlabel("seconds from the first request")
        if not is_killed:
            axis.set_ylabel("requests in\nthe second before")
    charts.finish(sheet, HERE / "side_by_side.svg")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--numbers", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=1_000, help="the limit, per second")
    parser.add_argument("--give-up", type=float, default=300.0, help="seconds for each trial")
    parser.add_argument("--clients", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    return parser.parse_args()


def main() -> None:
    chosen = options()
    task = trial.Task(chosen.numbers, chosen.rate, LATENCY_SECONDS, FAILING_SHARE, chosen.give_up)
    machine = tables.machine()
    said = (
        f"{task.numbers:,} numbers at two endpoints; {task.rate:,} requests accepted a second, "
        f"answers after {1000 * LATENCY_SECONDS:.0f} ms, {100 * FAILING_SHARE:.0f} % of them 5xx."
    )
    print(said, machine, sep="\n")
    calm, panels = undisturbed(task, chosen.clients)
    disturbed, more = killed(task, chosen.clients)
    draw([*panels, *more], task)
    tables.save(HERE / "side_by_side.md", said, machine, calm, disturbed, NOTES.strip())


if __name__ == "__main__":
    main()
