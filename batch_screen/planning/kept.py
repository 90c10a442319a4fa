"""Other kept columns for a plan that is there: the same rows, beside other cells of the list.

Only cells are read again, no number: which rows the plan has, and in which shard each of them lies,
stays as it is, and with it all that was answered.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path

import polars as pl
from msgspec.structs import replace

from batch_screen.errors import InputError
from batch_screen.model import Plan
from batch_screen.planning.rows import RowCounter
from batch_screen.planning.shards import (
    first_files,
    growing_plan,
    read_rows,
    shard_of,
    shard_paths,
    split_shard,
)
from batch_screen.privacy.cells import NumberCells
from batch_screen.runs.events import RunEvents
from batch_screen.schema import KEPT_PREFIX, number_column
from batch_screen.storage.atomic import sha256_of
from batch_screen.storage.partition import PartitionedWriter, compact, in_ranges
from batch_screen.storage.records import write_record

_ROW = "row_index"
_PLACE = [_ROW, "source_row", "phone_column"]  # a file may be called otherwise by now
_KEPT = f"^{KEPT_PREFIX}.*$"
_AT_ONCE = 20_000
"""Rows that are laid beside cells of the list, which may be wide."""


def keep_anew(  # noqa: PLR0913, PLR0917 (a plan, its list, and how it is read)
    folder: Path,
    plan: Plan,
    target: Path,
    batches: Iterator[pl.DataFrame],
    kept: Sequence[str],
    keep_columns: Sequence[str],
    held_bytes: int,
    events: RunEvents,
    id_key: str | None = None,
) -> Plan:
    """Writes the plan in ``folder`` anew as ``target``, with other ``kept`` columns.

    ``batches`` are those of the list that the plan was made of, and ``keep_columns`` the setting by
    which it was opened. Raises ``InputError`` where the list is read in another way than when the
    plan was made. ``id_key`` is the key of the ids by which the rows are partitioned, if they are.
    """
    counter, count = RowCounter(), len(plan.shards)
    files = first_files(count)
    with growing_plan(target) as growing:
        for path in folder.iterdir():
            if not path.name.startswith(("rows-", "plan.json")):
                shutil.copyfile(path, growing / path.name)
        planned = (read_rows(folder, plan, n).select(pl.exclude(_KEPT)) for n in range(count))
        number, cells = number_column(id_key), NumberCells(growing, held_bytes) if id_key else None
        by_number = shard_of(pl.col(number), files)
        with (
            in_ranges(planned, _ROW, plan.places, growing) as ranges,
            PartitionedWriter(shard_paths(growing, files), by_number, held_bytes) as writer,
            cells or nullcontext(),
        ):
            some = chain.from_iterable(each.iter_slices(_AT_ONCE) for each in ranges)
            for rows in _beside(some, batches):
                if cells:
                    cells.add(rows)
                writer.add(counter.without_nul(rows))
                events.advance(rows.height)
        if cells:
            cells.refuse()
        for shard in range(files) if count > files else ():
            further = count // files
            split_shard(
                growing,
                shard,
                count=files,
                further=further,
                held_bytes=held_bytes,
                number=number,
            )
        digests = map(sha256_of, shard_paths(growing, count))
        found = replace(
            plan,
            shards=[replace(s, sha256=d) for s, d in zip(plan.shards, digests, strict=True)],
            kept=[*kept],
            keep_columns=[*keep_columns],
            nul_cells=counter.nul_cells,
        )
        write_record(growing / "plan.json", found)
    return found


def _beside(
    rows: Iterator[pl.DataFrame], batches: Iterator[pl.DataFrame]
) -> Iterator[pl.DataFrame]:
    """The plan's rows, in the order of the list, each with its kept cells there."""
    cells = (batch.select(*_PLACE, _KEPT) for batch in batches)
    batch = next(cells, None)
    for planned in rows:
        found = [] if batch is None else [batch.clear()]
        while batch is not None and planned.height:
            found.append(compact(batch.join(planned, on=_ROW, how="semi")))
            if batch[_ROW][-1] >= planned[_ROW][-1]:
                break  # the next rows may begin in this batch
            batch = next(cells, None)
        joined = planned.join(pl.concat(found), on=_PLACE, maintain_order="left") if found else None
        if joined is None or joined.height != planned.height:
            raise InputError(
                "the list is read in another way than when the run was planned, so its columns "
                "cannot be laid beside its rows; keep the columns that the run has, or use the "
                "version that planned it"
            )
        yield joined
    for _ in cells:  # to the list's end, where it shows whether it has changed meanwhile
        pass
