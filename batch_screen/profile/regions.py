"""Suggests the default region for numbers without a country code, or none.

Digits fit many plans. In Austria a German mobile number is a valid number of Vienna, in Italy one
of Cuneo, and the landlines of Norwich are German mobile numbers: the wrong region buys
strangers' data. So a region is suggested only where nothing else comes near, or where the
list's own international numbers are from there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import polars as pl

from batch_screen.config.screening import Ambiguous, Numbers, Strictness
from batch_screen.model import ColumnKind
from batch_screen.numbers.frame import normalise_frame
from batch_screen.numbers.normalise import Normaliser
from batch_screen.numbers.rules import NO_COUNTRY, RejectReason, Rule
from batch_screen.profile.facts import DigitsAdvice, RegionAdvice

SAMPLED = 200
ENOUGH = 20
MOST = 0.8
"""Share of the sample that must be valid numbers of the region itself."""
NEAR = 0.5
"""A region that reads this share of them as other valid numbers is a rival."""
HARDLY = 0.1
NEARLY_ALL = 0.95
"""Of the sample have to be valid numbers with the country code that they begin with."""
AGREED = 0.9
"""Share of the list's international numbers that must be from the region to suggest it."""

LARGE = (
    *("US", "GB", "DE", "FR", "IT", "ES", "NL", "BE", "AT", "CH", "PL", "SE", "DK", "NO", "FI"),
    *("IE", "PT", "CZ", "SK", "HU", "RO", "BG", "GR", "HR", "RS", "SI", "LT", "UA", "RU", "TR"),
    *("AU", "NZ", "IN", "PK", "BD", "CN", "HK", "JP", "KR", "TH", "VN", "MY", "SG", "ID", "PH"),
    *("BR", "MX", "AR", "CL", "CO", "PE", "ZA", "NG", "KE", "EG", "MA", "SA", "AE", "IL"),
)
_MOST_SEEN = 10
_PLAIN = re.compile(r"\s*'?[0-9]+(?:\.0)?'?\s*")
_NO_REGION = (NO_COUNTRY, "")

# Only these depend on the region that is taken where a row names none.
_HANGS_ON_REGION = (
    RejectReason.NO_REGION,
    RejectReason.DOUBLE_ZERO,
    RejectReason.AMBIGUOUS,
    RejectReason.MISSING_AREA_CODE,
    RejectReason.TOO_SHORT,
    RejectReason.TOO_LONG,
    RejectReason.NOT_POSSIBLE,
    RejectReason.NOT_VALID,
)
_INTERNATIONAL = (
    Rule.INTERNATIONAL_PLUS,
    Rule.INTERNATIONAL_00,
    Rule.INTERNATIONAL_IDD,
    Rule.TEL_URI,
)


class Ground(StrEnum):
    """Evidence for a region."""

    ONLY_FIT = "only_fit"
    LIST = "list"


class RegionReading(NamedTuple):
    """A cell as parsed in one region."""

    e164: str
    region: str | None
    is_mobile: bool


RegionReadings = Mapping[str, Sequence[RegionReading | None]]
"""For each region what the sample's cells are there, None where they are rejected."""


class Undecided:
    """Collects the cells whose parsing depends on the default region, and a sample of them."""

    def __init__(self) -> None:
        self.rejected = 0
        self.seen: Counter[str] = Counter()
        """Regions of the list's international numbers, by rows."""
        self._sample = pl.DataFrame(schema={"raw": pl.String, "order": pl.UInt64})

    def add(self, batch: pl.DataFrame) -> None:
        """Looks at a judged batch."""
        rule = pl.col("rule").str.split("+").list.first()
        known = batch.filter(rule.is_in([r.value for r in _INTERNATIONAL]))
        self.seen.update(dict(known["region"].drop_nulls().value_counts().iter_rows()))
        open_reasons = [reason.value for reason in _HANGS_ON_REGION]
        hanging = batch.filter(
            (pl.col("raw_region").str.strip_chars() == "").fill_null(value=True),
            ~pl.col("raw").str.contains(r"^[^0-9]*[+＋]"),
            rule.str.starts_with("national")
            | rule.str.starts_with("digits_")
            | pl.col("reject_reason").is_in(open_reasons),
        )
        self.rejected += hanging.height - hanging["reject_reason"].null_count()
        # Those with the smallest hashes: an even sample of distinct cells, however many follow.
        cells = hanging.select("raw", order=pl.col("raw").hash(0)).unique()
        self._sample = pl.concat([self._sample, cells]).unique().bottom_k(SAMPLED, by="order")

    @property
    def sample(self) -> list[str]:
        """At most ``SAMPLED`` distinct cells from all over the list."""
        return self._sample.sort("order", "raw")["raw"].to_list()


def candidates(seen: Mapping[str, int]) -> list[str]:
    """Regions to try: those of the list's international numbers, then some large ones."""
    ordered = sorted(seen, key=lambda region: (-seen[region], region))
    shown = [region for region in ordered if region not in _NO_REGION][:_MOST_SEEN]
    return [*dict.fromkeys((*shown, *LARGE))]


