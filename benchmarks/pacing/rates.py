"""How much of a contracted rate is used and overstepped: batch-screen, a script, Scrapy.

Each asks the same numbers of a fresh judge that accepts exactly so many requests in any second
and refuses the rest. Then batch-screen alone is stopped, killed and cut off in the middle.
Writes ``rates.md`` and ``rates.svg`` beside this file.
"""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import tables
from benchmarks.pacing import charts, figures, trial
from benchmarks.pacing.contestants import CONTESTANTS, batch_screen, folder_with
from benchmarks.pacing.timetable import Timetable
from benchmarks.sheets import new_sheet

HERE = Path(__file__).parent
OURS = "batch-screen"
RATES = (10, 100, 1_000, 3_000)
SITUATION_RATES = (100, 1_000)
LATENCY_SECONDS = 0.02
PAUSE_SECONDS = 3.0
CUT_OFF = 2.0
"""Who takes longer than this many times what the limit allows is stopped."""
NOTES = """\
*Used* is the share of the limit that was accepted, from the first request to the last; *after
ramp-up* leaves out the first 6 s and the last hundredth of the requests. *Worst second*: the most
requests, refused ones included, in any second. *Before Retry-After*: requests that came although
a refusal had said to wait (50 ms are allowed for those under way). *CPU*: user and system time
between first and last request, for each request. *Judge stalled*: the longest time in which the
judge could not read, for want of CPU; above some 20 ms, do not trust the worst second of that row.
In the second table, *used* counts the 3 s of the pause, or the time the second start needs.
"""


class Panel(NamedTuple):
    """What a panel of the chart shows."""

    client: str
    rate: int
    arrivals: figures.Arrivals


def compare(chosen: argparse.Namespace) -> tuple[tables.Table, list[Panel]]:
    """Every client at every rate."""
    table = tables.Table(
        *("rate", "client", "used", "after ramp-up", "worst second", "refused"),
        *("before Retry-After", "CPU µs", "judge stalled"),
    )
    panels = []
    for rate in chosen.rates:
        for client in chosen.clients:
            seen = attempt(client, rate, chosen.seconds)
            table.add(f"{rate:,}/s", *cells(client, seen, rate))
            panels.append(Panel(client, rate, seen.arrivals))
    return table, panels


def attempt(client: str, rate: int, seconds: float) -> trial.Trial:
    """One client at one rate."""
    with folder_with(int(rate * seconds)) as folder:
        return trial.run(
            lambda url: CONTESTANTS[client](folder, url, rate),
            folder,
            conditions(rate),
            most_seconds=CUT_OFF * seconds,
        )


def cells(client: str, seen: trial.Trial, rate: int) -> Iterator[str]:
    """The row's figures."""
    arrivals, limit = seen.arrivals, Timetable.read(str(rate))
    yield f"{client}, stopped before its end" if seen.is_cut_off else client
    yield tables.percent(figures.used(arrivals, limit))
    yield tables.percent(figures.used_after_ramp_up(arrivals, limit))
    yield f"{figures.worst_second(arrivals):,}"
    yield f"{len(arrivals.refused):,}"
    yield f"{figures.before_retry_after(arrivals):,}"
    yield f"{seen.cpu_us:,.0f}"
    yield f"{1000 * seen.stalled_seconds:.0f} ms"


def conditions(rate: int, outage_at: float = 0.0, outage_seconds: float = 0.0) -> trial.Conditions:
    """The contract's own limit."""
    return trial.Conditions(Timetable.read(str(rate)), LATENCY_SECONDS, outage_at, outage_seconds)


def disturb(chosen: argparse.Namespace) -> tables.Table:
    """batch-screen in the situations in which pacers overshoot."""
    table = tables.Table("situation", "rate", "used", "worst second", "refused", "judge stalled")
    for rate in chosen.situation_rates:
        for name, try_it in SITUATIONS.items():
            seen = try_it(rate, chosen.seconds)
            arrivals, limit = seen.arrivals, Timetable.read(str(rate))
            table.add(
                *(name, f"{rate:,}/s", tables.percent(figures.used(arrivals, limit))),
                *(f"{figures.worst_second(arrivals):,}", f"{len(arrivals.refused):,}"),
                f"{1000 * seen.stalled_seconds:.0f} ms",
            )
    return table


def stopped(rate: int, seconds: float) -> trial.Trial:
    """SIGSTOP, and SIGCONT later."""

    def meddle(contestant: trial.Contestant, _: trial.Start) -> trial.Contestant:
        contestant.signal(signal.SIGSTOP)
        time.sleep(PAUSE_SECONDS)
        contestant.signal(signal.SIGCONT)
        return contestant

    return disturbed(rate, seconds, meddle)


def killed(rate: int, seconds: float) -> trial.Trial:
    """SIGKILL, and the same command at once."""

    def meddle(contestant: trial.Contestant, start: trial.Start) -> trial.Contestant:
        contestant.signal(signal.SIGKILL)
        contestant.end()
        return start()

    return disturbed(rate, seconds, meddle)


def cut_off(rate: int, seconds: float) -> trial.Trial:
    """The server drops all connections and refuses new ones."""
    return disturbed(rate, seconds, None, conditions(rate, seconds / 2, PAUSE_SECONDS))


def disturbed(
    rate: int,
    seconds: float,
    meddle: trial.Meddle | None,
    imposed: trial.Conditions | None = None,
) -> trial.Trial:
    """batch-screen with something that happens in the middle."""
    with folder_with(int(rate * seconds)) as folder:
        return trial.run(
            lambda url: batch_screen(folder, url, rate),
            folder,
            imposed or conditions(rate),
            most_seconds=CUT_OFF * seconds + trial.START_SECONDS,
            meddle=(seconds / 2, meddle) if meddle else None,
        )


SITUATIONS: dict[str, Callable[[int, float], trial.Trial]] = {
    "SIGSTOP, SIGCONT after 3 s": stopped,
    "SIGKILL, same command at once": killed,
    "server gone for 3 s": cut_off,
}


def draw(panels: list[Panel], seconds: float) -> None:
    """A column for each rate, a row for each client."""
    rates = list(dict.fromkeys(panel.rate for panel in panels))
    clients = list(dict.fromkeys(panel.client for panel in panels))
    sheet, axes = new_sheet(
        1 + 2.9 * len(rates), 0.9 + 1.9 * len(clients), len(clients), len(rates)
    )
    for client, rate, arrivals in panels:
        row, column = clients.index(client), rates.index(rate)
        panel = axes[row][column]
        charts.draw(panel, arrivals, Timetable.read(str(rate)), 1.2 * seconds)
        panel.set_title(f"{client} at {rate:,}/s")
        if row == len(clients) - 1:
            panel.set_xlabel("seconds")
        if column == 0:
            panel.set_ylabel("requests in\nthe second before")
    charts.finish(sheet, HERE / "rates.svg")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", type=int, nargs="*", default=RATES)
    parser.add_argument("--clients", nargs="+", choices=CONTESTANTS, default=tuple(CONTESTANTS))
    parser.add_argument("--situation-rates", type=int, nargs="*", default=SITUATION_RATES)
    parser.add_argument("--seconds", type=float, default=25.0, help="what the limit needs")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    machine = tables.machine()
    print(machine)
    compared, panels = compare(chosen)
    if panels:
        draw(panels, chosen.seconds)
    happened = disturb(chosen)
    tables.save(HERE / "rates.md", machine, compared, NOTES.strip(), happened)


if __name__ == "__main__":
    main()
