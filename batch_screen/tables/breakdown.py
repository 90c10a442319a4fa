"""Breakdown of a run's results by region, signal and age band, from the written parts.

Ages and flags are those of the risk view, as they stand in the rows: nothing is worked out anew.
A number counts once however many rows it stands in. Of each shard only counts are kept, by all
that matters at once: there are few kinds of numbers, however many numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import polars as pl

from batch_screen.model import Endpoint, LatestChange
from batch_screen.runs.layout import SHARDS_MARK
from batch_screen.storage.parquet import metadata_of, scan_parquet
from batch_screen.tables.counts import sums

YES, NO, UNKNOWN = "yes", "no", "unknown"
NO_REGION = ""
"""Numbers without a region in the metadata."""

FUTURE = "in_future"
"""A reported change dated too far after its answer to have an age."""

_NUMBER, _NUMBERS = "number", "numbers"
_BANDS = {
    Endpoint.SIM_SWAP_DATE: "sim_change_age_band",
    Endpoint.DEVICE_SWAP_DATE: "device_change_age_band",
}
_SIM, _DEVICE, _FORWARDED = "risk_sim_recent", "risk_device_recent", "risk_forwarding_active"
_BOTH = "risk_sim_and_device_recent"
_FLAGS = {
    _SIM: (Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE),
    _DEVICE: (Endpoint.DEVICE_SWAP_CHECK, Endpoint.DEVICE_SWAP_DATE),
    _FORWARDED: (Endpoint.CALL_FORWARDING_CHECK,),
}
"""The flag of each signal, and the endpoints whose answers set it."""


class Signs(msgspec.Struct, frozen=True):
    """Numbers per flag of the risk view; each number is in at most one of the first four fields.

    ``unknown``: no flag is true, and that of a signal which was asked is null. ``unanswered``:
    those of the unknown for which a lookup of such a signal failed; the others have all their
    answers, and none that rules a recent change out.
    """

    sim_and_device: int = 0
    forwarded: int = 0
    sim_only: int = 0
    device_only: int = 0
    unknown: int = 0
    unanswered: int = 0

    @property
    def numbers(self) -> int:
        """Numbers with a sign; one both forwarded and changed counts as changed."""
        return self.sim_and_device + self.forwarded + self.sim_only + self.device_only


class Breakdown(msgspec.Struct, frozen=True):
    """Numbers by endpoint, region and value, and the signs that deserve a look.

    A check's values are yes, no and unknown; a date's are ``results.NAMES``,
    none_reported, ``FUTURE`` and unknown.
    """

    numbers: int
    signs: Signs
    values: dict[str, dict[str, dict[str, int]]]


def break_down(
    paths: Sequence[Path], endpoints: Sequence[Endpoint], number: str = "e164"
) -> Breakdown:
    """The breakdown of written parts of ``results``, for the endpoints that were asked.

    ``number`` is the column that they are keyed by.
    """
    kinds = None
    for shard in _shards(paths):
        kinds = added(kinds, tally(shard, endpoints, number))
    return broken_down(kinds, endpoints)


def tally(shard: pl.LazyFrame, endpoints: Sequence[Endpoint], number: str = "e164") -> pl.DataFrame:
    """Counts of a shard's unique numbers, grouped by region, answers and flags.

    A row for each kind, with the columns of ``results`` that make it one, and ``numbers``.
    """
    kind = ["region", _BOTH, *_FLAGS]
    for endpoint in endpoints:
        if endpoint.answers_date:
            kind += [f"{endpoint.column}_latest_change", _BANDS[endpoint]]
        else:
            kind.append(_claim(endpoint))
    # As integers, an eighth of the memory; E.164 has fifteen digits at most.
    whose = pl.col(number) if number != "e164" else pl.col(number).cast(pl.Int64)
    once = shard.select(whose.alias(_NUMBER), *kind).filter(pl.col(_NUMBER).is_first_distinct())
    return once.group_by(kind).agg(pl.len().cast(pl.Int64).alias(_NUMBERS)).collect()


def added(some: pl.DataFrame | None, more: pl.DataFrame) -> pl.DataFrame:
    """The sum of two tallies; ``some`` is None at first."""
    return more if some is None else sums(some, more)


def broken_down(kinds: pl.DataFrame | None, endpoints: Sequence[Endpoint]) -> Breakdown:
    """The breakdown from the tally of all shards, for the endpoints that were asked."""
    values: dict[str, dict[str, dict[str, int]]] = {endpoint.value: {} for endpoint in endpoints}
    if kinds is None:
        return Breakdown(0, Signs(), values)
    region = pl.col("region").fill_null(NO_REGION)
    numbers = kinds.with_columns(region, *values_of(endpoints))
    for endpoint in endpoints:
        counted = numbers.group_by("region", endpoint.column).agg(pl.col(_NUMBERS).sum())
        for name, value, count in counted.sort("region", endpoint.column).iter_rows():
            values[endpoint.value].setdefault(name, {})[value] = count
    signs = signs_of(endpoints).items()
    counts = numbers.select(pl.col(_NUMBERS).filter(sign).sum().alias(name) for name, sign in signs)
    return Breakdown(int(numbers[_NUMBERS].sum()), Signs(**counts.row(0, named=True)), values)


def _shards(paths: Sequence[Path]) -> Iterator[pl.LazyFrame]:
    """Lazy frames shard by shard: a part, or the row groups of a part with several shards."""
    for path in paths:
        metadata = metadata_of(path)
        scan = scan_parquet([path])
        if SHARDS_MARK.encode() not in (metadata.metadata or {}):
            yield scan
            continue
        first = 0
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            yield scan.slice(first, rows)
            first += rows


def _claim(check: Endpoint) -> str:
    return f"{check.column}_{'swapped' if check.takes_max_age else 'active'}"


def values_of(endpoints: Iterable[Endpoint]) -> list[pl.Expr]:
    """The value of each endpoint in a row of results, under the endpoint's name."""
    return [_value(endpoint).alias(endpoint.column) for endpoint in endpoints]


