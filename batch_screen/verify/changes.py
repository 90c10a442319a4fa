"""Holds a run's table of changes against its own lookups, its summary, and the earlier run.

The earlier run may be gone, or be damaged itself: then what the table says of itself is checked
alone, which the claim of the check says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from batch_screen.comparison.feed import ChangeFeed, RunTables, Unit, Units, feed_of, units
from batch_screen.comparison.previous import CompleteRun, UnusableRunError, opened, recorded
from batch_screen.runs.layout import CHANGES, LOOKUPS, Layout, ShardOf, is_run_id, layout_of_run
from batch_screen.schema import CHANGES as CHANGE_COLUMNS
from batch_screen.schema import dtypes
from batch_screen.tables.integrity import Difference, VerifyCheck, rewrite
from batch_screen.tables.manifest import ListedFile
from batch_screen.tables.reader import DamagedPartError
from batch_screen.tables.summary import Change, Changes, Summary

NAME = "changes"
_KEYS = ["e164", "endpoint"]
_AFTER = ("outcome", "swapped", "active", "latest_change_at", "responded_at")
_Counts = dict[tuple[str, str], int]


def changes_check(
    layout: Layout,
    usable: Sequence[ListedFile],
    summary: Summary | None,
    unchecked: str,
    shard_of: ShardOf,
) -> VerifyCheck:
    """The table of changes is what the summary, the lookups and the earlier run make it.

    ``usable`` are the parts that may be read; ``unchecked`` says why nothing can be said.
    """
    if unchecked or summary is None:
        reason = unchecked or "summary.json cannot be read"
        return VerifyCheck(NAME, "changes since the previous run", 0, (), rewrite(layout), reason)
    parts = [file for file in usable if file.table == CHANGES]
    rows = sum(file.rows or 0 for file in parts)
    if summary.changes is None:
        faults = [Difference(file.path, "summary.json tells of no changes") for file in parts]
        claim = "changes: there is no previous run to tell them from"
        return VerifyCheck(NAME, claim, max(1, rows), tuple(faults), rewrite(layout))
    found: list[Difference] = []
    try:
        own = recorded(layout)
        side, _ = opened(layout, [CHANGES])
        found += _own_faults(side, summary.changes)
        earlier = _earlier(layout, summary.changes)
        claim = f"changes, recounted from the lookups of run {summary.changes.since_run} too"
        if isinstance(earlier, str):
            claim = f"changes agree with lookups and summary.json (the earlier run: {earlier})"
        else:
            found += _recounted_faults(earlier, (own, side), summary.changes, shard_of)
    except (UnusableRunError, DamagedPartError) as error:
        found.append(Difference(CHANGES, str(error)))
        claim = "changes can be read"
    return VerifyCheck(NAME, claim, rows, tuple(found), rewrite(layout))


def _earlier(layout: Layout, changes: Changes) -> tuple[CompleteRun, RunTables] | str:
    """The earlier run, or why it cannot be read."""
    if not is_run_id(changes.since_run):
        return "its name is no run's"
    earlier = layout_of_run(layout.folder, changes.since_run)
    if not earlier.run.is_dir():
        return "it is not there any more"
    try:
        return recorded(earlier), opened(earlier, [LOOKUPS])[0]
    except UnusableRunError as error:
        return str(error)


def _own_faults(side: RunTables, changes: Changes) -> Iterator[Difference]:
    """What the rows say otherwise than their own run's lookups and figures."""
    table = units(side.layout, CHANGES, side.shards)
    counts: Counter[tuple[str, str]] = Counter()
    for shard in table:
        rows = _frame(table, shard)
        lookups = side.lookups(shard, [*changes.endpoints])
        where = table[shard].path.name
        for fault, claim in _faults(side.layout.run_id, changes).items():
            differing = int(rows.select(claim.sum()).item())
            if differing:
                yield Difference(where, f"{differing:,} rows {fault}")
        if rows.height != rows.select(_KEYS).n_unique():
            yield Difference(where, "lookups stand there twice")
        unlike = _unlike(rows, lookups)
        if unlike:
            yield Difference(where, f"{unlike:,} rows differ from lookups")
        for endpoint, change, count in rows.group_by("endpoint", "change").len().iter_rows():
            counts[endpoint, change] += count
    if dict(counts) != _told(changes):
        yield Difference(CHANGES, "the rows do not come to the counts of summary.json")


