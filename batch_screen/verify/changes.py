"""Verifies a run's changes against its own lookups, its summary, and the earlier run.

The earlier run may be gone, or damaged itself: then the table is checked against its own run
alone, and the claim of the check says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import polars as pl
from msgspec.structs import replace
from polars import col

from batch_screen.comparison.feed import RunTables, feed_of
from batch_screen.comparison.previous import UnusableRunError, opened, recorded
from batch_screen.config.screening import Cohorts
from batch_screen.runs.layout import CHANGES, LOOKUPS, Layout, is_run_id, layout_of_run
from batch_screen.schema import CHANGES as CHANGE_COLUMNS
from batch_screen.schema import conform, dtypes, keyed_by
from batch_screen.storage.scratch import scratch_folder
from batch_screen.tables.coverage import Change, Changes
from batch_screen.tables.integrity import Difference, VerifyCheck, rewrite
from batch_screen.tables.manifest import ListedFile
from batch_screen.tables.reader import DamagedPartError, Unit, units
from batch_screen.tables.summary import Summary
from batch_screen.verify.checks import VerifyRule, broken
from batch_screen.verify.totals import erased_numbers, summary_of

_OF_COHORTS = ["cohort", "likely_migration"]
_AFTER = ("outcome", "swapped", "active", "latest_change_at", "responded_at")


def changes_check(
    layout: Layout, usable: Sequence[ListedFile], summary: Summary | None, unchecked: str
) -> VerifyCheck:
    """The check that changes match the summary, the lookups and the earlier run.

    ``usable`` are the parts that may be read; ``unchecked`` says why nothing can be said.
    """
    parts = [file for file in usable if file.table == CHANGES]
    rows = sum(file.rows or 0 for file in parts)
    found: list[Difference] = []
    if unchecked or summary is None:
        rows, claim = 0, "changes since the previous run"
        unchecked = unchecked or "summary.json cannot be read"
    elif summary.changes is None:
        rows, claim = max(1, rows), "changes: there is no previous run"
        found += (
            Difference(file.path, "summary.json lists no changes") for file in parts if file.rows
        )
    else:
        changes = summary.changes
        try:
            run = recorded(layout)
            tables, _ = opened(run, [CHANGES])
            found += _own_differences(tables, changes)
            earlier = _earlier(layout, changes)
            if isinstance(earlier, str):
                claim = f"changes agree with lookups and summary.json (the earlier run: {earlier})"
            else:
                erased = erased_numbers(summary), _erased_of(earlier)
                found += _recounted_differences(earlier, tables, run.bounds, changes, erased)
                claim = f"changes, recounted from the lookups of run {changes.since_run} too"
                if any(erased):
                    claim += "; cohorts as they were before rows were erased"
        except (UnusableRunError, DamagedPartError) as error:
            found.append(Difference(CHANGES, str(error)))
            claim = "changes can be read"
    return VerifyCheck("changes", claim, rows, tuple(found), rewrite(layout), unchecked)


def _earlier(layout: Layout, changes: Changes) -> RunTables | str:
    """The earlier run, or the reason why it cannot be read."""
    if not is_run_id(changes.since_run):
        return "its name is no run id"
    earlier = layout_of_run(layout.folder, changes.since_run)
    if not earlier.run.is_dir():
        return "it no longer exists"
    try:
        return opened(recorded(earlier), [LOOKUPS])[0]
    except UnusableRunError as error:
        return str(error)


def _own_differences(tables: RunTables, changes: Changes) -> Iterator[Difference]:
    """Differences between the changes and the run's own lookups and figures."""
    key = [tables.facts.number, "endpoint"]
    rules = _rules(tables, changes, key)
    counts: Counter[tuple[str, str]] = Counter()
    for shard, unit in units(tables.layout, CHANGES, tables.shards).items():
        rows = _rows(unit)
        own = tables.lookups(shard, [*changes.endpoints]).select(*key, *_AFTER)
        # A lookup that stands there twice is another check's finding; it must not make more rows.
        both = rows.join(own.unique(key, keep="first"), on=key, how="left")
        yield from (Difference(unit.path.name, fault) for fault in broken(both, rules).values())
        for endpoint, change, count in rows.group_by("endpoint", "change").len().iter_rows():
            counts[endpoint, change] += count
    # A Counter has no zeros, summary.json names every change.
    in_summary = {(e, c): n for e, by in changes.endpoints.items() for c, n in by.items() if n}
    if counts != in_summary:
        yield Difference(CHANGES, "the rows do not add up to the counts of summary.json")


