"""What a run found, by region, signal and age, counted from its written results.

A number counts once however many rows it stands in. One shard's numbers are in memory at a
time, six small columns of them; what is kept are counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import polars as pl
import pyarrow.parquet as pq

from batch_screen.model import Endpoint, LatestChange
from batch_screen.output.bands import RECENT, band_of
from batch_screen.output.parts import SHARDS_MARK

YES, NO, UNKNOWN = "yes", "no", "unknown"
NO_REGION = ""
"""Numbers that the metadata gives no region."""

_NUMBER = "number"
_SIM = (Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE)
_DEVICE = (Endpoint.DEVICE_SWAP_CHECK, Endpoint.DEVICE_SWAP_DATE)


class Signs(msgspec.Struct, frozen=True):
    """Numbers that deserve a look, each in one field of the first four; ``unknown`` beside them.

    A SIM or device has changed if its check says so, or, where only its date was asked, if
    that is less than seven days old. ``unknown``: a signal is unknown and none is positive.
    """

    sim_and_device: int = 0
    forwarded: int = 0
    sim_only: int = 0
    device_only: int = 0
    unknown: int = 0

    @property
    def numbers(self) -> int:
        """Numbers with a sign; one that is forwarded and changed counts as changed."""
        return self.sim_and_device + self.forwarded + self.sim_only + self.device_only


class Breakdown(msgspec.Struct, frozen=True):
    """Numbers by endpoint, region and value, and the signs that deserve a look.

    A check's values are yes, no and unknown; a date's are the names of ``bands``,
    none_reported and unknown.
    """

    numbers: int
    signs: Signs
    values: dict[str, dict[str, dict[str, int]]]


def break_down(paths: Sequence[Path], endpoints: Sequence[Endpoint]) -> Breakdown:
    """Counts over written parts of ``results``, of the endpoints that were asked."""
    counts: Counter[tuple[str, str, str]] = Counter()
    signs: Counter[str] = Counter()
    for shard in _shards(paths):
        numbers = _numbers(shard, endpoints)
        signs.update(numbers.select(_signs(endpoints)).row(0, named=True))
        for endpoint in endpoints:
            counted = numbers.group_by("region", endpoint.column).len()
            counts.update({(endpoint.value, r, v): n for r, v, n in counted.iter_rows()})
    values: dict[str, dict[str, dict[str, int]]] = {endpoint.value: {} for endpoint in endpoints}
    for (endpoint_name, region, value), count in sorted(counts.items()):
        values[endpoint_name].setdefault(region, {})[value] = count
    total = signs.pop(_NUMBER, 0)
    return Breakdown(total, Signs(**signs), values)


def _shards(paths: Sequence[Path]) -> Iterator[pl.LazyFrame]:
    """The parts; of those that hold several shards, one row group after the other."""
    for path in paths:
        metadata = pq.read_metadata(path)
        scan = pl.scan_parquet(path, hive_partitioning=False)
        if SHARDS_MARK.encode() not in (metadata.metadata or {}):
            yield scan
            continue
        first = 0
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            yield scan.slice(first, rows)
            first += rows


def _numbers(shard: pl.LazyFrame, endpoints: Sequence[Endpoint]) -> pl.DataFrame:
    """The shard's numbers, each once: its region, and for each endpoint what was found."""
    # As integers, an eighth of the memory; E.164 has fifteen digits at most.
    number = pl.col("e164").str.strip_prefix("+").cast(pl.Int64).alias(_NUMBER)
    region = pl.col("region").fill_null(NO_REGION).cast(pl.Categorical)
    found = [_value(endpoint).cast(pl.Categorical).alias(endpoint.column) for endpoint in endpoints]
    once = shard.select(number, region, *found).unique(_NUMBER, keep="any")
    return once.with_columns(pl.col(pl.Categorical).cast(pl.String)).collect(engine="streaming")


def _value(endpoint: Endpoint) -> pl.Expr:
    if endpoint.answers_date:
        changed = pl.col(f"{endpoint.column}_latest_change")
        age = pl.col(f"{endpoint.column}_responded_at") - pl.col(
            f"{endpoint.column}_latest_change_at"
        )
        dated = pl.when(changed == LatestChange.REPORTED.value).then(band_of(age))
        return dated.otherwise(changed).fill_null(UNKNOWN)
    word = "swapped" if endpoint.takes_max_age else "active"
    claim = pl.col(f"{endpoint.column}_{word}")
    said = pl.when(claim).then(pl.lit(YES)).otherwise(pl.lit(NO))
    return pl.when(claim.is_null()).then(pl.lit(UNKNOWN)).otherwise(said)


def _signs(endpoints: Sequence[Endpoint]) -> list[pl.Expr]:
    sim, device = _changed(_SIM, endpoints), _changed(_DEVICE, endpoints)
    forwarded = _changed((Endpoint.CALL_FORWARDING_CHECK,), endpoints)
    unknown = pl.any_horizontal(
        pl.lit(value=False), *(pl.col(e.column) == UNKNOWN for e in endpoints)
    )
    signs = {
        "sim_and_device": sim & device,
        "sim_only": sim & ~device,
        "device_only": device & ~sim,
        "forwarded": forwarded & ~sim & ~device,
        "unknown": unknown & ~sim & ~device & ~forwarded,
    }
    # Without a row, a literal would still count as one.
    counts = [(pl.col(_NUMBER).is_not_null() & sign).sum() for sign in signs.values()]
    named = [count.alias(name) for count, name in zip(counts, signs, strict=True)]
    return [pl.len().alias(_NUMBER), *named]


def _changed(wanted: Sequence[Endpoint], asked: Sequence[Endpoint]) -> pl.Expr:
    """What the first of the endpoints says that was asked: a check before a date."""
    for endpoint in wanted:
        if endpoint in asked:
            young = [YES] if not endpoint.answers_date else sorted(RECENT)
            return pl.col(endpoint.column).is_in(young)
    return pl.lit(value=False)
