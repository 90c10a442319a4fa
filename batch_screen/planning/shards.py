"""The plan: accepted rows in shards, rejects apart, and the lookups that follow from them.

Streams in, so an input may be larger than memory. The plan folder appears whole or not at
all; its presence says that planning is done. Knows neither journal nor network: the keys of
finished lookups are passed in.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl
from msgspec.structs import replace

from batch_screen.masking import mask_cell
from batch_screen.model import Endpoint, Key, Lookup, Plan, ShardPlan
from batch_screen.numbers.regions import UNKNOWN_REGION, region_of
from batch_screen.planning.opt_outs import OptOuts, keep_opt_outs, opt_outs_path
from batch_screen.planning.rows import FirstNumbers, RowCounter
from batch_screen.privacy.cells import NumberCells
from batch_screen.privacy.ids import NumberIds
from batch_screen.runs.state import plan_before
from batch_screen.schema import (
    IDENTITY,
    KEPT_PREFIX,
    LOOKUP,
    NUMBER_ID,
    PHONE_COLUMN,
    REJECT,
    dtypes,
    number_column,
)
from batch_screen.storage.atomic import make_folder, sha256_of, sync_folder, translated
from batch_screen.storage.parquet import metadata_of, read_parquet, scan_parquet
from batch_screen.storage.partition import (
    HELD_BYTES,
    KEPT,
    PASSING,
    PartitionedWriter,
    RowGroupWriter,
)
from batch_screen.storage.prefetch import ordered_map
from batch_screen.storage.records import check_file, read_frame, read_record, write_record

MAX_SHARDS = 128 * 128

MOST_FILES = 128
"""The most files open at once, a power of two; far below every system's limit."""

_ROOM = 1.25
"""How far shards may exceed their size before all rows are partitioned again."""

_ROWS_AT_ONCE = 150_000
_EARLY = 24
"""Numbers from all over a shard that come first: as many as the canary looks at."""

_HASH = 0x9E37_79B9_7F4A_7C15  # 2^64 / golden ratio: spreads consecutive numbers
_UPPER_HALF = 2**32
_ID_DIGITS = 15  # of an id: 60 bits
_CODE_LETTERS = 3


class Regions(NamedTuple):
    """Which numbers of a plan are meant: those of the named regions, or those of all others."""

    named: frozenset[str]
    are_meant: bool

    def has(self) -> pl.Expr:
        """Whether a row's number is meant; one without a known region is among the others."""
        is_named = pl.col("region").is_in(sorted(self.named)).fill_null(value=False)
        return is_named if self.are_meant else ~is_named


WriteHistory = Callable[[Path, int], Mapping[int, str]]
"""Writes the history of their numbers beside so many shards; shard → SHA-256."""


