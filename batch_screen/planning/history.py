"""The history of a plan's numbers: answers of earlier runs, copied into the plan when it is made.

So a resume decides by the same answers, and what follows from them follows from the plan alone.
Streams: of an earlier run one batch at a time is in memory, and of a shard its own numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from batch_screen.model import Endpoint, OutcomeKind
from batch_screen.planning.shards import MOST_FILES, history_path, shard_of, shard_rows_path
from batch_screen.runs.layout import LOOKUPS, Layout, is_run_id, layout_of_run
from batch_screen.schema import INSTANT, LOOKUP, NUMBER_ID, Column, conform, dtypes
from batch_screen.storage.atomic import sha256_of, write_frame
from batch_screen.storage.parquet import open_parquet, read_parquet, row_groups
from batch_screen.storage.partition import HELD_BYTES, PartitionedWriter
from batch_screen.storage.reading import read_json
from batch_screen.storage.records import read_frame
from batch_screen.tables.manifest import is_whole
from batch_screen.tables.reader import DamagedPartError, readable
from batch_screen.tables.summary import COMPLETE, Summary

_FROM_EARLIER = (
    "e164",
    "endpoint",
    "max_age_minutes",
    "outcome",
    "swapped",
    "latest_change",
    "latest_change_at",
    "latest_change_raw",
    "http_status",
    "responded_at",
    "source_run_id",
    "last_observed_at",
)
KNOWN = (
    *(column for column in LOOKUP if column.name in _FROM_EARLIER),
    Column("reusable", pl.Boolean, "whether it may stand for an answer"),
)
"""For a number and endpoint the last success of all, and the last one that may be reused."""

_KEY = ["e164", "endpoint", "reusable"]


def write_history(
    batches: Iterable[pl.DataFrame],
    folder: Path,
    shards: int,
    held_bytes: int = HELD_BYTES,
    number: str = "e164",
) -> dict[int, str]:
    """Writes the newest rows of each number and endpoint beside its shard; shard → SHA-256.

    The batches have the columns ``KNOWN``, and may hold others' numbers and older rows. With ids
    in the place of numbers, ``number`` is their column, and each row gets its number from the plan:
    only that knows both. What grows meanwhile lies in ``folder``, that of the plan, and goes again.
    """
    # More files must not be open at once. Both counts are powers of two, so a file holds the rows
    # of whole shards; each of these reads the file for its own.
    count = min(shards, MOST_FILES)
    files = [folder / f"history-{n:05d}.spool" for n in range(count)]
    columns = KNOWN if number == "e164" else (*KNOWN, NUMBER_ID)
    with PartitionedWriter(files, shard_of(pl.col(number), count), held_bytes) as writer:
        for batch in batches:
            writer.add(conform(batch, columns))
    digests: dict[int, str] = {}
    for shard in range(shards):
        both = [*dict.fromkeys(("e164", number))]
        numbers = read_parquet(shard_rows_path(folder, shard), columns=both).unique()
        known = _newest(files[shard % count], numbers, number)
        if known.height:
            path = history_path(folder, shard)
            write_frame(path, known)
            digests[shard] = sha256_of(path)
    for file in files:
        file.unlink(missing_ok=True)
    return digests


def read_history(path: Path, sha256: str) -> pl.DataFrame:
    """The history of a shard's numbers, columns ``KNOWN``; no rows where they have none.

    Raises ``JournalError`` if it is not as it was written.
    """
    return read_frame(path, sha256) if sha256 else pl.DataFrame(schema=dtypes(KNOWN))


def is_reusable(
    reuse_within_minutes: Mapping[Endpoint, int], planned_at: datetime, window_minutes: int | None
) -> pl.Expr:
    """Whether a row may be reused as an answer.

    Its age is counted to the making of the plan, so that what a plan promises to save is saved.
    With a fixed ``window_minutes`` a check counts only if it was asked with just that.
    """
    if not reuse_within_minutes:
        return pl.lit(value=False)
    oldest = {e.value: planned_at - timedelta(minutes=m) for e, m in reuse_within_minutes.items()}
    since = pl.col("endpoint").replace_strict(oldest, default=None, return_dtype=INSTANT)
    is_recent = (pl.col("responded_at") >= since).fill_null(value=False)
    if window_minutes is None:
        return is_recent
    window = pl.col("max_age_minutes")
    return is_recent & (window.is_null() | (window == window_minutes))


def _newest(file: Path, numbers: pl.DataFrame, number: str) -> pl.DataFrame:
    """The newest rows of these numbers, found by the column ``number``."""
    known = pl.DataFrame(schema=dtypes(KNOWN))
    # A row group at a time: a file may hold many shards' rows, and what is older goes at once.
    for group in row_groups(file) if file.exists() else ():
        rows = group.drop("e164") if number != "e164" else group
        ours = conform(rows.join(numbers, on=number, maintain_order="left"), KNOWN)
        both = pl.concat([known, ours]).sort("responded_at", descending=True, maintain_order=True)
        known = both.unique(_KEY, keep="first", maintain_order=True)
    return known.sort(_KEY)


# What complete runs in the same output folder have answered, batch by batch, the newest first.
#
# Their files are read as any reader would, by marker and manifest: no state is needed.

_BATCH_ROWS = 100_000
_SAME_SERVER = ("api.base_url", "api.dialect")
_CLOCKS_DIFFER = timedelta(days=1)
_FORWARDING = Endpoint.CALL_FORWARDING_CHECK.value  # true of one instant: no news tomorrow


class EarlierRun(NamedTuple):
    """A complete run and its figures."""

    layout: Layout
    summary: Summary


def earlier_runs(
    folder: Path,
    settings: Mapping[str, Any],
    oldest: datetime,
    on_damage: Callable[[str], None] = lambda _: None,
) -> list[EarlierRun]:
    """The complete runs that ended since then and asked the same server, the newest first.

    ``settings`` are those of the identity of the run that is to be planned. What the sandbox
    answered is never taken for an answer of the API, nor one server's for another's. ``on_damage``
    is called where one that is recent by its name cannot be read.
    """
    found = []
    for marker in (folder / "runs").glob("*/_SUCCESS"):
        if not is_run_id(marker.parent.name):
            continue
        layout = layout_of_run(folder, marker.parent.name)
        try:
            if not is_whole(layout):
                raise ValueError
            summary = read_json(layout.summary, Summary)
            # By its date as well, for the sandbox's runs take place on theirs.
            day = datetime.fromisoformat(f"{summary.run_date}T23:59:59+00:00")
        except (OSError, ValueError):  # msgspec's errors are ValueErrors
            if layout.run_date >= oldest.date().isoformat():
                on_damage(
                    f"run {layout.run_id} was complete and cannot be read any more: its answers "
                    "are not reused; batch-screen validate says what is wrong"
                )
            continue
        if summary.status != COMPLETE:
            continue
        is_recent = max(summary.session.ended_at, day) >= oldest
        is_same = all(summary.settings.get(name) == settings.get(name) for name in _SAME_SERVER)
        if is_recent and is_same:
            found.append(EarlierRun(layout, summary))
    return sorted(found, key=lambda run: run.summary.session.ended_at, reverse=True)


def earlier_answers(
    runs: list[EarlierRun], now: datetime, look_back: timedelta, on_damage: Callable[[str], None]
) -> Iterator[pl.DataFrame]:
    """Batches of their successes within ``look_back`` of ``now``, without call forwarding.

    Columns as in lookups; ``source_run_id`` is the run that asked. ``on_damage`` is called
    where a run cannot be read: its answers count as unknown then, and are asked for again.
    """
    for run in runs:
        try:
            for path in run.layout.parts(LOOKUPS):
                for batch in _batches(path):
                    asked_in = pl.lit(run.layout.run_id)
                    if "source_run_id" in batch.columns:  # schema 2 had none
                        asked_in = pl.coalesce("source_run_id", asked_in)
                    yield batch.with_columns(source_run_id=asked_in).filter(
                        pl.col("outcome") == OutcomeKind.SUCCESS.value,
                        pl.col("endpoint") != _FORWARDING,
                        pl.col("responded_at").is_between(now - look_back, now + _CLOCKS_DIFFER),
                    )
        except DamagedPartError as error:
            on_damage(
                f"run {run.layout.run_id} cannot be read ({error}): its answers are not reused"
            )


def _batches(path: Path) -> Iterator[pl.DataFrame]:
    with readable():
        file = open_parquet(path)
    with file:
        batches = file.iter_batches(batch_size=_BATCH_ROWS)
        while True:
            with readable():
                batch = next(batches, None)
                frame = None if batch is None else pl.DataFrame(batch)
            if frame is None:
                return
            yield frame
