"""What is counted of a list batch by batch, and of its numbers shard by shard."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from batch_screen.model import ColumnKind
from batch_screen.numbers.normalise import Normaliser
from batch_screen.profile.damage import DamageTally
from batch_screen.profile.facts import NumberFacts, added, tallied
from batch_screen.profile.regions import Undecided
from batch_screen.schema import KEPT_PREFIX

_UNKNOWN = "unknown"


class ListTally:
    """Running counts over judged batches; ``rows`` and ``accepted`` are by file."""

    def __init__(self, normaliser: Normaliser, stored_as: ColumnKind) -> None:
        self.damage = DamageTally(normaliser, stored_as)
        self.undecided = Undecided()
        self.rows: dict[str, int] = {}
        self.accepted: dict[str, int] = {}
        self.rules: dict[str, int] = {}

    def counted(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Counts a batch and returns it without its kept columns."""
        self.damage.add(batch)
        self.undecided.add(batch)
        by_file = batch.group_by("source_file").agg(
            rows=pl.len(), accepted=pl.col("reject_reason").is_null().sum()
        )
        added(self.rows, by_file.select("source_file", "rows").iter_rows())
        added(self.accepted, by_file.select("source_file", "accepted").iter_rows())
        for rule, rows in batch["rule"].drop_nulls().value_counts().iter_rows():
            added(self.rules, ((part, rows) for part in rule.split("+")))
        return batch.select(pl.exclude(f"^{KEPT_PREFIX}.*$"))


def count_numbers(shards: Iterable[pl.DataFrame]) -> NumberFacts:
    """The unique numbers in the accepted rows; a number lies in one shard only."""
    regions: dict[str, int] = {}
    types: dict[str, int] = {}
    rows = unique = repeated = most = 0
    for shard in shards:
        numbers = shard.group_by("e164").agg(
            pl.col("region", "number_type").first().fill_null(_UNKNOWN), rows=pl.len()
        )
        added(regions, numbers["region"].value_counts().iter_rows())
        added(types, numbers["number_type"].value_counts().iter_rows())
        rows += shard.height
        unique += numbers.height
        repeated += numbers.filter(pl.col("rows") > 1).height
        most = max(most, numbers.select(pl.col("rows").max().fill_null(0)).item())
    return NumberFacts(
        unique, rows - unique, repeated, most, tallied(regions, unique), tallied(types, unique)
    )
