"""Written phone numbers without end, right and wrong ones, for every region there is.

Made from the example numbers that the metadata ships and from random digits, never from
anybody's list. The same seed gives the same cases.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from functools import cache

import phonenumbers
from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    PhoneMetadata,
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
)

from batch_screen.numbers.convention import Convention

Case = tuple[str, str | None]
"""What a cell holds, and the region of its row."""

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
CODES = sorted(COUNTRY_CODE_TO_REGION_CODE)
SPECIAL = frozenset(
    """
    AR MX BR IT SM VA CI RU KZ US CA GB GG JE IM AG AI AS BB BM BS DM DO GD GU JM KN KY LC MP MS
    PR SX TC TT VC VG VI AU CC CX NF DE AT FR ES JP HK SG CL CO
    """.split()  # noqa: SIM905 (a list of fifty quoted words is harder to read)
)
"""Regions with rules of their own, or with many numbers: every second case is one of theirs."""

_FORMATS = (
    PhoneNumberFormat.E164,
    PhoneNumberFormat.INTERNATIONAL,
    PhoneNumberFormat.NATIONAL,
    PhoneNumberFormat.RFC3966,
)
_DIGITS = {
    name: {ord("0") + i: zero + i for i in range(10)}
    for name, zero in {"full-width": 0xFF10, "arabic": 0x0660, "persian": 0x06F0}.items()
}
_SPACES = ("\u00a0", "\u2009", "\u200b", "\u202a", "\u3000", "\u00ad")


def examples() -> Iterator[tuple[str, PhoneNumber]]:
    """Every region's example of every type, and those of codes without a country."""
    for region in REGIONS:
        for number_type in PhoneNumberType.values():
            if number := phonenumbers.example_number_for_type(region, number_type):
                yield region, number
    for code in phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS:
        if number := phonenumbers.example_number_for_non_geo_entity(code):
            yield "DE", number


def writings(number: PhoneNumber, region: str) -> list[str]:
    """All the ways in which people write a number."""
    national = phonenumbers.national_significant_number(number)
    code = str(number.country_code)
    trunk = phonenumbers.ndd_prefix_for_region(region, strip_non_digits=True) or ""
    formatted = [phonenumbers.format_number(number, form) for form in _FORMATS]
    digits = [national, trunk + national, code + national, code + trunk + national]
    digits += [f"{idd}{code}{national}" for idd in ("00", "011", "+", _idd(region))]
    digits += [f"+{code}{trunk}{national}", f"00{code}{trunk}{national}"]
    written = [*formatted, *digits]
    for text in (*formatted, f"+{code} ({trunk}){national}"):
        written += [re.sub(r"[ ()-]+", mark, text).strip() for mark in (" ", ".", "-", "/", "")]
        written.append(re.sub(r"^(\+?\d+)[ -]", r"(\1) ", text))
    return list(dict.fromkeys(written))


@cache
def _idd(region: str) -> str:
    """A way to dial abroad from the region."""
    metadata = PhoneMetadata.metadata_for_region(region)
    prefix = (metadata.preferred_international_prefix or metadata.international_prefix) or "00"
    return re.sub(r"\D", "", prefix.split("|")[0].replace("[", "").replace("(?:", "")) or "00"


def ordinary() -> Iterator[Case]:
    """Every example in every writing, with and without its region."""
    for region, number in examples():
        for text in writings(number, region):
            yield text, region
            yield text, None


def random_cases(seed: int, count: int) -> Iterator[Case]:
    """Numbers that may or may not exist, in any writing, whole or damaged."""
    rng = random.Random(seed)
    known = list(examples())
    special = [(r, n) for r, n in known if r in SPECIAL]
    for _ in range(count):
        region, number = rng.choice(special if rng.random() < 0.5 else known)
        text = rng.choice(_MAKERS)(rng, region, number)
        if rng.random() < 0.3:
            text = rng.choice(_DAMAGES)(rng, text)
        roll = rng.random()
        row_region = region if roll < 0.6 else rng.choice(REGIONS) if roll < 0.9 else None
        yield text, row_region


def random_conventions(seed: int) -> dict[str, Convention]:
    """A convention for two thirds of the regions."""
    rng = random.Random(seed)
    return {region: rng.choice(list(Convention)) for region in REGIONS if rng.random() < 0.66}


def _neighbour(rng: random.Random, region: str, number: PhoneNumber) -> str:
    """The example with its last digits others, written somehow."""
    national = phonenumbers.national_significant_number(number)
    keep = rng.randrange(len(national))
    other = national[:keep] + "".join(rng.choice("0123456789") for _ in national[keep:])
    changed = PhoneNumber(number.country_code, int(other))
    if other.startswith("0") and len(other) > 1:
        changed.italian_leading_zero = True
        changed.number_of_leading_zeros = min(len(other) - len(other.lstrip("0")), len(other) - 1)
    if rng.random() < 0.5:
        return rng.choice(writings(changed, region))
    return rng.choice((f"+{number.country_code}{other}", other, f"0{other}", f"1{other}"))


def _anything(rng: random.Random, region: str, _: PhoneNumber) -> str:
    """Random digits behind a calling code, an international prefix, a trunk prefix or nothing."""
    digits = "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 14)))
    code = rng.choice(CODES) if rng.random() < 0.8 else rng.randrange(1000)
    starts = (f"+{code}", f"00{code}", f"{_idd(region)}{code}", f"{code}", "0", "1", "8", "")
    return rng.choice(starts) + digits


def _local(rng: random.Random, region: str, _: PhoneNumber) -> str:
    """As many digits as the region's local numbers have, which some plans complete."""
    metadata = PhoneMetadata.metadata_for_region(region)
    desc = metadata.general_desc
    lengths = [*desc.possible_length_local_only, *desc.possible_length]
    return "".join(rng.choice("0123456789") for _ in range(rng.choice(lengths)))


_MAKERS = (_neighbour, _neighbour, _neighbour, _anything, _local)


def _extra(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice("0123456789") + text[at:]


def _missing(rng: random.Random, text: str) -> str:
    at = rng.randrange(max(1, len(text)))
    return text[:at] + text[at + 1 :]


def _transposed(rng: random.Random, text: str) -> str:
    at = rng.randrange(max(1, len(text) - 1))
    return text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]


def _other_script(rng: random.Random, text: str) -> str:
    return text.translate(rng.choice(list(_DIGITS.values())))


def _odd_space(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(_SPACES) + text[at:]


def _junk(rng: random.Random, text: str) -> str:
    return rng.choice(_JUNK).replace("#", text)


def _punctuated(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice([" ", ".", "-", "/", "(", ")", "  ", "+", "[", "]"]) + text[at:]


def _repeated(rng: random.Random, text: str) -> str:
    return text + rng.choice([" ", "/", ",", ";", " / ", ""]) + text


_JUNK = (
    *(" #", "# ", "'#", "''#", '"#"', '="#"', "=#", "#.0", "#.5", "#,", "#.", "tel:#", "Tel #"),
    *("# x12", "# ext. 5", "#\t", "\n#", "#\x00", "mob #", "# (home)", "#E+11", "4.9#E+11", "+#"),
    *("(#)", "[#]", "#-", "-#", "0#", "00#", "#/12", "#/123456", "12.05.2020", "##", "", "n/a"),
)
_DAMAGES: tuple[Callable[[random.Random, str], str], ...] = (
    *(_extra, _missing, _transposed, _other_script, _odd_space, _junk, _punctuated, _repeated),
)
