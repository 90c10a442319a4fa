"""The opt-out list beside a plan: marks of its numbers, so that a longer list is known as such.

A plan that was made without some people can go on without more of them; one whose list has lost
somebody may rest on the wrong list.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from batch_screen.model import Plan
from batch_screen.storage.atomic import sha256_of, write_frame
from batch_screen.storage.records import read_frame

_MARK = "mark"
_SPREADS = 0x9E37_79B9_7F4A_7C15  # 2^64 / golden ratio, as shards are spread
_UPPER_HALF = 2**32


class OptOuts(NamedTuple):
    """An opt-out list: the SHA-256 of its file, and its numbers as sorted integers (UInt64)."""

    sha256: str
    numbers: pl.Series


def opt_outs_path(folder: Path) -> Path:
    return folder / "opt_outs.parquet"


def keep_opt_outs(folder: Path, opt_outs: OptOuts | None) -> dict[str, Any]:
    """Writes a mark of each number on the list into the plan; the plan's fields about it."""
    if opt_outs is None:
        return {}
    path = opt_outs_path(folder)
    write_frame(path, _marks(opt_outs.numbers))
    return {"opt_out_list": opt_outs.sha256, "opt_outs_sha256": sha256_of(path)}


def holds_opt_outs(folder: Path, plan: Plan, numbers: pl.Series) -> bool:
    """Whether the numbers (UInt64) hold all of the opt-out list that the plan was made with."""
    if not plan.opt_outs_sha256:
        return not plan.opt_out_list
    before = read_frame(opt_outs_path(folder), plan.opt_outs_sha256)
    return before.join(_marks(numbers), on=_MARK, how="anti").is_empty()


def _marks(numbers: pl.Series) -> pl.DataFrame:
    """32 bits of each number: enough to tell whether one has left the list.

    No secret: who tries all numbers finds those that fit. The state holds numbers anyway.
    """
    mixed = pl.col(numbers.name) * pl.lit(_SPREADS, dtype=pl.UInt64)
    marks = numbers.to_frame().select((mixed // _UPPER_HALF).cast(pl.UInt32).alias(_MARK))
    return marks.unique().sort(_MARK)