def _faults(run_id: str, changes: Changes) -> dict[str, pl.Expr]:
    """Faults that a row shows by itself."""
    was, is_ = pl.col("before_outcome") == "success", pl.col("after_outcome") == "success"
    kind = pl.col("change")
    unknowns = {
        Change.BECAME_UNKNOWN.value: was & ~is_,
        Change.BECAME_KNOWN.value: ~was & is_,
        Change.DATE_MOVED.value: was & is_,
        Change.NEWLY_NEGATIVE.value: was & is_,
        Change.NEWLY_POSITIVE.value: is_,
    }
    fitting = pl.any_horizontal((kind == name) & claim for name, claim in unknowns.items())
    names = [cohort.name for cohort in changes.cohorts]
    required = [pl.col(c.name).is_null() for c in CHANGE_COLUMNS if c.required]
    return {
        "lack what is required": pl.any_horizontal(required),
        "name another run": pl.col("run_id") != run_id,
        "name another earlier run": pl.col("since_run_id") != changes.since_run,
        "have a change that their outcomes do not allow": ~fitting,
        "name a cohort that summary.json does not mark": ~pl.col("cohort").is_in(names),
        "are a likely migration of no cohort": pl.col("likely_migration")
        & pl.col("cohort").is_null(),
    }


def _unlike(rows: pl.DataFrame, lookups: pl.DataFrame) -> int:
    """Rows whose later values are not those of the run's own lookups."""
    own = lookups.select(*_KEYS, *_AFTER).unique(_KEYS, keep="first")
    both = rows.join(own, on=_KEYS, how="left")
    differs = pl.any_horizontal(pl.col(n).ne_missing(pl.col(f"after_{n}")) for n in _AFTER)
    return int(both.select(differs.sum()).item())


def _told(changes: Changes) -> _Counts:
    counts = changes.endpoints.items()
    return {(e, change): n for e, by_change in counts for change, n in by_change.items() if n}


def _recounted_faults(
    earlier: tuple[CompleteRun, RunTables],
    later: tuple[CompleteRun, RunTables],
    told: Changes,
    shard_of: ShardOf,
) -> Iterator[Difference]:
    """What differs from a comparison that is made anew."""
    (before, before_side), (after, after_side) = earlier, later
    with (
        TemporaryDirectory(prefix="batch-screen-") as scratch,
        feed_of(
            (before.told, before_side),
            (after.told, after_side),
            after.bounds,
            shard_of=shard_of,
            scratch=Path(scratch),
            on_shard=lambda _: None,
        ) as feed,
    ):
        if feed.changes != told:
            yield Difference("summary.json", "its changes are others than the lookups make them")
        yield from _row_faults(feed, after_side)


def _row_faults(feed: ChangeFeed, side: RunTables) -> Iterator[Difference]:
    table = units(side.layout, CHANGES, side.shards)
    for shard in range(side.shards):
        if not _frame(table, shard).equals(feed.shard(shard)):
            where = side.layout.part(CHANGES, shard)
            path = table.get(shard, Unit(where)).path
            yield Difference(path.name, f"the changes of shard {shard} are others than recounted")


def _frame(table: Units, shard: int) -> pl.DataFrame:
    none = pl.DataFrame(schema=dtypes(CHANGE_COLUMNS))
    found: pl.DataFrame = pl.concat([none, *(table[shard].frames() if shard in table else ())])
    return found