def _rules(tables: RunTables, changes: Changes, key: Sequence[str]) -> list[VerifyRule]:
    """The rules for rows of changes, joined with their lookups."""
    was, is_ = col.before_outcome == "success", col.after_outcome == "success"
    allowed = {
        Change.BECAME_UNKNOWN: was & ~is_,
        Change.BECAME_KNOWN: ~was & is_,
        Change.DATE_MOVED: was & is_,
        Change.NEWLY_NEGATIVE: was & is_,
        Change.NEWLY_POSITIVE: is_,
    }
    # A comparison with null breaks no rule here: what is required is a rule of its own.
    is_allowed = pl.any_horizontal((col.change == c.value) & claim for c, claim in allowed.items())
    cohorts = [cohort.name for cohort in changes.cohorts]
    contract = keyed_by(CHANGE_COLUMNS, tables.facts.id_key)
    required = [col(c.name).is_null() for c in contract if c.required]
    faults = {
        "{n} rows lack a required value": pl.any_horizontal(required),
        "{n} rows name another run": col.run_id != tables.facts.run_id,
        "{n} rows name another earlier run": col.since_run_id != changes.since_run,
        "{n} rows have a change that their outcomes do not allow": ~is_allowed,
        "{n} rows name a cohort that summary.json does not mark": ~col.cohort.is_in(cohorts),
        "{n} rows are a likely migration without a cohort": col.likely_migration
        & col.cohort.is_null(),
        "lookups are listed twice": pl.len() - pl.struct(key).n_unique(),
        "{n} rows differ from lookups": pl.any_horizontal(
            col(name).ne_missing(col(f"after_{name}")) for name in _AFTER
        ),
    }
    return [VerifyRule(CHANGES, fault, wrong) for fault, wrong in faults.items()]


def _erased_of(earlier: RunTables) -> int:
    summary = summary_of(earlier.layout)
    return erased_numbers(summary) if summary else 0


def _recounted_differences(
    earlier: RunTables,
    later: RunTables,
    bounds: Cohorts,
    changes: Changes,
    erased: tuple[int, int],
) -> Iterator[Difference]:
    """Differences from a comparison that is made again; ``erased`` numbers of later and earlier.

    What an erasure takes is gone from both runs. That a number was gone already in the later one
    stays counted there, and cohorts that were marked with it stay marked.
    """
    layout, shards = later.layout, later.shards
    rows = units(layout, CHANGES, shards)
    with (
        scratch_folder() as scratch,
        feed_of(earlier, later, bounds, scratch=scratch, on_shard=lambda _: None) as feed,
    ):
        counted = feed.changes
        if any(erased):
            slack = changes.numbers_gone - counted.numbers_gone
            counted = replace(counted, cohorts=changes.cohorts)
            if -erased[0] <= slack <= erased[1]:
                counted = replace(counted, numbers_gone=changes.numbers_gone)
        if counted != changes:
            yield Difference("summary.json", "its changes differ from those of the lookups")
        for shard in range(shards):
            # Cell by cell and in order: the feed is a function of the two runs.
            one, other = _rows(rows.get(shard)), feed.shard(shard)
            if any(erased):
                one, other = one.drop(_OF_COHORTS), other.drop(_OF_COHORTS)
            if not one.equals(other):
                path = rows.get(shard, Unit(layout.part(CHANGES, shard))).path
                fault = f"the changes of shard {shard} differ from the recount"
                yield Difference(path.name, fault)


def _rows(unit: Unit | None) -> pl.DataFrame:
    empty = pl.DataFrame(schema=dtypes(CHANGE_COLUMNS))
    # Those of version 4 lack the last column.
    frames = (conform(frame, CHANGE_COLUMNS) for frame in (unit.frames() if unit else ()))
    rows: pl.DataFrame = pl.concat([empty, *frames])
    return rows
