"""What odd answers do to a run of the installed command, beside the same run without them.

The command is ``batch-screen run``; all figures are the judge's, but for what the output holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import polars as pl

from benchmarks import tables
from benchmarks.pacing import figures, trial
from benchmarks.pacing.contestants import batch_screen, folder_with
from benchmarks.pacing.oddities import Oddity, odd_ones
from benchmarks.pacing.timetable import Timetable
from benchmarks.pacing.worlds import Shape, World

LATENCY_SECONDS = 0.05
MOST_SECONDS = 120.0
_UNLIMITED = 1_000_000
_COMPLETE = (0, 3)
"""Exit codes of a run that has written its output."""
NOTES = """\
Each world stands below *clean*, the same run without odd answers, which is done once more behind
them: what differs is the machine. In brackets: times the clean run's, where a run has ended by
itself with all that it was to ask. *Wall*: seconds from the first request to the last. *Others
done*: seconds until all lookups that are given no odd answer themselves were answered, beside the
same lookups of the clean run; *never* says which share of them was. *Requests a lookup*: all
requests, by the lookups asked for. *Others missing*, *odd missing*: lookups for which the output
holds no success. *Exit*: the command's exit code; it has written what can be read after 0 and 3
alone. *Worst second*: the most requests, refused ones included, in any second. *Goodput*: requests
accepted until the others were done, as a share of what the limit allowed. *Refused*: share of all
requests that were answered with 429. *Own wait*: what an odd answer itself makes its lookup wait
for: Retry-After, the answer, or the timeout. *Judge stalled*: the longest time in which the judge
could not read, for want of CPU.
"""


class Seen(NamedTuple):
    """A run, and the lookups that its output holds a success for; None if it wrote none."""

    tried: trial.Trial
    successes: set[str] | None


def compare(worlds: Sequence[World], *, is_repeated: bool) -> tables.Table:
    """A row for each world, below the clean run of its shape.

    ``is_repeated`` says that each shape's clean run is done again behind its worlds.
    """
    table = tables.Table(
        *("odd answers", "wall", "others done", "requests a lookup", "others missing"),
        *("odd missing", "exit", "worst second", "goodput", "refused", "own wait"),
        "judge stalled",
    )
    for shape, alike in groupby(worlds, key=lambda world: world.shape):
        clean = attempt(shape)
        table.add(*cells(World(f"*clean: {shape}*", shape, ()), clean, clean))
        for world in alike:
            table.add(*cells(world, attempt(shape, world.oddities), clean))
        if is_repeated:
            table.add(*cells(World(f"*clean again: {shape}*", shape, ()), attempt(shape), clean))
    return table


def attempt(shape: Shape, oddities: tuple[Oddity, ...] = ()) -> Seen:
    """One run, for two minutes at most."""
    limit = Timetable.read(str(shape.limit or _UNLIMITED))
    with folder_with(shape.numbers) as folder:
        tried = trial.run(
            lambda url: batch_screen(folder, url, shape.rate, shape.endpoints),
            folder,
            trial.Conditions(limit, LATENCY_SECONDS, oddities=oddities),
            most_seconds=MOST_SECONDS,
        )
        has_written = tried.exit_code in _COMPLETE
        return Seen(tried, successes(folder / "out") if has_written else None)


def successes(out: Path) -> set[str]:
    """The lookups that the output holds a success for."""
    found: set[str] = set()
    for path in (out / "lookups").rglob("*.parquet"):
        frame = pl.read_parquet(path, columns=["endpoint", "e164", "outcome"])
        good = frame.filter(pl.col("outcome") == "success")
        found.update(good.select(pl.concat_str("endpoint", "e164", separator=" ")).to_series())
    return found


def cells(world: World, seen: Seen, clean: Seen) -> Iterator[str]:
    """The row's figures."""
    tried, arrivals = seen.tried, seen.tried.arrivals
    lookups = world.shape.lookups
    odd = odd_ones(world.oddities, lookups)
    others = set(lookups) - odd
    done = figures.done_after(tried.answered, others)
    is_complete = seen.successes is not None
    yield world.name
    yield beside(arrivals.last, clean.tried.arrivals.last if is_complete else None, "s")
    if done is None:
        answered = len(others & tried.answered.keys()) / len(others)
        yield f"never ({tables.percent(answered)})"
    else:
        yield beside(done, figures.done_after(clean.tried.answered, others), "s")
    usual = len(clean.tried.arrivals.seconds) / len(lookups)
    requests = len(arrivals.seconds) / len(lookups)
    yield beside(requests, usual if is_complete else None, "", digits=3)
    for each in (others, odd):
        missing = "–" if seen.successes is None else f"{len(each - seen.successes):,}"
        yield f"{missing} of {len(each):,}" if each else "–"
    yield f"stopped after {MOST_SECONDS:.0f} s" if tried.is_cut_off else f"{tried.exit_code}"
    yield f"{figures.worst_second(arrivals):,}"
    limit = Timetable.read(str(world.shape.limit or _UNLIMITED))
    until = arrivals.last if done is None else done
    yield tables.percent(figures.used(arrivals, limit, 0, until)) if world.shape.limit else "–"
    yield tables.percent(figures.refused_share(arrivals))
    yield world.own_wait
    yield f"{1000 * tried.stalled_seconds:.0f} ms"


def beside(value: float, clean: float | None, unit: str, digits: int = 1) -> str:
    """A figure, and how many times the clean run's it is.

    >>> beside(15.0, 10.0, "s"), beside(15.0, None, "s")
    ('15.0 s (1.50 ×)', '15.0 s')
    """
    shown = f"{value:,.{digits}f} {unit}".strip()
    return f"{shown} ({value / clean:.2f} ×)" if clean else shown
