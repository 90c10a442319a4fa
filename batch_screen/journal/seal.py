"""Sealing: a finished shard's journal segments become one Parquet file with a seal beside it.

The seal is written last and holds the file's SHA-256 and the requests spent, which only the
segments had counted. Its presence is the state: no table of shards could disagree with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path

import msgspec
import polars as pl
import pyarrow as pa

from batch_screen.errors import JournalError
from batch_screen.journal.records import SpendCounter
from batch_screen.journal.segments import Replay, segments
from batch_screen.model import Endpoint, Outcome, Spent
from batch_screen.schema import LOOKUP, dtypes
from batch_screen.storage.atomic import sha256_of, sync_folder, translated, write_frame
from batch_screen.storage.records import check_file, read_frame, read_record, write_record

# As Python objects a shard's outcomes would take several times their size as columns.
_CHUNK = 20_000
_MANY = 2_000
_KEY = ["e164", "endpoint"]


class Seal(msgspec.Struct, frozen=True, omit_defaults=True):
    """A shard's seal: its run, the digest of its outcomes, and what they have cost.

    ``epoch``: whose outcomes they are, where several workers may have owned the shard in turn.
    """

    run_id: str
    shard: int
    sha256: str
    spent: Mapping[Endpoint, Spent]
    epoch: int | None = None


def sealed_path(folder: Path, shard: int, epoch: int | None = None) -> Path:
    """Path of the outcomes that a shard's owner has sealed."""
    return folder / f"{shard:05d}{'' if epoch is None else f'-{epoch:05d}'}.parquet"


def seal_path(folder: Path, shard: int) -> Path:
    """Path of the shard's seal; the shard is finished if it exists."""
    return folder / f"{shard:05d}.seal"


def seal(  # noqa: PLR0913 (where from, where to, whose, and how many)
    journal: Path,
    sealed: Path,
    run_id: str,
    shard: int,
    *,
    expected: int,
    carried: pl.DataFrame | None = None,
    only: pl.Series | None = None,
    epoch: int | None = None,
) -> None:
    """Seals a shard: writes its outcomes, sorted by number and endpoint, and drops its segments.

    ``carried`` are outcomes that it had before its journal; ``only`` the outcomes of these numbers
    count. Raises ``JournalError`` if there are not exactly ``expected`` of them. With an ``epoch``
    another worker may seal the shard too: the first one has.
    """
    tally = SpendCounter()
    outcomes = read_outcomes(journal, run_id, shard, tally, carried, only)
    if outcomes.height != expected:
        raise JournalError(
            f"shard {shard} has {outcomes.height} outcomes where {expected} were expected; "
            "nothing was changed: please report this with the run's summary"
        )
    write_sealed(outcomes, sealed, run_id, shard, tally.spent(), epoch)
    drop_leftovers(journal, sealed, run_id, shard)


def write_sealed(  # noqa: PLR0913, PLR0917 (a seal's facts)
    outcomes: pl.DataFrame,
    folder: Path,
    run_id: str,
    shard: int,
    spent: Mapping[Endpoint, Spent],
    epoch: int | None = None,
) -> None:
    """Writes the shard's outcomes, then their seal, unless another owner has sealed meanwhile."""
    path = sealed_path(folder, shard, epoch)
    write_frame(path, outcomes)
    with translated("read", path):
        digest = sha256_of(path)
    record = Seal(run_id, shard, digest, spent, epoch)
    write_record(seal_path(folder, shard), record, is_new=epoch is not None)


def is_sealed(folder: Path, run_id: str, shard: int) -> bool:
    """Whether the shard is finished. Raises ``JournalError`` if its sealed outcomes are damaged."""
    if not seal_path(folder, shard).exists():
        return False
    check_file(*_sealed(folder, run_id, shard))
    return True


def read_sealed(folder: Path, run_id: str, shard: int) -> pl.DataFrame:
    """Reads the shard's sealed outcomes. Raises ``JournalError`` if they are damaged."""
    return read_frame(*_sealed(folder, run_id, shard))


def sealed_outcomes(folder: Path, run_id: str, shard: int) -> Path:
    """The file with a sealed shard's outcomes."""
    return _sealed(folder, run_id, shard)[0]


def _sealed(folder: Path, run_id: str, shard: int) -> tuple[Path, str]:
    found = _seal(folder, run_id, shard)
    return sealed_path(folder, shard, found.epoch), found.sha256


def sealed_spent(folder: Path, run_id: str, shard: int) -> Mapping[Endpoint, Spent]:
    """Requests spent on the sealed shard, over all sessions."""
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


def read_outcomes(  # noqa: PLR0913, PLR0917 (where from, whose, and which of them)
    journal: Path,
    run_id: str,
    shard: int,
    tally: SpendCounter,
    carried: pl.DataFrame | None = None,
    only: pl.Series | None = None,
) -> pl.DataFrame:
    """The outcomes in the shard's journal as ``schema.LOOKUP``, one row per lookup, sorted.

    ``tally`` counts every record, so that the segments are read once. ``carried`` come besides;
    ``only`` outcomes of these numbers are returned, where they are named.
    """
    frames = [pl.DataFrame(schema=dtypes(LOOKUP)) if carried is None else carried]
    chunk: list[Outcome] = []
    for record in Replay(journal, run_id, shard):
        tally.count(record)
        if isinstance(record, Outcome):
            chunk.append(record)
        if len(chunk) == _CHUNK:
            frames.append(_frame(chunk))
            chunk = []
    if chunk:
        frames.append(_frame(chunk))
    outcomes = pl.concat(frames)
    if only is not None:
        outcomes = outcomes.filter(pl.col("e164").is_in(only.implode()))
    # For a million outcomes 0.2 GiB less than unique() and sort() on whole rows.
    order = outcomes.select(pl.arg_sort_by(_KEY, maintain_order=True)).to_series()
    ordered = outcomes[order]
    # A lookup's first saved outcome is its outcome; a second one is left by a crash, if at all.
    differs = (pl.col(name).ne_missing(pl.col(name).shift()) for name in _KEY)
    is_first = ordered.select(pl.any_horizontal(differs)).to_series()
    return ordered if is_first.all() else ordered.filter(is_first)


def drop_leftovers(journal: Path, sealed: Path, run_id: str, shard: int) -> None:
    """Removes a sealed shard's segments, and what an owner who came too late has sealed."""
    kept = sealed_outcomes(sealed, run_id, shard)
    with translated("clear", journal):
        for path in (*segments(journal, shard), *sealed.glob(f"{shard:05d}-*.parquet")):
            if path != kept:
                path.unlink(missing_ok=True)
        sync_folder(journal)


def _frame(outcomes: list[Outcome]) -> pl.DataFrame:
    # All cells of a row at once: a call for each takes three times as long.
    cells = attrgetter(*("kind" if c.name == "outcome" else c.name for c in LOOKUP))
    series = []
    for column, values in zip(LOOKUP, zip(*map(cells, outcomes), strict=True), strict=True):
        # By pyarrow in a fifth of the time that polars takes; but its first array imports pandas,
        # where that is installed, in half a second.
        if column.dtype == pl.Datetime and len(values) >= _MANY:
            instants = pa.array(values, pa.timestamp("us", tz="UTC"))
            series.append(pl.Series(column.name, instants))
        else:
            series.append(pl.Series(column.name, values, dtype=column.dtype))
    return pl.DataFrame(series)
