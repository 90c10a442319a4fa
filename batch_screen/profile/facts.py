"""The report of ``check`` as typed records, as ``check --json`` prints it.

Every text in it was masked where it was made; docs/reference/check-json.md explains each field.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Frequency(msgspec.Struct, frozen=True):
    """A value's count and its share of the total, 0 to 1."""

    name: str
    count: int
    share: float


class ColumnFacts(msgspec.Struct, frozen=True):
    """A column of a file; ``role`` is phone, region, or empty."""

    name: str
    type: str
    role: str = ""


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How a file was read, and how many of its rows were accepted."""

    name: str
    format: str
    compression: str
    encoding: str
    delimiter: str
    has_header: bool
    sheet: str = ""
    phone_column_by: str
    likely_region_column: str
    is_misread: bool
    columns: list[ColumnFacts]
    rows: int
    accepted: int
    rejected: int
    likely_phone_columns: list[str] = []


class RejectedCell(msgspec.Struct, frozen=True):
    """A rejected row: its place, and its cell masked."""

    source_file: str
    source_row: int
    raw_masked: str
    raw_region: str
    detail: str
    phone_column: str = ""


class Rejected(msgspec.Struct, frozen=True):
    """The rows rejected for one reason, and the first few that look different."""

    reason: str
    rows: int
    remedy: str
    examples: list[RejectedCell]


class NumberFacts(msgspec.Struct, frozen=True):
    """The numbers that would be asked about; counts and shares are those of unique numbers."""

    unique: int
    duplicate_rows: int
    repeated: int
    most_rows: int
    regions: list[Frequency]
    types: list[Frequency]


class Damaged(msgspec.Struct, frozen=True):
    """Damage to the phone column; shares are of its filled cells."""

    filled_cells: int
    stored_as: str
    spreadsheet_cells: int
    spreadsheet_share: float
    kinds: list[Frequency]


class ConventionFacts(msgspec.Struct, frozen=True):
    """How a list writes the numbers of a region that have neither a + nor a zero in front.

    Rows that can be read only as ``national`` numbers, only with their country code in front
    (``international``), or both ways. ``convention`` is by which of them the ``doubtful`` rows were
    read; empty where the others do not agree or are too few, and the doubtful ones were rejected.
    """

    region: str
    national: int
    international: int
    doubtful: int
    convention: str
    phone_column: str = ""


class RegionAdvice(msgspec.Struct, frozen=True):
    """Which region fits the numbers without a country code, by parsing a sample in each.

    ``region`` is empty where none can be suggested; ``alike`` are the (other) regions in which
    most of the sample are valid numbers too. ``mobile_in`` is the one of them all in which most
    are mobile numbers, if there is just one. ``grounds`` are ``regions.Ground``s.
    """

    rows: int
    sampled: int
    region: str
    accepted: int
    grounds: list[str]
    alike: list[str]
    mobile_in: str


class DigitsAdvice(msgspec.Struct, frozen=True):
    """How many of a sample of bare digits are ``valid`` numbers with their own country code.

    ``rows`` are the rejected rows that depend on it.
    """

    rows: int
    sampled: int
    valid: int


class PhoneColumnFacts(msgspec.Struct, frozen=True):
    """The rows of a phone column; the ``rejected`` ones with those whose cell is ``empty``."""

    name: str
    rows: int
    accepted: int
    rejected: int
    empty: int


class Fix(msgspec.Struct, frozen=True):
    """Advice, and how many rejected rows it would save at most."""

    rows: int
    advice: str


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """A list as it is before any money is spent: rows = accepted + rejected.

    ``notes`` say which files of a folder were not read or hold no rows, and other oddities.
    """

    files: list[FileFacts]
    phone_column: str
    region_column: str
    default_region: str
    rows: int
    accepted: int
    rejected: int
    rejects: list[Rejected]
    rules: list[Frequency]
    numbers: NumberFacts
    damage: Damaged
    conventions: list[ConventionFacts]
    region_advice: RegionAdvice | None
    fixes: list[Fix]
    notes: list[str] = []
    phone_columns: list[PhoneColumnFacts] = []
    digits_advice: DigitsAdvice | None = None


def tallied(counts: Mapping[str, int], total: int) -> list[Frequency]:
    """Counts above zero as frequencies, the largest first.

    >>> tallied({"GB": 1, "DE": 3}, 4)[0]
    Frequency(name='DE', count=3, share=0.75)
    """
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Frequency(name, n, share_of(n, total)) for name, n in ordered if n]


def share_of(part: int, whole: int) -> float:
    """The part's share, 0 to 1; of nothing it is 0."""
    return round(part / whole, 4) if whole else 0.0
