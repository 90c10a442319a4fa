"""The tables of a run, part by part: each from the rows and sealed outcomes of its shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import polars as pl

from batch_screen.config.output import Output
from batch_screen.config.settings import Settings
from batch_screen.journal.seal import read_sealed
from batch_screen.model import Plan
from batch_screen.numbers.rules import REMEDY
from batch_screen.output import breakdown, counting
from batch_screen.output.enrich import enrich
from batch_screen.output.failures import lookup_errors, reject_errors
from batch_screen.output.observed import observed
from batch_screen.output.parts import ERRORS, LOOKUPS, RESULTS, TABLES, Layout
from batch_screen.plan import read_rejects, read_rows
from batch_screen.runs import Run
from batch_screen.schema import LOOKUPS as LOOKUP_COLUMNS
from batch_screen.schema import conform

MANY_SHARDS, SHARDS_OF_A_PART = 128, 64
"""In large runs a part holds several shards: readers want files of a hundred megabytes."""

_REMEDIES = {reason.value: remedy for reason, remedy in REMEDY.items()}


def part_count(shards: int) -> int:
    """Into how many parts so many shards are written; a number lies in the part of its hash.

    >>> part_count(127), part_count(128), part_count(512)
    (127, 2, 8)
    """
    is_large = shards >= MANY_SHARDS and shards % SHARDS_OF_A_PART == 0
    return shards // SHARDS_OF_A_PART if is_large else shards


class Tallied(NamedTuple):
    """What was counted of a shard while it was written: its numbers, and its lookups."""

    numbers: pl.DataFrame
    lookups: counting.Counts


def write_part(
    run: Run, plan: Plan, shards: Sequence[int], layout: Layout, settings: Settings
) -> list[Tallied]:
    """Writes the part of every table that holds these shards; its number is the first of them.

    Returns what was counted of each shard, for reading it again would take time and memory.
    """
    numbers, lookups = [], []
    with _opened_part(layout, shards, len(plan.shards), settings.output) as write:
        for shard in shards:
            for table, frame in _tables(run, plan, shard):
                write(table, frame)
                if table == RESULTS:
                    numbers.append(breakdown.tally(frame.lazy(), settings.endpoints))
                elif table == LOOKUPS:
                    lookups.append(counting.tally(frame.lazy()))
                del frame  # so that only one is in memory beside the outcomes
    return list(map(Tallied, numbers, lookups))


@contextmanager
def _opened_part(
    layout: Layout, shards: Sequence[int], of_shards: int, output: Output
) -> Iterator[Callable[[str, pl.DataFrame], None]]:
    """What takes a table's name and its rows of one shard after the other."""
    part = shards[0]
    if len(shards) == 1:

        def write(table: str, frame: pl.DataFrame) -> None:
            # The first part is always there, so that every table can be read.
            if part == 0 or frame.height:
                layout.write_part(table, part, frame, output)

        yield write
        return
    with ExitStack() as opened:
        growing = {
            table: opened.enter_context(layout.growing_part(table, part, of_shards, output))
            for table in TABLES
        }
        yield lambda table, frame: growing[table].add(frame)


def _tables(run: Run, plan: Plan, shard: int) -> Iterator[tuple[str, pl.DataFrame]]:
    outcomes = observed(read_sealed(run.sealed, run.run_id, shard))
    rejects = read_rejects(run.plan, plan, shard)
    yield RESULTS, enrich(read_rows(run.plan, plan, shard), outcomes, run.run_id)
    yield LOOKUPS, conform(outcomes.with_columns(run_id=pl.lit(run.run_id)), LOOKUP_COLUMNS)
    yield ERRORS, _errors(rejects, outcomes, run.run_id)


def _errors(rejects: pl.DataFrame, outcomes: pl.DataFrame, run_id: str) -> pl.DataFrame:
    return pl.concat([reject_errors(rejects, _REMEDIES, run_id), lookup_errors(outcomes, run_id)])