def read_in(
    regions: Sequence[str],
    cells: Sequence[str],
    numbers: Numbers,
    kind: ColumnKind,
    ambiguous: Ambiguous = Ambiguous.SAFE,
) -> RegionReadings:
    """Parses the cells in each region, by the strictness of the settings or a higher one."""
    frame = pl.DataFrame({"raw": cells}, schema={"raw": pl.String}).with_columns(
        raw_region=pl.lit(None, pl.String)
    )
    # Where all that is possible is good enough, anything fits anywhere.
    is_lax = numbers.strictness is Strictness.POSSIBLE
    strictness = Strictness.VALID if is_lax else numbers.strictness
    judging = numbers.model_copy(
        update={"strictness": strictness, "ambiguous": ambiguous, "test_numbers": ()}
    )
    found = {}
    for region in regions:
        judged = normalise_frame(frame, Normaliser(judging, region, kind))
        rows = judged.select("e164", "region", "number_type").iter_rows()
        found[region] = [
            e164 and RegionReading(e164, at, what == "mobile") for e164, at, what in rows
        ]
    return found


def advise_digits(undecided: Undecided, numbers: Numbers, kind: ColumnKind) -> DigitsAdvice | None:
    """How many of the sample are numbers with their own country code, where nearly all are."""
    # Grouped digits may be national: (202) 555-0100 would be a number of Egypt.
    cells = [cell if _PLAIN.fullmatch(cell) else "" for cell in undecided.sample]
    if len(cells) < ENOUGH or numbers.ambiguous is Ambiguous.INTERNATIONAL:
        return None
    [readings] = read_in([""], cells, numbers, kind, Ambiguous.INTERNATIONAL).values()
    valid = sum(reading is not None for reading in readings)
    # Every number of Montserrat, without its 1, could be one of Thailand.
    [american] = read_in(["US"], cells, numbers, kind, Ambiguous.NATIONAL).values()
    rivals = sum(reading is not None for reading in american)
    if valid < NEARLY_ALL * len(cells) or rivals >= NEAR * len(cells):
        return None
    return DigitsAdvice(undecided.rejected, len(cells), valid)


def advise(
    readings: RegionReadings, seen: Mapping[str, int], rejected: int, current: str = ""
) -> RegionAdvice | None:
    """The region to suggest, with the evidence; None without a suggestion.

    ``rejected`` counts the rows that hang on the region, ``current`` is the region that was
    taken for them: nothing is said where it is the best.
    """
    sampled = len(next(iter(readings.values()), ()))
    if not rejected or sampled < ENOUGH:
        return None
    at_home = {
        region: sum(each is not None and each.region == region for each in read)
        for region, read in readings.items()
    }
    fitting = [region for region, count in at_home.items() if count >= MOST * sampled]
    grounds = {region: _grounds(region, readings, seen) for region in fitting}
    supported = [region for region in fitting if grounds[region]]
    if supported == [current] or (current in fitting and not supported):
        return None
    # Where one thing speaks for this region and another for that one, nothing is certain.
    region = supported[0] if len(supported) == 1 else ""
    alike = sorted(each for each in fitting if each != region)
    mobile = [each for each in fitting if _is_mobile_alone(each, readings)]
    return RegionAdvice(
        rows=rejected,
        sampled=sampled,
        region=region,
        accepted=sum(r is not None for r in readings[region]) if region else 0,
        grounds=[ground.value for ground in grounds.get(region, ())],
        alike=alike,
        mobile_in=mobile[0] if len(mobile) == 1 else "",
    )


def _grounds(region: str, readings: RegionReadings, seen: Mapping[str, int]) -> list[Ground]:
    """The evidence for this region alone."""
    found = []
    if not _near(region, readings):
        found.append(Ground.ONLY_FIT)
    total = sum(seen.values())
    if total >= ENOUGH and seen.get(region, 0) >= AGREED * total:
        found.append(Ground.LIST)
    return found


def _is_mobile_alone(region: str, readings: RegionReadings) -> bool:
    """Whether most are mobile numbers of the region, and hardly any is one of a rival."""
    sampled = len(readings[region])
    mobile = sum(r is not None and r.is_mobile and r.region == region for r in readings[region])
    near = _near(region, readings)
    rival = max((sum(r.is_mobile for r in others) for others in near), default=0)
    return mobile >= MOST * sampled and rival <= HARDLY * sampled


def _near(region: str, readings: RegionReadings) -> list[list[RegionReading]]:
    """For each rival, the cells that it reads as other valid numbers than the region does."""
    found = []
    for rival in (each for each in readings if each != region):
        pairs = zip(readings[region], readings[rival], strict=True)
        others = [each for own, each in pairs if each and (own is None or own.e164 != each.e164)]
        if len(others) >= NEAR * len(readings[region]):
            found.append(others)
    return found
