"""Parts of a run's tables, written shard by shard from what was planned and answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import polars as pl

from batch_screen.config.settings import Settings
from batch_screen.journal.seal import read_sealed
from batch_screen.model import Plan
from batch_screen.numbers.rules import REMEDY
from batch_screen.planning.shards import planned_numbers, read_rejects, read_rows
from batch_screen.runs.layout import ERRORS, LOOKUPS, RESULTS, TABLES, Layout
from batch_screen.runs.state import BASE_URL, SANDBOX, Run, id_key_of
from batch_screen.schema import LOOKUPS as LOOKUP_COLUMNS
from batch_screen.schema import conform, number_column
from batch_screen.storage.atomic import FILE_MODE, atomic_write, translated
from batch_screen.storage.parquet import row_groups
from batch_screen.storage.partition import RowGroupWriter, in_ranges
from batch_screen.tables import breakdown
from batch_screen.tables import counts as counting
from batch_screen.tables.errors import lookup_errors, reject_errors
from batch_screen.tables.results import enrich, observed

MANY_SHARDS, SHARDS_OF_A_PART = 128, 64
"""In large runs a part holds several shards: readers want files of a hundred megabytes."""

NO_NUMBER = pl.lit(None, pl.String)
_REMEDIES = {reason.value: remedy for reason, remedy in REMEDY.items()}


def part_count(shards: int) -> int:
    """The number of parts for so many shards; a number lies in the part of its hash.

    >>> part_count(127), part_count(128), part_count(512)
    (127, 2, 8)
    """
    is_large = shards >= MANY_SHARDS and shards % SHARDS_OF_A_PART == 0
    return shards // SHARDS_OF_A_PART if is_large else shards


class Tallied(NamedTuple):
    """Counts of a shard, made while it was written: of its numbers, and of its lookups."""

    numbers: pl.DataFrame
    lookups: counting.LookupCounts


def write_part(
    run: Run, plan: Plan, shards: Sequence[int], layout: Layout, settings: Settings
) -> list[Tallied]:
    """Writes one part of every table, with these shards; it has the first shard's number.

    Returns what was counted of each shard, for reading it again would take time and memory.
    """
    numbers, lookups = [], []
    number = number_of_run(run)
    with ExitStack() as opened:
        parts = (
            layout.opened_part(table, shards, len(plan.shards), settings.output) for table in TABLES
        )
        write = dict(zip(TABLES, map(opened.enter_context, parts), strict=True))
        for shard in shards:
            for table, frame in _tables(run, plan, shard):
                write[table](frame)
                if table == RESULTS:
                    numbers.append(breakdown.tally(frame.lazy(), settings.endpoints, number))
                elif table == LOOKUPS:
                    lookups.append(counting.tally(frame.lazy()))
                del frame  # so that only one is in memory beside the outcomes
    return list(map(Tallied, numbers, lookups))


def number_of_run(run: Run) -> str:
    """The column by which the run's tables are keyed."""
    return number_column(id_key_of(run.file.identity.settings))


def results_of(run: Run, plan: Plan, shard: int) -> pl.DataFrame:
    """The shard's rows of results."""
    rows = read_rows(run.plan, plan, shard)
    results = enrich(rows, _outcomes(run, plan, shard, rows), run.run_id)
    return _published(run, results)


def _published(run: Run, frame: pl.DataFrame) -> pl.DataFrame:
    """The rows without their numbers, where ids stand for them."""
    return frame if number_of_run(run) == "e164" else frame.with_columns(e164=NO_NUMBER)


def _outcomes(run: Run, plan: Plan, shard: int, rows: pl.DataFrame) -> pl.DataFrame:
    """What was answered about the shard's numbers; with their ids, where the run has such.

    Sorted by number, or by id: the order of the numbers would say which of two is the greater.
    """
    sealed = read_sealed(run.sealed, run.run_id, shard)
    if (only := planned_numbers(run.plan, plan, shard)) is not None:
        sealed = sealed.filter(pl.col("e164").is_in(only.implode()))
    outcomes, number = observed(sealed), number_of_run(run)
    if number == "e164":
        return outcomes
    ids = rows.select("e164", number).unique()
    return outcomes.join(ids, on="e164", how="left").sort(number, "endpoint")


def _tables(run: Run, plan: Plan, shard: int) -> Iterator[tuple[str, pl.DataFrame]]:
    rows = read_rows(run.plan, plan, shard)
    outcomes = _outcomes(run, plan, shard, rows)
    results = _published(run, enrich(rows, outcomes, run.run_id))
    del rows
    yield RESULTS, results
    del results
    outcomes = _published(run, outcomes)
    yield LOOKUPS, conform(outcomes.with_columns(run_id=pl.lit(run.run_id)), LOOKUP_COLUMNS)
    rejects = read_rejects(run.plan, plan, shard)
    failures = lookup_errors(outcomes, run.run_id)
    yield ERRORS, pl.concat([reject_errors(rejects, _REMEDIES, run.run_id), failures])


# Parts hold what their numbers' digits say, so that neither asking nor validating needs a whole
# list in memory; some readers want to lay the rows beside their input.
def write_in_order(
    parts: Iterable[Path],
    target: Path,
    rows: int,
    footer: Mapping[str, str] | None = None,
    mode: int = FILE_MODE,
) -> None:
    """Writes all parts of results into one file, sorted by ``row_index``.

    ``rows`` is how many the input had. Raises ``OutputError``.
    """
    frames = chain.from_iterable(map(row_groups, parts))
    with (
        translated("write", target),
        in_ranges(frames, "row_index", rows, target.parent) as ranges,
        atomic_write(target, mode=mode) as file,
        RowGroupWriter(target, file, marks=footer) as sorted_rows,
    ):
        for rows_of_range in ranges:
            sorted_rows.add(rows_of_range)


def layout_of(run: Run, settings: Settings) -> Layout:
    """The layout of the run's output."""
    identity, output = run.file.identity, settings.output
    is_sandbox = identity.settings.get(BASE_URL) == SANDBOX
    folder, day = Path(output.folder), identity.run_date
    return Layout(folder, run.run_id, day, output.mode, sandbox=is_sandbox)
