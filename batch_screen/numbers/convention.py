"""A list's own convention: whether its digits come with or without their country code.

Learnt by region from the rows that can be read only one way; the others are then read likewise.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from enum import StrEnum
from operator import add
from typing import NamedTuple

import polars as pl

from batch_screen.numbers.clean import ascii_text
from batch_screen.numbers.parse import calling_code_of
from batch_screen.numbers.rules import RejectReason, Rule

FEWEST_ROWS = 200
"""Unambiguous rows of a region that are needed before ambiguous ones are read like them."""

MOST_OTHERS = 0.005
"""The share of these rows that may be written the other way."""

_READ = ("raw", "raw_region", "rule", "reject_reason")


class Convention(StrEnum):
    """How a list writes the numbers of a region that have neither a + nor a zero in front."""

    NATIONAL = "national"
    INTERNATIONAL = "international"


class Evidence(NamedTuple):
    """Rows of a region: written nationally, with the country code, and readable both ways."""

    national: int
    international: int
    doubtful: int

    @property
    def rows(self) -> int:
        """Rows that can be read only one way."""
        return self.national + self.international

    @property
    def convention(self) -> Convention | None:
        """How the list writes the region's numbers; None where too few rows say so."""
        fewer = min(self.national, self.international)
        if self.rows < FEWEST_ROWS or fewer > MOST_OTHERS * self.rows:
            return None
        is_national = self.national > self.international
        return Convention.NATIONAL if is_national else Convention.INTERNATIONAL


class ConventionCounter:
    """Counts a list's rows by region and writing; batches may come from several threads.

    ``home`` gives the region in which a row with that region cell is read.
    """

    def __init__(self, home: Callable[[str | None], str]) -> None:
        self._home = home
        self._rows: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def add(self, judged: pl.DataFrame) -> None:
        """Counts the rows of a normalised frame that start with neither a + nor a zero."""
        written = (
            pl.when(_is_rule(Rule.NATIONAL))
            .then(pl.lit("national"))
            .when(_is_rule(Rule.DIGITS_INTERNATIONAL))
            .then(pl.lit("international"))
            .when(pl.col("reject_reason") == RejectReason.AMBIGUOUS)
            .then(pl.lit("doubtful"))
        )
        # Most start so with their first character, and need no expression to be left out.
        starts = pl.col("raw").str.starts_with
        others = judged.select(*_READ).filter(~(starts("0") | starts("+")))
        rows = others.select("raw", "raw_region", written=written).drop_nulls("written")
        raw = rows["raw"]
        if (raw.str.len_bytes() != raw.str.len_chars()).any():  # Arabic digits
            raw = pl.Series(map(ascii_text, raw), dtype=pl.String)
        is_bare = raw.str.contains("^[^0-9+]*[1-9]")
        rows = rows.filter(is_bare).group_by("raw_region", "written").len()
        with self._lock:
            for cell, kind, count in rows.iter_rows():
                self._rows[self._home(cell), kind] += count

    def evidence(self) -> dict[str, Evidence]:
        """The rows of each region, those with the most doubtful ones first."""
        found = {
            home: Evidence(*(self._rows[home, kind] for kind in Evidence._fields))
            for home in sorted({home for home, _ in self._rows})
        }
        return dict(sorted(found.items(), key=lambda item: -item[1].doubtful))

    def conventions(self) -> dict[str, Convention]:
        """The conventions that decide doubtful rows, by region.

        A region with too few rows of its own follows those that share its calling code: every
        number of Montserrat could be one of Thailand.
        """
        evidence = self.evidence()
        sums: dict[int, Evidence] = defaultdict(lambda: Evidence(0, 0, 0))
        for home, rows in evidence.items():
            sums[calling_code_of(home)] = Evidence(*map(add, sums[calling_code_of(home)], rows))
        found = {}
        for home, rows in evidence.items():
            shown = rows if rows.rows >= FEWEST_ROWS else sums[calling_code_of(home)]
            if rows.doubtful and shown.convention:
                found[home] = shown.convention
        return found


Conventions = Mapping[str, Convention]
"""The conventions found in a list, by region."""


def _is_rule(rule: Rule) -> pl.Expr:
    return (pl.col("rule") == rule) | pl.col("rule").str.starts_with(f"{rule}+")
