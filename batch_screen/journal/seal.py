"""Sealing: a finished shard's outcomes become one Parquet file, and its segments go.

Beside the file lies its seal, written after it: whose outcomes they are, their SHA-256, and
what was spent on them, which the segments alone could tell.
The seal's presence is the state: there is no table of shards to fall out of step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa

from batch_screen.errors import JournalError
from batch_screen.journal.records import SpendCounter
from batch_screen.journal.segments import Replay, segments
from batch_screen.model import Endpoint, Outcome, Spent
from batch_screen.schema import LOOKUP, Column, dtypes
from batch_screen.storage.atomic import sha256_of, sync_folder, translated, write_frame
from batch_screen.storage.records import check_file, read_frame, read_record, write_record

_CHUNK = 20_000
_KEY = ["e164", "endpoint"]


class Seal(msgspec.Struct, frozen=True):
    """What the outcomes beside it were when they were written, and what they have cost."""

    run_id: str
    shard: int
    sha256: str
    spent: Mapping[Endpoint, Spent]


def sealed_path(folder: Path, shard: int) -> Path:
    """Where the shard's sealed outcomes lie, once they do."""
    return folder / f"{shard:05d}.parquet"


def seal_path(folder: Path, shard: int) -> Path:
    """The shard's seal; the shard is finished if it is there."""
    return folder / f"{shard:05d}.seal"


def seal(journal: Path, sealed: Path, run_id: str, shard: int, *, expected: int) -> None:
    """Writes the shard's outcomes, sorted by number and endpoint, and drops its segments.

    Raises ``JournalError`` if there are not exactly ``expected`` outcomes.
    """
    tally = SpendCounter()
    outcomes = read_outcomes(journal, run_id, shard, tally)
    if outcomes.height != expected:
        raise JournalError(
            f"shard {shard} has {outcomes.height} outcomes where {expected} were expected; "
            "nothing was changed: please report this with the run's summary"
        )
    write_sealed(outcomes, sealed, run_id, shard, tally.spent())
    drop_segments(journal, shard)


def write_sealed(
    outcomes: pl.DataFrame, folder: Path, run_id: str, shard: int, spent: Mapping[Endpoint, Spent]
) -> None:
    """Writes the shard's outcomes and then their seal."""
    path = sealed_path(folder, shard)
    write_frame(path, outcomes)
    with translated("read", path):
        digest = sha256_of(path)
    write_record(seal_path(folder, shard), Seal(run_id, shard, digest, spent))


def is_sealed(folder: Path, run_id: str, shard: int) -> bool:
    """Whether the shard is finished. Raises ``JournalError`` if what was sealed is damaged."""
    if not seal_path(folder, shard).exists():
        return False
    check_file(sealed_path(folder, shard), _seal(folder, run_id, shard).sha256)
    return True


def read_sealed(folder: Path, run_id: str, shard: int) -> pl.DataFrame:
    """The shard's sealed outcomes. Raises ``JournalError`` if they are damaged."""
    return read_frame(sealed_path(folder, shard), _seal(folder, run_id, shard).sha256)


def sealed_spent(folder: Path, run_id: str, shard: int) -> Mapping[Endpoint, Spent]:
    """What was spent on the sealed shard, over all starts."""
    return _seal(folder, run_id, shard).spent


def _seal(folder: Path, run_id: str, shard: int) -> Seal:
    path = seal_path(folder, shard)
    found = read_record(path, Seal)
    if (found.run_id, found.shard) != (run_id, shard):
        raise JournalError(
            f"{path} belongs to shard {found.shard} of run {found.run_id}; nothing was changed: "
            "put it back, or start afresh with --new-run"
        )
    return found


def read_outcomes(journal: Path, run_id: str, shard: int, tally: SpendCounter) -> pl.DataFrame:
    """The shard's saved outcomes with the columns ``schema.LOOKUP``, one row per lookup.

    ``tally`` counts every record on the way: a segment is read once.
    """
    records = _outcomes(Replay(journal, run_id, shard), tally)
    frames = [_frame(chunk) for chunk in _chunks(records)]
    outcomes = pl.concat(frames) if frames else pl.DataFrame(schema=dtypes(LOOKUP))
    # For a million outcomes 0.2 GiB less than unique() and sort() on whole rows.
    order = outcomes.select(pl.arg_sort_by(_KEY, maintain_order=True)).to_series()
    return _first_of_each(outcomes[order])


def _outcomes(replay: Replay, tally: SpendCounter) -> Iterator[Outcome]:
    for record in replay:
        tally.count(record)
        if isinstance(record, Outcome):
            yield record


def _first_of_each(ordered: pl.DataFrame) -> pl.DataFrame:
    """The first saved outcome of a lookup is its outcome; there is hardly ever another."""
    differs = (pl.col(name).ne_missing(pl.col(name).shift()) for name in _KEY)
    is_first = ordered.select(pl.any_horizontal(differs)).to_series()
    return ordered if is_first.all() else ordered.filter(is_first)


def drop_segments(journal: Path, shard: int) -> None:
    """Removes the segments of a sealed shard."""
    with translated("clear", journal):
        for path in segments(journal, shard):
            path.unlink()
        sync_folder(journal)


def _chunks(records: Iterator[Outcome]) -> Iterator[list[Outcome]]:
    # As Python objects a shard's outcomes would take several times their size as columns.
    while chunk := list(islice(records, _CHUNK)):
        yield chunk


def _frame(outcomes: list[Outcome]) -> pl.DataFrame:
    # For each row at once, for a call for each cell would take three times as long.
    cells = attrgetter(*("kind" if c.name == "outcome" else c.name for c in LOOKUP))
    columns = zip(LOOKUP, zip(*map(cells, outcomes), strict=True), strict=True)
    return pl.DataFrame([_series(column, values) for column, values in columns])


def _series(column: Column, values: Sequence[Any]) -> pl.Series:
    if column.dtype == pl.Datetime:  # polars takes five times as long
        return pl.Series(column.name, pa.array(values, pa.timestamp("us", tz="UTC")))
    return pl.Series(column.name, values, dtype=column.dtype)