def _value(endpoint: Endpoint) -> pl.Expr:
    if endpoint.answers_date:
        changed = pl.col(f"{endpoint.column}_latest_change")
        is_dated = changed == LatestChange.REPORTED.value
        undated = pl.when(is_dated).then(pl.lit(FUTURE)).otherwise(changed)
        return pl.coalesce(_BANDS[endpoint], undated, pl.lit(UNKNOWN))
    claim = pl.col(_claim(endpoint))
    said = pl.when(claim).then(pl.lit(YES)).otherwise(pl.lit(NO))
    return pl.when(claim.is_null()).then(pl.lit(UNKNOWN)).otherwise(said)


def signs_of(asked: Sequence[Endpoint]) -> dict[str, pl.Expr]:
    """The claims that ``Signs`` counts, over rows that have the ``values_of`` what was asked."""
    # A flag that is null is not true.
    flags = (pl.col(flag).fill_null(value=False) for flag in (_BOTH, *_FLAGS))
    both, sim, device, forwarded = flags
    unknown = unanswered = pl.lit(value=False)
    for flag, endpoints in _FLAGS.items():
        is_null = pl.col(flag).is_null()
        # What was not asked is null in every row, and says nothing about the number.
        for endpoint in (each for each in endpoints if each in asked):
            unknown = unknown | is_null
            unanswered = unanswered | (is_null & (pl.col(endpoint.column) == UNKNOWN))
    no_sign = ~sim & ~device & ~forwarded
    return {
        "sim_and_device": both,
        "sim_only": sim & ~both,
        "device_only": device & ~both,
        "forwarded": forwarded & ~sim & ~device,
        "unknown": unknown & no_sign,
        "unanswered": unanswered & no_sign,
    }
