"""The three lists: ten regions mixed, all regions mixed, one region in national writing.

Every row is an example number of the metadata with its last digits others, in one of the
writings people use. Some ranges the numbers lie in are in use, for no range kept free for
examples is large enough; so the lists are made for the benchmark, in a temporary folder, and go
nowhere.

    python -m benchmarks.normalise.lists KIND ROWS FILE
"""

from __future__ import annotations

import argparse
import random
import re
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import phonenumbers
import polars as pl
from phonenumbers import PhoneNumberFormat, PhoneNumberType

TEN = ("DE", "GB", "FR", "ES", "IT", "PL", "NL", "US", "BR", "IN")
KINDS = ("ten regions", "all regions", "one region")
ONE = "DE"
_LOOSE_DIGITS = 5
_CHUNK_ROWS = 1_000_000


class Template(NamedTuple):
    """A writing of a number, cut where its last digits are to be put in."""

    region: str
    pieces: tuple[str, ...]


def templates(kind: str) -> list[Template]:
    """Mobile numbers three times as often as landlines; half of them start with a +."""
    regions = {"ten regions": TEN, "one region": (ONE,)}.get(kind, phonenumbers.SUPPORTED_REGIONS)
    found = []
    for region in sorted(regions):
        for number_type, times in ((PhoneNumberType.MOBILE, 3), (PhoneNumberType.FIXED_LINE, 1)):
            number = phonenumbers.example_number_for_type(region, number_type)
            if number is None:
                continue
            e164, international, national = (
                phonenumbers.format_number(number, form)
                for form in (
                    PhoneNumberFormat.E164,
                    PhoneNumberFormat.INTERNATIONAL,
                    PhoneNumberFormat.NATIONAL,
                )
            )
            bare = re.sub("[^0-9]", "", national)
            texts = [e164, e164, international, f"00{e164[1:]}", national, bare]
            if kind == "one region":
                texts = [national, bare, re.sub("[ -]", "/", national, count=1), national]
            found += [cut(region, text) for text in texts] * times
    return found


def cut(region: str, text: str) -> Template:
    """
    >>> cut("DE", "030 123456").pieces
    ('030 1', '', '', '', '', '')
    """
    places = [m.start() for m in re.finditer("[0-9]", text)][-_LOOSE_DIGITS:]
    edges = [-1, *places, len(text)]
    return Template(region, tuple(text[a + 1 : b] for a, b in pairwise(edges)))


def write(kind: str, rows: int, path: Path, seed: int = 7) -> None:
    """Writes ``customer_id,phone,country`` in random order."""
    rng = random.Random(seed)
    choices = templates(kind)
    with path.open("wb") as file:
        for first in range(0, rows, _CHUNK_ROWS):
            count = min(_CHUNK_ROWS, rows - first)
            chunk = _rows(choices, count, rng)
            chunk = chunk.with_columns(
                customer_id=pl.format("C{}", pl.int_range(first, first + count))
            )
            chunk.select("customer_id", "phone", "country").write_csv(
                file, include_header=first == 0
            )


def _rows(choices: list[Template], count: int, rng: random.Random) -> pl.DataFrame:
    """So many rows, the writings equally often."""
    each = -(-count // len(choices))
    frames = []
    for template in choices:
        numbers = pl.Series("loose", [rng.randrange(10**_LOOSE_DIGITS) for _ in range(each)])
        digits = numbers.cast(pl.String).str.zfill(_LOOSE_DIGITS).to_frame()
        head, *tails = template.pieces
        parts: list[pl.Expr] = [pl.lit(head)]
        for place, tail in enumerate(tails):
            parts += [pl.col("loose").str.slice(place, 1), pl.lit(tail)]
        frames.append(digits.select(phone=pl.concat_str(parts), country=pl.lit(template.region)))
    mixed = pl.concat(frames).sample(fraction=1.0, shuffle=True, seed=rng.randrange(2**32))
    return mixed.head(count)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("rows", type=int)
    parser.add_argument("file", type=Path)
    chosen = parser.parse_args()
    write(chosen.kind, chosen.rows, chosen.file)
