"""Writes the sample customer list: as messy as a real export, and nobody's numbers.

Every number comes from a range that is kept free for films, books and examples. The same
seed gives the same rows on every Python. ``--check`` compares instead of writing and exits
with 1 if a committed file differs from a fresh generation.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import polars as pl

FOLDER = Path(__file__).parent
SEED = 20_260_101
DUPLICATES = 320
BRANCHES = (
    "Berlin Mitte",
    "Köln Ehrenfeld",
    "München\nHauptbahnhof",  # a line end inside a cell, as address fields have them
    "Bristol, Harbourside",
    "Saint-Étienne",
    "Malmö",
    "Montréal",
    'Chicago "The Loop"',
    "Sydney",
)
SEGMENTS = ("retail", "premium", "business", "student")
PRODUCTS = ("current account", "credit card", "savings", "loan")
JUNK = ("n/a", "unknown", "-", "#N/A", "keine Angabe", "ex-directory", "see notes", "0", "NULL")

Spelling = Callable[..., str | None]


class Range(NamedTuple):
    """A published range of fictitious numbers; ``take`` of them enter the list."""

    region: str
    code: str
    trunk: str
    area: str
    subscribers: tuple[str, ...]
    groups: tuple[int, ...]
    take: int
    is_mobile: bool = False


class Number(NamedTuple):
    """One fictitious number in the parts that its spellings are made of."""

    region: str
    code: str
    trunk: str
    area: str
    groups: tuple[str, ...]
    is_mobile: bool

    @property
    def digits(self) -> str:
        return self.code + self.area + "".join(self.groups)

    def international(self, separator: str = " ", trunk: str = "") -> str:
        return separator.join((f"+{self.code}", trunk + self.area, *self.groups))

    def national(self, separator: str = " ") -> str:
        return separator.join((self.trunk + self.area, *self.groups))


class Row(NamedTuple):
    """A cell and its region; ``e164`` is the number it means, None where that is not sure."""

    kind: str
    phone: str | None
    country: str
    e164: str | None


class Kind(NamedTuple):
    """So many rows of one spelling; ``region`` is a fixed cell where it is not the number's own."""

    spell: Spelling
    rows: int
    suits: Callable[[Number], bool] = lambda _: True
    region: str | None = None

    @property
    def name(self) -> str:
        return self.spell.__name__


# --- The ranges ---------------------------------------------------------------------------


def span(prefix: str, first: int, last: int, width: int) -> tuple[str, ...]:
    """The numbers from ``first`` to ``last`` inclusive behind a prefix.

    >>> span("5550", 100, 102, 3)
    ('5550100', '5550101', '5550102')
    """
    return tuple(f"{prefix}{number:0{width}d}" for number in range(first, last + 1))


def north_america(region: str, areas: str, take: int) -> tuple[Range, ...]:
    """555-0100 to 555-0199 in each of the areas."""
    subscribers = span("5550", 100, 199, 3)
    return tuple(Range(region, "1", "", a, subscribers, (3, 4), take) for a in areas.split())


# Thirty single numbers, as the Australian regulator lists them.
ACMA = """570006 570156 570157 570158 570159 570110 570313 570737 571266 571491 571804 572549
572665 572983 573770 573087 574118 574632 575254 575789 576398 576801 577426 577644 578957 578148
578888 579212 579760 579455"""

# 0605 to 0655 make the sandbox misbehave; these answer, fail once or fail alone, so that the
# sample shows some of everything and no number of it stops a whole run.
SWEDISH_MOBILES = (*span("1740", 605, 608, 3), "1740622", "1740644", "1740645", "1740650")

