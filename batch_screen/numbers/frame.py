"""Adds the judgement of every row to a frame; cells are judged once per distinct pair."""

from __future__ import annotations

from itertools import starmap

import polars as pl

from batch_screen.numbers.normalise import Normaliser
from batch_screen.numbers.rules import Accepted, Reject

ADDED_COLUMNS = ("e164", "region", "number_type", "rule", "reject_reason", "reject_detail")
"""What ``normalise_frame`` adds, in this order, all String."""

_KEY = ["raw", "raw_region"]
_INDEX = "__judgement"


def normalise_frame(frame: pl.DataFrame, normaliser: Normaliser) -> pl.DataFrame:
    """The same rows in the same order with ``ADDED_COLUMNS`` behind the others.

    Needs the columns ``raw`` and ``raw_region`` (String, nullable). Either ``e164`` to
    ``rule`` are filled in (``region`` may be null) or ``reject_reason`` is.
    """
    keys = frame.select(_KEY)
    distinct = keys.unique(maintain_order=True)
    judged = pl.DataFrame(
        list(map(_row, starmap(normaliser.normalise, distinct.iter_rows()))),
        schema=dict.fromkeys(ADDED_COLUMNS, pl.String),
        orient="row",
    )
    if distinct.height == frame.height:
        return frame.hstack(judged)
    index = keys.join(
        distinct.with_row_index(_INDEX),
        on=_KEY,
        how="left",
        nulls_equal=True,
        maintain_order="left",
    ).get_column(_INDEX)
    return frame.hstack(judged[index])


_Row = tuple[str | None, str | None, str | None, str | None, str | None, str | None]


def _row(result: Accepted | Reject) -> _Row:
    if isinstance(result, Accepted):
        return (result.e164, result.region, result.number_type, result.rule, None, None)
    return (None, None, None, None, result.reason.value, result.detail)
