"""The vault: what leads from ids back to numbers, a file for each run, for those who must call.

It lies outside the folders that others read. Whoever has it has the numbers, without the key.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from batch_screen.schema import NUMBER_ID
from batch_screen.storage.atomic import atomic_write, make_folder, translated
from batch_screen.storage.parquet import open_parquet
from batch_screen.storage.partition import RowGroupWriter

COLUMNS = [NUMBER_ID.name, "e164"]


def vault_path(folder: Path, run_id: str) -> Path:
    """The file of a run: a row for each of its numbers, a row group for each of its shards."""
    return folder / f"{run_id}.parquet"


def write_vault(folder: Path, run_id: str, shards: Iterable[pl.DataFrame]) -> None:
    """Writes the run's file, readable by its owner alone. Raises ``OutputError``."""
    path = vault_path(folder, run_id)
    make_folder(folder)
    with (
        translated("write", path),
        atomic_write(path) as file,
        RowGroupWriter(path, file) as writer,
    ):
        for rows in shards:
            writer.add(rows.select(COLUMNS).unique().sort(NUMBER_ID.name))


def read_vault(folder: Path, run_id: str, shard: int) -> pl.DataFrame:
    """The ids and numbers of a shard. Raises ``OSError`` or ``ArrowException`` if it cannot."""
    with open_parquet(vault_path(folder, run_id)) as file:
        return pl.DataFrame(file.read_row_group(shard, columns=COLUMNS))