RANGES = (
    Range("DE", "49", "0", "171", span("39200", 0, 99, 2), (5, 2), 100, is_mobile=True),
    Range("DE", "49", "0", "176", span("040690", 0, 99, 2), (6, 2), 100, is_mobile=True),
    Range("DE", "49", "0", "30", span("23125", 0, 999, 3), (5, 3), 140),
    Range("DE", "49", "0", "40", span("66969", 0, 999, 3), (5, 3), 80),
    Range("DE", "49", "0", "69", span("90009", 0, 999, 3), (5, 3), 80),
    Range("DE", "49", "0", "89", span("99998", 0, 999, 3), (5, 3), 80),
    Range("DE", "49", "0", "221", span("4710", 0, 999, 3), (4, 3), 80),
    Range("GB", "44", "0", "20", span("79460", 0, 999, 3), (4, 4), 110),
    Range("GB", "44", "0", "113", span("4960", 0, 999, 3), (3, 4), 60),
    Range("GB", "44", "0", "161", span("4960", 0, 999, 3), (3, 4), 60),
    Range("FR", "33", "0", "1", span("9900", 0, 9999, 4), (2, 2, 2, 2), 130),
    Range(
        "SE",
        "46",
        "0",
        "70",
        (*SWEDISH_MOBILES, *span("1740", 656, 699, 3)),
        (3, 2, 2),
        52,
        is_mobile=True,
    ),
    Range("SE", "46", "0", "8", span("465004", 0, 99, 2), (3, 3, 2), 40),
    Range("AU", "61", "0", "491", tuple(ACMA.split()), (3, 3), 30, is_mobile=True),
    *north_america("US", "202 206 212 303 312 415 503 617 713", 95),
    *north_america("CA", "403 416 514", 95),
)

# Ten digits of these areas are a valid number of New Zealand or Malaysia behind a plus.
TWO_READINGS = (*north_america("US", "646", 20), *north_america("CA", "604", 20))

# Kept free as well, but unknown to libphonenumber: well written and not valid.
UNKNOWN_TO_THE_PLAN = (
    Range("GB", "44", "0", "7700", span("900", 0, 999, 3), (3, 3), 20, is_mobile=True),
    Range("FR", "33", "0", "6", span("3998", 0, 9999, 4), (2, 2, 2, 2), 15, is_mobile=True),
    Range("IE", "353", "0", "20", span("91", 0, 99_999, 5), (3, 4), 10, is_mobile=True),
)


def draw(ranges: Iterable[Range], rng: random.Random) -> list[Number]:
    """A shuffled draw of ``take`` different numbers from each range."""
    drawn = [
        Number(r.region, r.code, r.trunk, r.area, cut(subscriber, r.groups), r.is_mobile)
        for r in ranges
        for subscriber in rng.sample(r.subscribers, r.take)
    ]
    rng.shuffle(drawn)
    return drawn


def cut(digits: str, sizes: tuple[int, ...]) -> tuple[str, ...]:
    """The digits in groups of the given sizes.

    >>> cut("1740605", (3, 2, 2))
    ('174', '06', '05')
    """
    rest = iter(digits)
    return tuple("".join(next(rest) for _ in range(size)) for size in sizes)


# --- The spellings: a function's name is the kind, its first line stands in the README ------


def e164(_: random.Random, number: Number) -> str:
    """As the API wants it."""
    return "+" + number.digits


def international(_: random.Random, number: Number) -> str:
    """Spaces between the groups."""
    return number.international()


def national(_: random.Random, number: Number) -> str:
    """Needs the region column."""
    if is_north_american(number):
        return f"({number.area}) {'-'.join(number.groups)}"
    return number.national()


def national_digits(_: random.Random, number: Number) -> str:
    """National, digits only."""
    return number.national("")


def punctuated(rng: random.Random, number: Number) -> str:
    """Slashes, dots and hyphens."""
    if is_north_american(number):
        return number.national(rng.choice((".", "-")))
    return f"{number.trunk}{number.area}/{rng.choice(('', ' ', '-')).join(number.groups)}"


def double_zero(_: random.Random, number: Number) -> str:
    """Two zeros instead of the plus."""
    return "00" + number.international()[1:]


def trunk_zero(_: random.Random, number: Number) -> str:
    """The national zero in brackets."""
    return number.international(trunk="(0)")


def invisible(rng: random.Random, number: Number) -> str:
    """No-break and zero-width spaces, direction marks, padding."""
    embed, unembed = "\N{LEFT-TO-RIGHT EMBEDDING}", "\N{POP DIRECTIONAL FORMATTING}"
    spellings = (
        number.international("\N{NO-BREAK SPACE}"),
        f"\N{ZERO WIDTH SPACE}{e164(rng, number)}",
        f"{embed}{number.international()}{unembed}",
        f"  {e164(rng, number)}\t",
    )
    return rng.choice(spellings)


def full_width(rng: random.Random, number: Number) -> str:
    """Full-width digits."""
    return e164(rng, number).translate({ord(c): ord(c) + 0xFEE0 for c in "+0123456789"})


def tel_link(rng: random.Random, number: Number) -> str:
    """Links as web pages hold them."""
    with_context = f"tel:{number.national('-')};phone-context=+{number.code}"
    return rng.choice((f"tel:{number.international('-')}", with_context))