def make_plan(  # noqa: PLR0913 (what is planned, where, and how large it is)
    batches: Iterable[pl.DataFrame],
    folder: Path,
    *,
    shard_rows: int,
    facts: Mapping[str, str],
    on_rows: Callable[[int], None],
    phone_columns: Sequence[str] = (),
    expected_rows: int = 0,
    held_bytes: int = HELD_BYTES,
    history: WriteHistory | None = None,
    limit: int = 0,
    opt_outs: OptOuts | None = None,
    keep_columns: Sequence[str] | None = None,
    ids: NumberIds | None = None,
) -> Plan:
    """Writes the plan of normalised batches into ``folder``, which appears when it is whole.

    A batch has the columns of ``schema.ROW``, ``phone_column``, ``raw``, ``raw_region``, the kept
    ``in_`` columns, ``e164``, ``region``, ``number_type``, ``rule`` (null where rejected) and
    ``reject_reason``, ``reject_detail`` (null where accepted). ``on_rows`` gets each
    batch's height. ``facts`` are kept with the plan. With a good guess of how many rows there
    are, ``expected_rows``, they are written once; else they are partitioned in further passes.
    ``phone_columns`` are those to count the rows of, by their names in the first file.
    ``held_bytes`` of rows are in memory on their way to their files. ``history`` writes that of
    the numbers beside them. Rows below the one that brings the last number of a ``limit`` are read
    and counted only. ``opt_outs`` are kept with the plan, and so is the setting
    ``keep_columns``. With ``ids`` each row has that of its number, and lies in the shard of its id.
    """
    number = number_column(ids.key_id if ids else None)
    with growing_plan(folder) as growing:
        count = first_files(shard_count(expected_rows, shard_rows))
        how = KEPT if _holds(expected_rows, count, shard_rows) else PASSING
        shard = shard_of(pl.col(number), count)
        accepted = PartitionedWriter(shard_paths(growing, count), shard, held_bytes, how)
        rejects = RowGroupWriter(growing / "rejects.parquet")
        counter = RowCounter()
        first = FirstNumbers(limit, on_rows)
        cells = NumberCells(growing, held_bytes) if ids else None
        with accepted, rejects, cells or nullcontext():
            # All streams: the rejects' file and the shards' grow batch by batch.
            for batch in first.rows(batches):
                chosen, turned_down = counter.without_nul(_accepted(batch)), _rejects(batch)
                if ids and cells:
                    chosen = chosen.with_columns(ids.of(chosen["e164"]))
                    cells.add(batch)
                accepted.add(chosen)
                rejects.add(turned_down)
                counter.add(chosen, turned_down)
                on_rows(batch.height)
        if cells:
            cells.refuse()
        shards = (
            _shards(growing, count, accepted.rows, shard_rows, held_bytes, number)
            if accepted.rows
            else []
        )
        if history is not None and shards:
            digests = history(growing, len(shards))
            shards = [replace(s, history_sha256=digests.get(n, "")) for n, s in enumerate(shards)]
        plan = Plan(
            rows=accepted.rows + rejects.rows,
            accepted=accepted.rows,
            rejected=counter.by_reason,
            rejects_sha256=sha256_of(rejects.path) if rejects.columns else "",
            shards=shards,
            kept=[name for name in accepted.columns if name.startswith(KEPT_PREFIX)],
            facts=dict(facts),
            left_out=first.left_out,
            phone_columns=counter.by_column(phone_columns) if phone_columns else {},
            nul_cells=counter.nul_cells,
            keep_columns=None if keep_columns is None else [*keep_columns],
            **keep_opt_outs(growing, opt_outs),
        )
        # All on the disk before the folder has its name, which says that planning is done.
        write_record(growing / "plan.json", plan)
    return plan


@contextmanager
def growing_plan(folder: Path) -> Iterator[Path]:
    """A folder for the files of a plan, which appears under its own name when all are on disk."""
    growing = folder.with_name(f"{folder.name}.growing")
    with translated("write the plan to", folder):
        shutil.rmtree(growing, ignore_errors=True)
        make_folder(growing)
        yield growing
        _sync_all(growing)
        before = plan_before(folder)
        if folder.exists():  # it counts on as the one before, until the new one is there
            shutil.rmtree(before, ignore_errors=True)
            folder.replace(before)
        growing.replace(folder)
        sync_folder(folder.parent)
        shutil.rmtree(before, ignore_errors=True)


