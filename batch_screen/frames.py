"""Parquet files of ours: whole or absent, and a full disk is a full disk.

polars tells of it in an error of its own, as if the rows were at fault.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import polars as pl

from batch_screen.files import whole

_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")


def write_frame(
    path: Path, frame: pl.DataFrame, *, staging: Path | None = None, **how: Any
) -> None:
    """Writes the frame whole or not at all; ``how`` goes to polars. Raises ``OutputError``."""
    with whole(path, staging=staging) as file:
        try:
            frame.write_parquet(file, **how)
        except pl.exceptions.PolarsError as error:
            found = _SYSTEM_ERROR.search(str(error))
            if found is None:
                raise
            number = int(found[1])
            raise OSError(number, os.strerror(number)) from error
