"""Diff: what changed between two complete runs, in any folders.

Writes nothing but the feed, if one is wanted, and scratch files in the system's temporary folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import polars as pl

from batch_screen.comparison.feed import ChangeFeed, RunTables, feed_of, shared_endpoints
from batch_screen.comparison.previous import CompleteRun, UnusableRunError, opened, recorded
from batch_screen.config.paths import refuse_address
from batch_screen.config.screening import Cohorts
from batch_screen.erasure.journal import note_pending
from batch_screen.errors import InputError, no_input
from batch_screen.masking import mask_number
from batch_screen.runs.events import RunEvents
from batch_screen.runs.layout import LOOKUPS, RESULTS, Layout, is_run_id, run_at
from batch_screen.storage.atomic import atomic_write, check_file, translated
from batch_screen.storage.partition import RowGroupWriter
from batch_screen.storage.scratch import scratch_folder
from batch_screen.tables.coverage import Change, Changes
from batch_screen.tables.reader import DamagedPartError

_EXAMPLES = 3


class Example(msgspec.Struct, frozen=True):
    """A number that changed, masked, or its id, and the endpoint that said so."""

    e164_masked: str
    endpoint: str


class Diff(msgspec.Struct, frozen=True):
    """The changes up to run ``run_id``; ``changes`` names the run it is compared with.

    ``not_compared`` are endpoints that only one of the two asked. ``examples`` are change → a few
    numbers, masked.
    """

    run_id: str
    run_date: str
    changes: Changes
    not_compared: list[str]
    examples: dict[str, list[Example]]


def diff(  # noqa: PLR0913 (two runs, where, how, and what becomes of it)
    since: Path | str,
    run: Path | str,
    *,
    out: Path | str | None = None,
    cohorts: Cohorts | None = None,
    write: Path | str | None = None,
    events: RunEvents | None = None,
) -> Diff:
    """The changes from the run ``since`` to the run ``run``.

    Each is a run's id in the output folder ``out``, a run's own folder, or an output folder,
    whose latest run is meant. ``cohorts`` are the bounds of the cohort guard, by default those
    the run was made with. ``write`` is a Parquet file to write the feed into: whole numbers, with
    the columns ``schema.CHANGES``. Raises ``InputError`` where a run is not there, not complete
    or not whole (exit code 66), or where the two share no endpoint, and ``OutputError``.
    """
    if write is not None:
        refuse_address(write, "--write")
        check_file(Path(write), "--write")
    events = events or RunEvents()
    earlier, later = _recorded(since, out), _recorded(run, out)
    for folder in dict.fromkeys((earlier.layout.folder, later.layout.folder)):
        note_pending(folder, events)
    for run_facts in (earlier.facts, later.facts):
        if earlier.facts.limit != later.facts.limit and run_facts.limit:
            events.progress.note(
                f"run {run_facts.run_id} was limited to the first {run_facts.limit:,} numbers, so "
                "numbers look new or gone that are not"
            )
    if earlier.facts.id_key != later.facts.id_key:
        raise InputError(
            f"runs {earlier.facts.run_id} and {later.facts.run_id} have other ids for the same "
            "numbers, so nobody can tell which are the same; name two runs of one folder"
        )
    shared, not_compared = shared_endpoints(earlier.facts, later.facts)
    if not shared:
        raise InputError(
            f"runs {earlier.facts.run_id} and {later.facts.run_id} asked no endpoint in common, so "
            "there is nothing to compare; name two runs that did"
        )
    examples: dict[str, list[Example]] = {change.value: [] for change in Change}
    with (
        _feed(earlier, later, cohorts or later.bounds, events) as feed,
        _parquet_file(write, later.layout.file_mode) as file,
    ):
        for frame in feed.frames():
            _add_examples(examples, frame, later.facts.number)
            if file is not None:
                file.add(frame)
    found = {change: few for change, few in examples.items() if few}
    facts = later.facts
    return Diff(facts.run_id, facts.run_date, feed.changes, not_compared, found)


def _recorded(run: Path | str, out: Path | str | None) -> CompleteRun:
    if not is_run_id(str(run)):
        layout = run_at(Path(run))
    elif out is not None:
        layout = run_at(Path(out), str(run))
    else:
        raise no_input(
            f"run {run} of which output folder? name it with --out, or give the path OUT/runs/{run}"
        )
    try:
        return recorded(layout)
    except UnusableRunError as error:
        raise _unusable(layout, error) from error


def _unusable(layout: Layout, error: Exception) -> InputError:
    return no_input(
        f"run {layout.run_id} in {layout.folder} cannot be compared, for {error}; batch-screen "
        "validate says more"
    )


@contextmanager
def _feed(
    earlier: CompleteRun, later: CompleteRun, bounds: Cohorts, events: RunEvents
) -> Iterator[ChangeFeed]:
    before = _opened(earlier, [LOOKUPS], events)
    after = _opened(later, [LOOKUPS, RESULTS], events)
    events.progress.stage("comparing", total=after.shards)
    try:
        with (
            scratch_folder() as scratch,
            feed_of(before, after, bounds, scratch=scratch, on_shard=events.advance) as feed,
        ):
            yield feed
    except DamagedPartError as error:
        broken = earlier if earlier.facts.run_id in error.where else later
        raise _unusable(broken.layout, error) from error


def _opened(run: CompleteRun, tables: list[str], events: RunEvents) -> RunTables:
    events.progress.stage("hashing")
    try:
        return opened(run, tables)[0]
    except UnusableRunError as error:
        raise _unusable(run.layout, error) from error


@contextmanager
def _parquet_file(path: Path | str | None, mode: int) -> Iterator[RowGroupWriter | None]:
    """The Parquet file for the changes, if wanted; complete under its final name."""
    if path is None:
        yield None
        return
    target = Path(path)
    with (
        translated("write", target),
        atomic_write(target, mode=mode) as file,
        RowGroupWriter(target, file, {"compression": "zstd"}) as writer,
    ):
        yield writer


def _add_examples(examples: dict[str, list[Example]], frame: pl.DataFrame, number: str) -> None:
    shown = mask_number if number == "e164" else str
    for change, few in examples.items():
        of_kind = frame.filter(pl.col("change") == change).select(number, "endpoint")
        more = of_kind.head(_EXAMPLES - len(few))
        few += [Example(shown(whose), endpoint) for whose, endpoint in more.iter_rows()]
