"""How a limit is found that is not what the client was told, and what odd answers do.

The judge accepts 200 requests a second; the client believes in 1,000 or in 220, or the limit
halves and doubles again. Then worlds in which one odd answer must not be taken for the whole
account (``worlds.py``). Writes ``limits.md`` and ``limits.svg`` beside this file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks import tables
from benchmarks.pacing import charts, figures, odd, trial
from benchmarks.pacing.cases import Case, cases, is_meant
from benchmarks.pacing.contestants import CONTESTANTS, folder_with
from benchmarks.pacing.timetable import Timetable
from benchmarks.pacing.worlds import worlds
from benchmarks.sheets import new_sheet

HERE = Path(__file__).parent
OURS = "batch-screen"
LATENCY_SECONDS = 0.05
NOTES = """\
*Goodput*: requests accepted, as a share of what the limit allowed; *after 6 s* leaves the first
6 s out. *Refused*: share of all requests. *Amid refusals*: requests that came within a
second of a refusal that asked its lookup to wait so long (50 ms are allowed for those under way):
others need not wait while the server lets some pass, and the refused lookup itself never comes
before its time, as a property test has it. *Back after change*: seconds
until what is accepted is within 5 % of the new limit and stays there for 2 s. *Judge stalled*:
the longest time in which the judge could not read, for want of CPU. A limit is one of any second,
wherever that begins, or as many gateways count it: anew in each *second of the server's clock*, or
with *a bucket of tokens* that holds a second's worth, is filled evenly, and is full at first, so
that more than 100 % is possible. Those cases run half as long.
"""


def attempt(client: str, case: Case) -> trial.Trial:
    """What arrived in so many seconds; there is more to ask than that."""
    # A client that the limit does not hold back may answer a list sooner, by giving rows up.
    with folder_with(int(case.rate * case.seconds)) as folder:
        return trial.run(
            lambda url: CONTESTANTS[client](folder, url, case.rate),
            folder,
            trial.Conditions(case.limit, LATENCY_SECONDS, window=case.window),
            most_seconds=case.seconds,
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


def draw(panels: list[tuple[str, Case, figures.Arrivals]]) -> None:
    """A row for each."""
    sheet, axes = new_sheet(10, 0.9 + 2.0 * len(panels), len(panels), 1)
    for (client, case, arrivals), (panel,) in zip(panels, axes, strict=True):
        charts.draw(panel, arrivals, case.limit, case.seconds)
        panel.set_title(f"{client}, {case.name} ({case.rate:,}/s)")
        panel.set_ylabel("requests in\nthe second before")
    axes[-1][0].set_xlabel("seconds")
    charts.finish(sheet, HERE / "limits.svg")


def find(
    clients: Iterable[str], chosen: Sequence[Case]
) -> tuple[tables.Table, list[tuple[str, Case, figures.Arrivals]]]:
    """The table of the limits that are found, and what is drawn of it."""
    table = tables.Table(
        *("client", "case", "goodput", "after 6 s", "refused", "amid refusals"),
        *("back after change down", "back after change up", "judge stalled"),
    )
    panels = []
    for client in clients:
        for case in chosen:
            seen = attempt(client, case)
            arrivals = seen.arrivals.until(case.seconds)
            shown = cells(arrivals, case.limit, case.seconds)
            table.add(client, case.name, *shown, f"{1000 * seen.stalled_seconds:.0f} ms")
            if case.window == "sliding":
                panels.append((client, case, arrivals))
    return table, panels


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", nargs="+", choices=CONTESTANTS, default=(OURS,))
    parser.add_argument("--seconds", type=float, default=120.0, help="of each run of a true limit")
    parser.add_argument("--only", metavar="TEXT", help="rows whose name contains it; saves nothing")
    chosen = parser.parse_args()
    chosen.cases = [case for case in cases(chosen.seconds) if is_meant(case.name, chosen.only)]
    # The others ask one endpoint alone, and write another output.
    ours = worlds() if OURS in chosen.clients else []
    chosen.worlds = [world for world in ours if is_meant(world.name, chosen.only)]
    if not chosen.cases and not chosen.worlds:
        names = [*(case.name for case in cases(chosen.seconds)), *(world.name for world in ours)]
        parser.error("no row is named so; there are\n  " + "\n  ".join(names))
    return chosen


def main() -> None:
    chosen = options()
    machine = tables.machine()
    print(machine)
    if chosen.only is not None:
        if chosen.cases:
            find(chosen.clients, chosen.cases)
        if chosen.worlds:
            odd.compare(chosen.worlds, is_repeated=False)
        return
    found, panels = find(chosen.clients, chosen.cases)
    draw(panels)
    parts: list[object] = [found, NOTES.strip()]
    if chosen.worlds:
        compared = odd.compare(chosen.worlds, is_repeated=True)
        parts += ["### Odd answers", compared, odd.NOTES.strip()]
    tables.save(HERE / "limits.md", machine, *parts)


if __name__ == "__main__":
    main()
