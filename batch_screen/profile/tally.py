"""Running counts of a list, batch by batch, and of its unique numbers, shard by shard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import polars as pl

from batch_screen.model import ColumnKind
from batch_screen.numbers.normalise import Normaliser
from batch_screen.profile.damage import DamageTally
from batch_screen.profile.facts import NumberFacts, tallied
from batch_screen.profile.regions import Undecided
from batch_screen.schema import KEPT_PREFIX


class ListTally:
    """Running counts over judged batches; ``rows`` and ``accepted`` are by file."""

    def __init__(self, normaliser: Normaliser, stored_as: ColumnKind) -> None:
        self.damage = DamageTally(normaliser, stored_as)
        self.undecided = Undecided()
        self.rows: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.rules: Counter[str] = Counter()

    def counted(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Counts a batch and returns it without its kept columns."""
        self.damage.add(batch)
        self.undecided.add(batch)
        by_file = batch.group_by("source_file").agg(
            rows=pl.len(), accepted=pl.col("reject_reason").is_null().sum()
        )
        for file, rows, accepted in by_file.iter_rows():
            self.rows[file] += rows
            self.accepted[file] += accepted
        # A rule holds what was undone as well, behind a +: each is counted for itself.
        for rule, rows in batch["rule"].drop_nulls().value_counts().iter_rows():
            for part in rule.split("+"):
                self.rules[part] += rows
        return batch.select(pl.exclude(f"^{KEPT_PREFIX}.*$"))


def count_numbers(shards: Iterable[pl.DataFrame]) -> NumberFacts:
    """The unique numbers in the accepted rows; a number lies in one shard only."""
    regions: Counter[str] = Counter()
    types: Counter[str] = Counter()
    rows = unique = repeated = most = 0
    for shard in shards:
        numbers = shard.group_by("e164").agg(
            pl.col("region", "number_type").first().fill_null("unknown"), rows=pl.len()
        )
        regions.update(dict(numbers["region"].value_counts().iter_rows()))
        types.update(dict(numbers["number_type"].value_counts().iter_rows()))
        rows += shard.height
        unique += numbers.height
        repeated += numbers.filter(pl.col("rows") > 1).height
        most = max(most, numbers.select(pl.col("rows").max().fill_null(0)).item())
    return NumberFacts(
        unique, rows - unique, repeated, most, tallied(regions, unique), tallied(types, unique)
    )