def extension(rng: random.Random, number: Number) -> str:
    """An extension, which E.164 cannot hold."""
    return number.international() + rng.choice((" ext. 12", " x305", ";ext=7"))


def apostrophe(rng: random.Random, number: Number) -> str:
    """Excel's mark for text."""
    return "'" + e164(rng, number)


def excel_formula(rng: random.Random, number: Number) -> str:
    """A formula that keeps the plus."""
    return f'="{e164(rng, number)}"'


def lost_zero(_: random.Random, number: Number) -> str:
    """A spreadsheet dropped the leading zero."""
    return number.area + "".join(number.groups)


def lost_plus_mobile(_: random.Random, number: Number) -> str:
    """Country code without plus; reads as a German landline too, but is a mobile."""
    return number.digits


def lost_plus_abroad(_: random.Random, number: Number) -> str:
    """Another country's number without plus; it reads as a German landline, too."""
    return number.digits


def lost_plus_landline(_: random.Random, number: Number) -> str:
    """Country code without plus; both readings agree."""
    return number.digits


def ambiguous(_: random.Random, number: Number) -> str:
    """Digits that read as two different numbers."""
    return number.digits


def scientific(rng: random.Random, number: Number) -> str:
    """Excel threw digits away, and nothing brings them back."""
    shown = f"{float(number.digits):.5E}"
    return rng.choice((shown, shown.replace(".", ",")))


def float_tail(_: random.Random, number: Number) -> str:
    """A column of numbers with gaps became decimals."""
    return number.digits + ".0"


def empty(rng: random.Random, _: Number) -> str | None:
    """Nothing, or a space."""
    return rng.choice((None, None, " "))


def two_numbers(rng: random.Random, number: Number) -> str:
    """Two numbers in one cell, some on two lines."""
    last = number.groups[-1]
    neighbour = last[:-1] + str((int(last[-1]) + 1) % 10)
    second = number._replace(groups=(*number.groups[:-1], neighbour))
    separator = rng.choice((" / ", "; ", ", ", " or ", "\n"))
    return number.international() + separator + second.international()


def vanity(_: random.Random, number: Number) -> str:
    """Letters for digits; J, K and L all stand for 5."""
    return f"+1 {number.area} JKL-{number.groups[-1]}"


def too_short(_: random.Random, number: Number) -> str:
    """The end is missing."""
    return f"{number.trunk}{number.area} {number.groups[0][:2]}"


def too_long(_: random.Random, number: Number) -> str:
    """More digits than E.164 allows."""
    return f"{number.international()} 00000000"


def short_code(rng: random.Random, _: Number) -> str:
    """Emergency numbers, the only ones here that somebody answers."""
    return rng.choice(("112", "911", "999", "000"))


def junk(rng: random.Random, _: Number) -> str:
    """Words, dashes, a zero."""
    return rng.choice(JUNK)


def no_region(_: random.Random, number: Number) -> str:
    """National, and no region to read it in."""
    return number.national()


def region_name(_: random.Random, number: Number) -> str:
    """National, and the region column holds a name instead of a code."""
    return number.national()


def by_list(_: random.Random, number: Number) -> str:
    """Digits that read as two numbers; the list's others of the region show that it is national."""
    return number.national("")


def not_in_plan(_: random.Random, number: Number) -> str:
    """Well written, and unknown to libphonenumber."""
    return number.international()


def duplicate(rng: random.Random, number: Number, unlike: str) -> str:
    """A number from another row, spelt differently."""
    return rng.choice([s for s in (e164, international, national) if s.__name__ != unlike])(
        rng, number
    )


# --- Which numbers suit which spelling ------------------------------------------------------


def is_north_american(number: Number) -> bool:
    return number.code == "1"


def is_european(number: Number) -> bool:
    return number.region in ("DE", "FR", "GB", "SE")


def has_trunk(number: Number) -> bool:
    return number.trunk != ""


def is_mobile(number: Number) -> bool:
    return number.is_mobile


def is_german(number: Number) -> bool:
    return number.region == "DE"


def keeps_its_meaning_without_zero(number: Number) -> bool:
    # 176 without its zero would read as a Californian number behind a plus.
    return number.is_mobile and number.area != "176"


def has_one_reading(number: Number) -> bool:
    return not number.is_mobile and number.area in ("20", "30", "40", "69", "89", "113", "161")


