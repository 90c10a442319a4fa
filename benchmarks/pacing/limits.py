"""How a limit is found that is not what the client was told, or that changes.

The judge accepts 200 requests a second; the client believes in 1,000 or in 220, or the limit
halves and doubles again. Writes ``limits.md`` and ``limits.svg`` beside this file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import tables
from benchmarks.pacing import charts, figures, trial
from benchmarks.pacing.contestants import CONTESTANTS
from benchmarks.pacing.rates import folder_with
from benchmarks.pacing.timetable import Timetable
from benchmarks.sheets import new_sheet

HERE = Path(__file__).parent
LIMIT = 200
LATENCY_SECONDS = 0.05
NOTES = """\
*Goodput*: requests accepted, as a share of what the limit allowed; *after 6 s* leaves the first
6 s out. *Refused*: share of all requests. *Before Retry-After*: requests that came although a
refusal had said to wait (50 ms are allowed for those under way). *Back after change*: seconds
until what is accepted is within 5 % of the new limit and stays there for 2 s. *Judge stalled*:
the longest time in which the judge could not read, for want of CPU.
"""


class Case(NamedTuple):
    """What the client believes and what is so."""

    name: str
    rate: int
    limit: Timetable


def cases(seconds: float) -> list[Case]:
    """The three cases, for runs of so long."""
    constant = Timetable.read(str(LIMIT))
    third = seconds / 3
    changing = Timetable.read(f"{LIMIT},{third}:{LIMIT // 2},{2 * third}:{LIMIT}")
    return [
        Case("set 5 × too high", 5 * LIMIT, constant),
        Case("set 1.1 × too high", LIMIT * 11 // 10, constant),
        Case("set 5 × too high, limit halves and doubles", 5 * LIMIT, changing),
    ]


def attempt(client: str, case: Case, seconds: float) -> trial.Trial:
    """What arrived in so many seconds; there is more to ask than that."""
    # A client that the limit does not hold back may answer a list sooner, by giving rows up.
    with folder_with(int(case.rate * seconds)) as folder:
        return trial.run(
            lambda url: CONTESTANTS[client](folder, url, case.rate),
            folder,
            trial.Conditions(case.limit, LATENCY_SECONDS),
            most_seconds=seconds,
        )


def cells(arrivals: figures.Arrivals, limit: Timetable, seconds: float) -> Iterator[str]:
    """The row's figures."""
    yield tables.percent(figures.used(arrivals, limit, 0, seconds))
    yield tables.percent(figures.used(arrivals, limit, figures.RAMP_UP_SECONDS, seconds))
    yield tables.percent(figures.refused_share(arrivals))
    yield f"{figures.before_retry_after(arrivals):,}"
    back = [
        figures.seconds_until_near(arrivals, limit, step.from_seconds, end)
        for step, end in limit.changes(seconds)
    ]
    for found in back:
        yield "never" if found is None else f"{found:.1f} s"
    yield from ["–"] * (2 - len(back))


def draw(panels: list[tuple[str, Case, figures.Arrivals]], seconds: float) -> None:
    """A row for each."""
    sheet, axes = new_sheet(10, 0.9 + 2.0 * len(panels), len(panels), 1)
    for (client, case, arrivals), (panel,) in zip(panels, axes, strict=True):
        charts.draw(panel, arrivals, case.limit, seconds)
        panel.set_title(f"{client}, {case.name} ({case.rate:,}/s)")
        panel.set_ylabel("requests in\nthe second before")
    axes[-1][0].set_xlabel("seconds")
    charts.finish(sheet, HERE / "limits.svg")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", nargs="+", choices=CONTESTANTS, default=("batch-screen",))
    parser.add_argument("--seconds", type=float, default=120.0, help="of each run")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    machine = tables.machine()
    print(machine)
    table = tables.Table(
        *("client", "case", "goodput", "after 6 s", "refused", "before Retry-After"),
        *("back after change down", "back after change up", "judge stalled"),
    )
    panels = []
    for client in chosen.clients:
        for case in cases(chosen.seconds):
            seen = attempt(client, case, chosen.seconds)
            arrivals = seen.arrivals.until(chosen.seconds)
            shown = cells(arrivals, case.limit, chosen.seconds)
            table.add(client, case.name, *shown, f"{1000 * seen.stalled_seconds:.0f} ms")
            panels.append((client, case, arrivals))
    draw(panels, chosen.seconds)
    tables.save(HERE / "limits.md", machine, table, NOTES.strip())


if __name__ == "__main__":
    main()
