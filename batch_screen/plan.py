"""The plan: accepted rows in shards, rejects apart, and the lookups that follow from them.

Streams in, so an input may be larger than memory. The plan folder appears whole or not at
all; its presence says that planning is done. Knows neither journal nor network: what is
finished already is told to it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from io import BufferedWriter
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from batch_screen.checked import check_file, read_frame, read_record, write_record
from batch_screen.files import make_folder, open_private, sha256_of, sync_folder, translated
from batch_screen.masking import mask_cell
from batch_screen.model import Endpoint, Lookup, Plan, ShardPlan
from batch_screen.schema import IDENTITY, KEPT_PREFIX, REJECT, dtypes

MAX_SHARDS = 128
"""As many files are open at once; far below every system's limit."""

_HASH = 0x9E37_79B9_7F4A_7C15  # 2^64 / golden ratio: spreads consecutive numbers
_UPPER_HALF = 2**32
_SHARD = "_shard"
_CODE_LETTERS = 3
_HELD_BYTES = 32 << 20
"""Rows on their way to their shards' files, over all shards. polars' partitioned sink holds
rows for each shard instead: 0.65 GiB for 15 shards, 0.85 GiB for 50."""


def make_plan(
    batches: Iterable[pl.DataFrame],
    folder: Path,
    *,
    shard_rows: int,
    facts: Mapping[str, str],
    on_rows: Callable[[int], None],
) -> Plan:
    """Writes the plan of normalised batches into ``folder``, which appears when it is whole.

    A batch has the columns of ``schema.ROW``, ``raw``, ``raw_region``, the kept ``in_``
    columns, ``e164``, ``region``, ``number_type``, ``rule`` (null where rejected) and
    ``reject_reason``, ``reject_detail`` (null where accepted). ``on_rows`` hears of each
    batch's height. ``facts`` are kept with the plan.
    """
    growing = folder.with_name(f"{folder.name}.growing")
    with translated("write the plan to", folder):
        shutil.rmtree(growing, ignore_errors=True)
        make_folder(growing)
        accepted = _Spool(growing / "accepted.parquet")
        rejects = _Spool(growing / "rejects.parquet")
        reasons: dict[str, int] = {}
        with accepted, rejects:
            for batch in batches:
                accepted.add(_accepted(batch))
                turned_down = _rejects(batch)
                rejects.add(turned_down)
                _count(reasons, turned_down)
                on_rows(batch.height)
        shards = _shard(accepted, growing, shard_rows) if accepted.rows else []
        plan = Plan(
            rows=accepted.rows + rejects.rows,
            accepted=accepted.rows,
            rejected=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
            rejects_sha256=sha256_of(rejects.path) if rejects.columns else "",
            shards=shards,
            kept=[name for name in accepted.columns if name.startswith(KEPT_PREFIX)],
            facts=dict(facts),
        )
        write_record(growing / "plan.json", plan)
        _sync_all(growing)
        growing.replace(folder)
        sync_folder(folder.parent)
    return plan


def read_plan(folder: Path) -> Plan | None:
    """The plan in the folder, or None if planning was not finished. ``JournalError``: damaged."""
    return read_record(folder / "plan.json", Plan) if folder.exists() else None


def check_plan(folder: Path, plan: Plan) -> None:
    """Raises ``JournalError`` if a file of the plan is not as it was written."""
    for shard, planned in enumerate(plan.shards):
        check_file(shard_rows_path(folder, shard), planned.sha256)
    check_file(rejects_path(folder), plan.rejects_sha256)


def shard_rows_path(folder: Path, shard: int) -> Path:
    """The shard's accepted rows, in input order."""
    return folder / f"rows-{shard:05d}.parquet"


def rejects_path(folder: Path) -> Path:
    """The rejected rows, in input order."""
    return folder / "rejects.parquet"


def read_rows(folder: Path, plan: Plan, shard: int) -> pl.DataFrame:
    """The shard's accepted rows. Raises ``JournalError`` if they are not as they were written."""
    return read_frame(shard_rows_path(folder, shard), plan.shards[shard].sha256)


def read_rejects(folder: Path, plan: Plan) -> pl.DataFrame:
    """The rejected rows. Raises ``JournalError`` if they are not as they were written."""
    return read_frame(rejects_path(folder), plan.rejects_sha256)


def lookups(
    folder: Path,
    plan: Plan,
    shard: int,
    windows: Mapping[Endpoint, int | None],
    finished: frozenset[Lookup] | set[Lookup],
) -> Iterator[Lookup]:
    """The shard's lookups without the finished ones, numbers in order of first appearance.

    ``windows`` maps the endpoints to ask to the window sent, in minutes. Raises
    ``JournalError`` if the rows are not as they were written.
    """
    path = shard_rows_path(folder, shard)
    rows = read_frame(path, plan.shards[shard].sha256, columns=["e164"])
    for number in rows["e164"].unique(maintain_order=True):
        for endpoint, window in windows.items():
            lookup = Lookup(number, endpoint, window)
            if lookup not in finished:
                yield lookup