def reads_as_two_landlines(number: Number) -> bool:
    return not number.is_mobile and (number.area == "221" or number.region in ("FR", "GB"))


def has_a_neighbour(number: Number) -> bool:
    return not (number.is_mobile and number.region in ("AU", "SE"))


# Spellings that carry the country code, so that the region column may stay empty.
CARRY_THE_CODE = (
    *(e164, international, trunk_zero, invisible),
    *(full_width, extension, apostrophe, excel_formula),
)
MEAN_ONE_NUMBER = (
    Kind(e164, 530),
    Kind(international, 440),
    Kind(national, 330),
    Kind(national_digits, 150),
    Kind(punctuated, 150),
    Kind(double_zero, 100, is_european),
    Kind(trunk_zero, 60, has_trunk),
    Kind(invisible, 50),
    Kind(full_width, 25),
    Kind(tel_link, 30),
    Kind(extension, 30),
    Kind(apostrophe, 40),
    Kind(excel_formula, 40),
    Kind(lost_zero, 30, keeps_its_meaning_without_zero),
    Kind(lost_plus_mobile, 60, is_mobile, "DE"),
    Kind(lost_plus_landline, 40, has_one_reading),
)
DO_NOT = (
    Kind(ambiguous, 60, reads_as_two_landlines, "DE"),
    Kind(scientific, 60),
    Kind(float_tail, 60),
    Kind(empty, 70),
    Kind(two_numbers, 45, has_a_neighbour),
    Kind(vanity, 20, is_north_american),
    Kind(too_short, 40, is_mobile),
    Kind(too_long, 15),
    Kind(short_code, 20),
    Kind(junk, 50),
    Kind(no_region, 40, has_trunk, ""),
    Kind(region_name, 20, is_german, "Deutschland"),
)


# --- The rows -------------------------------------------------------------------------------


def sample() -> list[Row]:
    """All rows in their final order."""
    rng = random.Random(SEED)
    made = list(rows(rng))
    rng.shuffle(made)
    return made


def rows(rng: random.Random) -> Iterator[Row]:
    """All rows, kind by kind."""
    numbers = draw(RANGES, rng)
    once = list(each_number_once(numbers, rng))
    for kind, number in once:
        cell, region = kind.spell(rng, number), region_cell(kind, number, rng)
        if kind.spell is lost_plus_mobile and not is_german(number):
            yield Row(lost_plus_abroad.__name__, cell, region, None)
        else:
            yield Row(kind.name, cell, region, plus(number))
    for kind, number in rng.sample(once, DUPLICATES):
        cell = duplicate(rng, number, unlike=kind.name)
        yield Row("duplicate", cell, number.region, plus(number))
    for kind in DO_NOT:
        for number in rng.choices([n for n in numbers if kind.suits(n)], k=kind.rows):
            cell, region = kind.spell(rng, number), region_cell(kind, number, rng)
            yield Row(kind.name, cell, region, plus(number) if kind.spell is region_name else None)
    for number in draw(TWO_READINGS, rng):
        yield Row(by_list.__name__, by_list(rng, number), number.region, plus(number))
    for number in draw(UNKNOWN_TO_THE_PLAN, rng):
        yield Row("not_in_plan", not_in_plan(rng, number), number.region, None)


def each_number_once(numbers: list[Number], rng: random.Random) -> Iterator[tuple[Kind, Number]]:
    """Deals the numbers out to the kinds that mean one number."""
    deck = rng.sample(numbers, len(numbers))
    # Kinds that suit few numbers are served first, or the others would leave them none.
    for kind in sorted(MEAN_ONE_NUMBER, key=lambda kind: sum(map(kind.suits, numbers))):
        for _ in range(kind.rows):
            number = next(n for n in deck if kind.suits(n))
            deck.remove(number)
            yield kind, number


def plus(number: Number) -> str:
    return "+" + number.digits


def region_cell(kind: Kind, number: Number, rng: random.Random) -> str:
    """The region as people type it: sometimes missing, in lower case, or UK."""
    if kind.region is not None:
        return kind.region
    if kind.spell in CARRY_THE_CODE and rng.random() < 0.25:
        return ""
    region = "UK" if number.region == "GB" and rng.random() < 0.4 else number.region
    return region.lower() if rng.random() < 0.1 else region


# --- The files ------------------------------------------------------------------------------


