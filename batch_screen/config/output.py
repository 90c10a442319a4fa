"""The settings of what a run writes: where, in which form, and with how much memory."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from batch_screen.config.section import Positive, Section

LEAST_MEMORY_MIB, USUAL_MEMORY_MIB = 450, 1_024
_FIXED_MIB = 300
"""What a run takes whatever its batches: Python, libraries, numbering plans."""


class Compression(StrEnum):
    """How Parquet files are compressed; Redshift reads snappy faster."""

    ZSTD = "zstd"
    SNAPPY = "snappy"


class Output(Section):
    """Where results and state go, and how files are written."""

    folder: str = ""
    state_folder: str = ""
    compression: Compression = Compression.ZSTD
    row_group_rows: Annotated[int, Field(ge=1_000)] = 500_000
    shard_lookups: Annotated[int, Field(ge=1_000)] = 200_000
    in_order: bool = False
    memory_mib: Annotated[int, Field(ge=LEAST_MEMORY_MIB)] = USUAL_MEMORY_MIB
    heartbeat_seconds: Positive = 30.0
    summary_file: str = ""

    @property
    def memory_share(self) -> float:
        """How large batches, shards and buffers may be, beside those for the default memory."""
        room, usual = (mib - _FIXED_MIB for mib in (self.memory_mib, USUAL_MEMORY_MIB))
        return min(1.0, room / usual)
