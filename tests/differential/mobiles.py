"""Random valid mobile numbers of every region, drawn evenly from the metadata's ranges."""

from __future__ import annotations

import random
from functools import cache

import phonenumbers

from batch_screen.numbers.columnar.plans import CODES, MOBILE_TYPES, TYPES, places, types_of
from batch_screen.numbers.parse import is_short_code

_MOST_DIGITS = 15


def random_mobiles(region: str, count: int, rng: random.Random) -> list[str]:
    """National digits of valid mobile numbers of the region; none where it has no mobiles."""
    ranges = _mobile_ranges(region)
    weights = [end - begin for begin, end, _ in ranges]
    found = []
    for begin, end, length in rng.choices(ranges, weights, k=count) if ranges else ():
        digits = f"{rng.randrange(begin, end):0{length}}"
        if digits[0] != "0" and not is_short_code(digits, region):
            found.append(digits)
    return found


@cache
def _mobile_ranges(region: str) -> list[tuple[int, int, int]]:
    """Ranges of valid mobile numbers: the first, the one behind the last, and their length."""
    code = CODES.index(phonenumbers.country_code_for_region(region))
    found = []
    for length in range(4, _MOST_DIGITS):
        ranges = types_of(CODES[code], length)
        ends = [begin for begin, _ in ranges[1:]] + [10**length]
        for (begin, verdict), end in zip(ranges, ends, strict=True):
            place, number_type = divmod(verdict, len(TYPES))
            if place == places()[region] + 1 and TYPES[number_type] in MOBILE_TYPES:
                found.append((begin, end, length))
    return found