def table(made: list[Row]) -> pl.DataFrame:
    """The customer list: every column text, but for the date."""
    rng = random.Random(SEED)
    days = [date(2015, 1, 1) + timedelta(days=rng.randrange(4_000)) for _ in made]
    columns = {
        "customer_id": [f"C-{number}" for number in range(100_000, 100_000 + len(made))],
        "branch": [rng.choice(BRANCHES) for _ in made],
        "segment": [rng.choice(SEGMENTS) for _ in made],
        "product": [rng.choice(PRODUCTS) for _ in made],
        "signup_date": days,
        "phone": [row.phone for row in made],
        "country": [row.country or None for row in made],
    }
    return pl.DataFrame(columns)


def csv_text(frame: pl.DataFrame) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(frame.columns)
    writer.writerows(frame.iter_rows())
    return buffer.getvalue()


README = """\
# Sample data

A customer list of {total:,} rows, as messy as a real export. `customers.csv` (UTF-8, commas, some
cells quoted) and `customers.parquet` hold the same rows. `make_sample.py` writes them and this
page; `python sample_data/make_sample.py --check` exits with 1 if one of the three differs from what
it would write.

Nobody is in it. The numbers come from the ranges that are kept free for films, books and examples
by Bundesnetzagentur (DE), Ofcom (GB), Arcep (FR), PTS (SE), ComReg (IE) and ACMA (AU), and from
555-0100 to 555-0199 in the United States and Canada.

Columns: `customer_id`, `branch`, `segment`, `product`, `signup_date`, `phone`, `country`. Of the
regions in `country`, {no_region:,} are empty, {lower:,} are in lower case and {uk:,} say UK instead
of GB. Characters that cannot be seen are written as escapes below.

## What is in `phone`

{mean_one_number}

{do_not}
"""


def readme_text(made: list[Row]) -> str:
    regions = [row.country for row in made]
    clear: list[Spelling] = [*(kind.spell for kind in MEAN_ONE_NUMBER), region_name, by_list]
    clear.append(duplicate)
    unclear: list[Spelling] = [kind.spell for kind in DO_NOT if kind.spell is not region_name]
    unclear += [lost_plus_abroad, not_in_plan]
    return README.format(
        total=len(made),
        no_region=regions.count(""),
        lower=sum(region.islower() for region in regions),
        uk=sum(region.upper() == "UK" for region in regions),
        mean_one_number=markdown("Means one number", clear, made),
        do_not=markdown("Means none, or not surely one", unclear, made),
    )


def markdown(title: str, spellings: list[Spelling], made: list[Row]) -> str:
    counts = Counter(row.kind for row in made)
    lines = [f"| {title} | Rows | Example | |", "|---|---:|---|---|"]
    for spell in spellings:
        name, says = spell.__name__, (spell.__doc__ or "").rstrip(".")
        lines.append(f"| {name} | {counts[name]:,} | {example(name, made)} | {says} |")
    total = sum(counts[spell.__name__] for spell in spellings)
    return "\n".join([*lines, f"| together | {total:,} | | |"])


def example(kind: str, made: list[Row]) -> str:
    """The first cell of its kind, with what cannot be seen written as escapes."""
    if kind in ("empty", "short_code"):
        return ""
    cell = next(row.phone for row in made if row.kind == kind and row.phone)
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in cell)
    return f"`{''.join(shown)}`"


def differing() -> list[str]:
    """Names of the committed files that differ from a fresh generation."""
    made = sample()
    frame = table(made)
    is_same: dict[str, Callable[[Path], bool]] = {
        "customers.csv": lambda path: path.read_bytes() == csv_text(frame).encode(),
        # The bytes of a Parquet file change with the version of its writer.
        "customers.parquet": lambda path: pl.read_parquet(path).equals(frame),
        "README.md": lambda path: path.read_bytes() == readme_text(made).encode(),
    }
    return [n for n, same in is_same.items() if not (FOLDER / n).exists() or not same(FOLDER / n)]


def write() -> None:
    made = sample()
    frame = table(made)
    (FOLDER / "customers.csv").write_bytes(csv_text(frame).encode())
    frame.write_parquet(FOLDER / "customers.parquet")
    (FOLDER / "README.md").write_bytes(readme_text(made).encode())
    print(f"{len(made):,} rows written")


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes the sample customer list.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    if not parser.parse_args().check:
        write()
        return 0
    stale = differing()
    for name in stale:
        print(f"{name} differs: run make_sample.py and commit the result", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
