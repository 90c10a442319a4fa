"""Parquet files of ours: whole or absent, and a full disk is a full disk.

polars tells of it in errors of its own, as if the rows were at fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import polars as pl

from batch_screen.files import whole


def write_frame(
    path: Path, frame: pl.DataFrame, *, staging: Path | None = None, **how: Any
) -> None:
    """Writes the frame whole or not at all; ``how`` goes to polars. Raises ``OutputError``."""
    with whole(path, staging=staging) as file:
        witness = _Witness(file)
        try:
            frame.write_parquet(cast("IO[bytes]", witness), **how)
        except pl.exceptions.PolarsError as error:
            if witness.failure is None:
                raise
            raise witness.failure from error


class _Witness:
    """Passes on what is written and remembers what went wrong."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: OSError | None = None

    def write(self, content: bytes) -> int:
        with self._remembering():
            return self._file.write(content)

    def flush(self) -> None:
        with self._remembering():  # what was buffered may fail only now
            self._file.flush()

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = error
            raise