def shard_of(number: pl.Expr, shards: int) -> pl.Expr:
    """The shard a number lies in: stable over versions of polars and of this package.

    >>> pl.DataFrame({"n": ["+491713920012"]}).select(shard_of(pl.col("n"), 7)).item()
    2
    """
    digits = number.str.strip_prefix("+").cast(pl.UInt64)
    mixed = digits * pl.lit(_HASH, dtype=pl.UInt64)  # wraps around on purpose
    return (mixed // _UPPER_HALF) % shards


class _Spool:
    """A Parquet file that grows batch by batch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self.columns: list[str] = []
        self._file: BufferedWriter | None = None
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> None:
        return

    def add(self, frame: pl.DataFrame) -> None:
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            # Buffered, because pyarrow does not look at how much of a write was done.
            self._file = BufferedWriter(open_private(self.path))
            self._writer = pq.ParquetWriter(self._file, table.schema, compression="zstd")
            self.columns = frame.columns
        self._writer.write_table(table)
        self.rows += frame.height

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._file is not None:
            self._file.close()


def _accepted(batch: pl.DataFrame) -> pl.DataFrame:
    kept = [name for name in batch.columns if name.startswith(KEPT_PREFIX)]
    identity = [c.name for c in IDENTITY if c.name != "run_id"]
    return batch.filter(pl.col("reject_reason").is_null()).select(*kept, *identity)


def _rejects(batch: pl.DataFrame) -> pl.DataFrame:
    turned_down = batch.filter(pl.col("reject_reason").is_not_null())
    masked = [None if raw is None else mask_cell(raw) for raw in turned_down["raw"]]
    regions = [_region_cell(cell) for cell in turned_down["raw_region"]]
    return turned_down.with_columns(
        pl.Series("raw_masked", masked, dtype=pl.String),
        pl.Series("raw_region", regions, dtype=pl.String),
        reason=pl.col("reject_reason"),
        detail=pl.col("reject_detail"),
    ).select(dtypes(REJECT).names())


def _region_cell(cell: str | None) -> str | None:
    """A region as it was written; what is no code may be a name or a number, so it is masked."""
    return cell if cell is None or len(cell.strip()) <= _CODE_LETTERS else mask_cell(cell)


def _count(reasons: dict[str, int], turned_down: pl.DataFrame) -> None:
    for reason, rows in turned_down["reason"].value_counts().iter_rows():
        reasons[reason] = reasons.get(reason, 0) + rows


def _shard(accepted: _Spool, folder: Path, shard_rows: int) -> list[ShardPlan]:
    shards = min(MAX_SHARDS, -(-accepted.rows // shard_rows))
    if shards == 1:  # a small input keeps its order
        accepted.path.rename(shard_rows_path(folder, 0))
    else:
        _partition(accepted.path, folder, shards)
        accepted.path.unlink()
    return [_count_shard(shard_rows_path(folder, shard)) for shard in range(shards)]


def _partition(rows: Path, folder: Path, shards: int) -> None:
    """Deals the rows out in input order, a row group at a time; every shard gets a file."""
    with pq.ParquetFile(rows) as source, ExitStack() as writers:
        spools = [_Spool(shard_rows_path(folder, shard)) for shard in range(shards)]
        for spool in spools:
            writers.enter_context(spool)
        nothing = pl.DataFrame(source.schema_arrow.empty_table())
        held: dict[int, list[pl.DataFrame]] = {shard: [nothing] for shard in range(shards)}
        held_bytes = 0
        for group in range(source.num_row_groups):
            batch = pl.DataFrame(source.read_row_group(group))
            numbered = batch.with_columns(shard_of(pl.col("e164"), shards).alias(_SHARD))
            for part in numbered.partition_by(_SHARD, maintain_order=True):
                held[part[_SHARD][0]].append(part.drop(_SHARD))
            held_bytes += int(batch.estimated_size())
            if held_bytes >= _HELD_BYTES:
                _hand_out(held, spools)
                held_bytes = 0
        _hand_out(held, spools)


def _hand_out(held: dict[int, list[pl.DataFrame]], spools: list[_Spool]) -> None:
    for shard, parts in held.items():
        if parts:
            spools[shard].add(pl.concat(parts))
            parts.clear()


def _count_shard(path: Path) -> ShardPlan:
    numbers = pl.scan_parquet(path).select(rows=pl.len(), unique_numbers=pl.col("e164").n_unique())
    return ShardPlan(**numbers.collect().row(0, named=True), sha256=sha256_of(path))


def _sync_all(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(folder)
