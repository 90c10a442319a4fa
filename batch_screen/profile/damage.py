"""Damage to a column of numbers: by spreadsheets, by a misread encoding, by shifted rows.

Counts batch by batch. A cell may have more than one kind of damage; where the normalisation
has undone it, the row is accepted and counts here all the same.
"""

from __future__ import annotations

import re
from enum import StrEnum

import polars as pl

from batch_screen.model import ColumnKind
from batch_screen.numbers.normalise import Normaliser
from batch_screen.numbers.rules import Accepted, Modifier, RejectReason, Rule
from batch_screen.profile.facts import Damaged, share_of, tallied


class Damage(StrEnum):
    """A kind of damage; ``MEANING`` has the sentence for each."""

    SCIENTIFIC_NOTATION = "scientific_notation"
    DECIMAL = "decimal"
    LOST_ZERO = "lost_zero"
    SPREADSHEET_MARK = "spreadsheet_mark"
    SEVERAL_NUMBERS = "several_numbers"
    MISREAD_TEXT = "misread_text"
    SHIFTED_ROW = "shifted_row"


MEANING = {
    Damage.SCIENTIFIC_NOTATION: "written as 4.9E+11: the last digits are lost",
    Damage.DECIMAL: "stored as a decimal, with .0 at its end",
    Damage.LOST_ZERO: "a national number without its leading zero",
    Damage.SPREADSHEET_MARK: 'an apostrophe, quotes or ="…" of a spreadsheet',
    Damage.SEVERAL_NUMBERS: "more than one number in a cell",
    Damage.MISREAD_TEXT: "letters of a misread encoding",
    Damage.SHIFTED_ROW: "more cells than the header names, so they may be shifted",
}
BY_A_SPREADSHEET = (
    Damage.SCIENTIFIC_NOTATION,
    Damage.DECIMAL,
    Damage.LOST_ZERO,
    Damage.SPREADSHEET_MARK,
)

# UTF-8 read as Windows-1252 shows as Ã, Â or â before characters that never follow them in a word.
# U+FFFD was put by other programs in the place of bytes they could not read.
_MISREAD = (
    "\ufffd|ï»¿|â€|[ÃÂ][\u0080-\u00bf\u0160\u0152\u017d\u0161\u0153\u017e\u0178\u20ac\u201a\u0192"
    "\u201e\u2026\u2020\u2021\u02c6\u2030\u2039\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc"
    "\u2122\u203a]"
)
_MARKED = r"^\s*(?:['’]|=\s*\")"
_BARE = r"^\s*[1-9][0-9]{5,}\s*$"


def is_misread(text: str) -> bool:
    """Whether the text looks decoded with the wrong encoding.

    >>> is_misread("TÃ©lÃ©phone"), is_misread("Téléphone"), is_misread("SÃO")
    (True, False, False)
    """
    return re.search(_MISREAD, text) is not None


class DamageTally:
    """Counts the damage of judged batches; needs ``raw``, ``ragged`` and the added columns."""

    def __init__(self, normaliser: Normaliser, stored_as: ColumnKind) -> None:
        self._normaliser = normaliser
        self._stored_as = stored_as
        self._writes_zero: dict[str, bool] = {}
        self._filled = 0
        self._by_a_spreadsheet = 0
        self._counts = dict.fromkeys(Damage, 0)

    def add(self, batch: pl.DataFrame) -> None:
        """Counts a batch."""
        # Once for each region: are its national numbers written with a zero in front? In Italy or
        # Spain none is lost where none was written.
        bare = batch.filter(_is_bare_national(), ~pl.col("region").is_in([*self._writes_zero]))
        for row in bare.unique("region", keep="any").iter_rows(named=True):
            raw, region, e164 = row["raw"], row["region"], row["e164"]
            self._writes_zero[region] = writes_zero(raw, region, e164, self._normaliser)
        zeros = [region for region, writes in self._writes_zero.items() if writes]
        found = batch.select(
            (pl.col("raw").str.strip_chars() != "").fill_null(value=False).alias("filled"),
            **{kind.value: claim.fill_null(value=False) for kind, claim in _claims(zeros).items()},
        ).with_columns(spreadsheet=pl.any_horizontal(*(kind.value for kind in BY_A_SPREADSHEET)))
        sums = found.sum().row(0, named=True)
        self._filled += sums["filled"]
        self._by_a_spreadsheet += sums["spreadsheet"]
        for kind in Damage:
            self._counts[kind] += sums[kind.value]

    def found(self) -> Damaged:
        """The damage of all batches so far."""
        return Damaged(
            self._filled,
            self._stored_as.value,
            self._by_a_spreadsheet,
            share_of(self._by_a_spreadsheet, self._filled),
            tallied({kind.value: n for kind, n in self._counts.items()}, self._filled),
        )


def writes_zero(raw: str, region: str, e164: str, normaliser: Normaliser) -> bool:
    """Whether the national number parses the same with a leading zero, as where one is usual."""
    with_zero = normaliser.normalise("0" + raw.strip(), region)
    return isinstance(with_zero, Accepted) and with_zero.e164 == e164


def _is_bare_national() -> pl.Expr:
    is_national = pl.col("rule").str.starts_with(Rule.NATIONAL.value)
    return is_national & pl.col("raw").str.contains(_BARE) & pl.col("region").is_not_null()


def _claims(regions_with_zero: list[str]) -> dict[Damage, pl.Expr]:
    """For each kind whether a row has it; null where its cell, rule or reason is null."""
    raw, rule, reason = pl.col("raw"), pl.col("rule"), pl.col("reject_reason")
    undone, decimal = Modifier.EXCEL_UNDONE.value, Modifier.FLOAT_COLUMN.value
    return {
        Damage.SCIENTIFIC_NOTATION: reason == RejectReason.SCIENTIFIC_NOTATION.value,
        Damage.DECIMAL: (reason == RejectReason.FLOAT_ARTEFACT.value)
        | rule.str.contains(decimal, literal=True),
        Damage.LOST_ZERO: _is_bare_national() & pl.col("region").is_in(regions_with_zero),
        Damage.SPREADSHEET_MARK: raw.str.contains(_MARKED)
        | rule.str.contains(undone, literal=True),
        Damage.SEVERAL_NUMBERS: reason == RejectReason.MULTIPLE_NUMBERS.value,
        Damage.MISREAD_TEXT: raw.str.contains(_MISREAD),
        Damage.SHIFTED_ROW: pl.col("ragged"),
    }