def shard_count(rows: int, shard_rows: int) -> int:
    """The shards of so many rows: a power of two, so that the partitions of any two runs nest.

    >>> [shard_count(rows, 100) for rows in (0, 100, 101, 401, 12_801, 10**9)]
    [1, 1, 2, 8, 256, 16384]
    """
    wanted = -(-rows // shard_rows)
    return min(MAX_SHARDS, 1 << max(0, wanted - 1).bit_length())


def first_files(shards: int) -> int:
    """The files that rows are partitioned into as they are read, before that into shards.

    So many shards that they take a second pass have few: the more files, the smaller their row
    groups are, and a file that is open keeps a description of each. With 128 files a hundred
    million rows took 0.17 GiB more than ten.

    >>> [first_files(shards) for shards in (1, 128, 256, 512, 16_384)]
    [1, 128, 16, 16, 128]
    """
    return shards if shards <= MOST_FILES else min(MOST_FILES, 1 << (shards.bit_length() - 1) // 2)


def read_plan(folder: Path) -> Plan | None:
    """The plan in the folder, or None if planning was not finished. ``JournalError``: damaged."""
    return read_record(folder / "plan.json", Plan) if folder.exists() else None


def planned_numbers(folder: Path, plan: Plan, shard: int) -> pl.Series | None:
    """The shard's numbers where some were dropped since they had been asked; None: all count."""
    return numbers(folder, plan, shard) if plan.objected else None


def check_plan(folder: Path, plan: Plan) -> None:
    """Raises ``JournalError`` if a file of the plan is not as it was written."""
    for shard, planned in enumerate(plan.shards):
        check_file(shard_rows_path(folder, shard), planned.sha256)
        if planned.history_sha256:
            check_file(history_path(folder, shard), planned.history_sha256)
        if planned.carried_sha256:
            check_file(carried_path(folder, shard), planned.carried_sha256)
    check_file(rejects_path(folder), plan.rejects_sha256)
    if plan.opt_outs_sha256:
        check_file(opt_outs_path(folder), plan.opt_outs_sha256)


def shard_rows_path(folder: Path, shard: int) -> Path:
    """The shard's accepted rows, in input order."""
    return folder / f"rows-{shard:05d}.parquet"


def history_path(folder: Path, shard: int) -> Path:
    """The history of the shard's numbers, where they have any."""
    return folder / f"history-{shard:05d}.parquet"


def carried_path(folder: Path, shard: int) -> Path:
    """The shard's outcomes from a superseded run, where it has any."""
    return folder / f"carried-{shard:05d}.parquet"


def rejects_path(folder: Path) -> Path:
    """The rejected rows, in input order."""
    return folder / "rejects.parquet"


def read_rows(folder: Path, plan: Plan, shard: int) -> pl.DataFrame:
    """The shard's accepted rows. Raises ``JournalError`` if they are not as they were written."""
    return read_frame(shard_rows_path(folder, shard), plan.shards[shard].sha256)


def read_carried(folder: Path, plan: Plan, shard: int) -> pl.DataFrame:
    """The shard's outcomes from a superseded run, columns ``schema.LOOKUP``.

    Raises ``JournalError`` if they are not as they were written.
    """
    sha256 = plan.shards[shard].carried_sha256
    if not sha256:
        return pl.DataFrame(schema=dtypes(LOOKUP))
    return read_frame(carried_path(folder, shard), sha256)


def read_rejects(folder: Path, plan: Plan, shard: int) -> pl.DataFrame:
    """A share of the rejected rows, the first ones with the first shard.

    The file's digest is for ``check_plan`` to check, once for all shards.
    """
    # With each shard some, so that no part of the output has all of them in memory at once.
    share = -(-sum(plan.rejected.values()) // len(plan.shards))
    return scan_parquet([rejects_path(folder)]).slice(shard * share, share).collect()


def numbers(folder: Path, plan: Plan, shard: int, regions: Regions | None = None) -> pl.Series:
    """The shard's numbers, each once: a few from all over it first, then as they appear.

    With ``regions`` only those of these regions.

    Raises ``JournalError`` if the rows are not as they were written.
    """
    path = shard_rows_path(folder, shard)
    columns = ["e164"] if regions is None else ["e164", "region"]
    rows = read_frame(path, plan.shards[shard].sha256, columns=columns)
    rows = rows.unique("e164", keep="first", maintain_order=True)
    found = (rows if regions is None else rows.filter(regions.has()))["e164"]
    # Lists are sorted, and neighbours are often of one operator: if that one answers only 403,
    # the canary would take the first answers for a missing entitlement and stop the run.
    is_early = pl.int_range(len(found), eager=True) % max(1, len(found) // _EARLY) == 0
    return pl.concat([found.filter(is_early), found.filter(~is_early)])


def lookups(  # noqa: PLR0913, PLR0917 (whose, and which of them)
    folder: Path,
    plan: Plan,
    shard: int,
    windows: Mapping[Endpoint, int | None],
    finished: frozenset[Key] | set[Key],
    regions: Regions | None = None,
) -> Iterator[Lookup]:
    """The shard's lookups without the finished ones, in the order of its ``numbers``.

    ``windows`` maps the endpoints to ask to the window sent, in minutes. Raises
    ``JournalError`` if the rows are not as they were written.
    """
    for number in numbers(folder, plan, shard, regions):
        for endpoint, window in windows.items():
            if (number, endpoint) not in finished:
                yield Lookup(number, endpoint, window)


def shard_of(number: pl.Expr, shards: int) -> pl.Expr:
    """The shard a number, or its id, lies in: stable over versions of polars and of this package.

    >>> pl.DataFrame({"n": ["+491713920012"]}).select(shard_of(pl.col("n"), 7)).item()
    2
    """
    if number.meta.output_name() == NUMBER_ID.name:
        # Random already; a column of nothing but nulls has no digits to be read.
        return number.str.head(_ID_DIGITS).str.to_integer(base=16, dtype=pl.UInt64) % shards
    digits = number.cast(pl.UInt64)  # which takes the + for a sign
    mixed = digits * pl.lit(_HASH, dtype=pl.UInt64)  # wraps around on purpose
    return (mixed // _UPPER_HALF) % shards


def _accepted(batch: pl.DataFrame) -> pl.DataFrame:
    kept = [name for name in batch.columns if name.startswith(KEPT_PREFIX)]
    identity = [c.name for c in (*IDENTITY, PHONE_COLUMN) if c.name != "run_id"]
    return batch.select(*kept, *identity).filter(batch["reject_reason"].is_null())


def _rejects(batch: pl.DataFrame) -> pl.DataFrame:
    turned_down = batch.filter(pl.col("reject_reason").is_not_null())
    return turned_down.with_columns(
        _shown(turned_down["raw"], mask_cell).alias("raw_masked"),
        _shown(turned_down["raw_region"], _region_shown),
        reason=pl.col("reject_reason"),
        detail=pl.col("reject_detail"),
    ).select(dtypes(REJECT).names())


def _shown(cells: pl.Series, show: Callable[[str], str]) -> pl.Series:
    """What is shown in place of each cell: equal ones, as ``n/a``, are often many."""
    shown = {cell: show(cell) for cell in cells.drop_nulls().unique()}
    return pl.Series(cells.name, map(shown.get, cells), dtype=pl.String)


def _region_shown(cell: str) -> str:
    """A region as it was written; what names none may be a person or a number, so it is masked."""
    is_region = len(cell.strip()) <= _CODE_LETTERS or region_of(cell) != UNKNOWN_REGION
    return cell if is_region else mask_cell(cell)


def _shards(  # noqa: PLR0913, PLR0917 (a plan's rows, and how large shards are)
    folder: Path, count: int, rows: int, shard_rows: int, held_bytes: int, number: str
) -> list[ShardPlan]:
    """Partitions the rows further until no file holds too many; each is then a shard."""
    # Rarely at all: only where the guess of how many rows there are was far too low.
    while not _holds(rows, count, shard_rows) and count < MAX_SHARDS:
        further = min(MOST_FILES, shard_count(rows, shard_rows) // count)
        split = partial(
            split_shard,
            folder,
            count=count,
            further=further,
            held_bytes=held_bytes // 2,
            number=number,
        )
        with ordered_map(split, range(count)) as done:
            for _ in done:
                pass
        count *= further
    with ordered_map(_count_shard, shard_paths(folder, count)) as counted:
        return list(counted)


def _holds(rows: int, count: int, shard_rows: int) -> bool:
    """Whether so many files can be the shards of so many rows."""
    room = _ROOM if count > 1 else 1
    return rows <= room * count * shard_rows


def split_shard(  # noqa: PLR0913 (a file, and how it is split)
    folder: Path, shard: int, *, count: int, further: int, held_bytes: int, number: str = "e164"
) -> None:
    """Partitions the rows of one file of ``count`` further, some of them at a time.

    A number in ``shard`` of ``count`` is in ``shard``, ``shard + count``, … of
    ``count * further``; the column ``number`` has it, or its id.
    """
    path = shard_rows_path(folder, shard)
    source_path = path.rename(path.with_suffix(".whole"))
    paths = [shard_rows_path(folder, shard + part * count) for part in range(further)]
    part = shard_of(pl.col(number), count * further) // count
    source = scan_parquet([source_path])
    with PartitionedWriter(paths, part, held_bytes) as writer:
        for first in range(0, metadata_of(source_path).num_rows, _ROWS_AT_ONCE):
            writer.add(source.slice(first, _ROWS_AT_ONCE).collect())
    source_path.unlink()


def shard_paths(folder: Path, count: int) -> list[Path]:
    return [shard_rows_path(folder, shard) for shard in range(count)]


def _count_shard(path: Path) -> ShardPlan:
    digits = read_parquet(path, columns=["e164"])["e164"].cast(pl.UInt64)
    return ShardPlan(len(digits), digits.n_unique(), sha256=sha256_of(path))


def _sync_all(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(folder)
