"""Region cells to regions: codes, calling codes and the names of countries.

The only place that reads what people write for a region; the single cells and the columns both
call it once for each distinct cell.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache

import phonenumbers
from phonenumbers import PhoneMetadata

from batch_screen.config.screening import REGION_ALIASES, Numbers
from batch_screen.errors import ConfigurationError
from batch_screen.masking import plain
from batch_screen.numbers.rules import NO_COUNTRY

NO_REGION, UNKNOWN_REGION = "", "?"
"""In place of a region: the cell is blank, or names none with a numbering plan."""

# Folded words that exports write for nothing. NA is none of them: it is Namibia.
_NOTHING = frozenset(
    (
        "null",
        "none",
        "nan",
        "nil",
        "n/a",
        "#n/a",
        "<na>",
        "(null)",
        "unknown",
        "undefined",
        "-",
        ".",
    )
)
_LOCALE = re.compile(r"[A-Za-z]{2}[-_]([A-Z]{2})")
# Where a cell was empty, some exports write 49 as 49.0.
_CALLING_CODE = re.compile(r"(?:\+|00)?([0-9]{1,4}|1[ -]?[0-9]{3})(?:\.0)?")
# Languages whose names of countries are read: those of most lists, and the larger ones.
_LANGUAGES = (
    *("en", "de", "fr", "es", "it", "pt", "nl", "pl", "cs", "sk", "hu", "ro", "bg", "el", "hr"),
    *("sr", "sl", "sv", "da", "nb", "fi", "is", "et", "lv", "lt", "ru", "uk", "tr", "ar", "fa"),
    *("he", "hi", "zh", "ja", "ko", "id", "ms", "vi", "th"),
)
# Names in use that are not the one of CLDR.
_OTHER_NAMES = {
    "United States of America": "US",
    "Great Britain": "GB",
    "England": "GB",
    "Scotland": "GB",
    "Wales": "GB",
    "Northern Ireland": "GB",
    "Czech Republic": "CZ",
    "Turkey": "TR",
    "Holland": "NL",
    "Ivory Coast": "CI",
    "Macedonia": "MK",
    "Swaziland": "SZ",
    "Burma": "MM",
    "Cape Verde": "CV",
    "Korea": "KR",
    "Republic of Korea": "KR",
    "Russian Federation": "RU",
    "Viet Nam": "VN",
    "XKX": "XK",
}
_OF_TWO = ("Congo", "Kongo")
"""Names of one country in CLDR that people use for two countries."""


@lru_cache(maxsize=4096)
def region_of(cell: str | None) -> str:
    """The region that a cell names, or ``NO_REGION`` or ``UNKNOWN_REGION``.

    >>> [region_of(cell) for cell in (" de ", "uk", "DEU", "Deutschland", "+49", "1-876", "de-DE")]
    ['DE', 'GB', 'DE', 'DE', 'DE', 'JM', 'DE']
    >>> region_of(None), region_of("n/a"), region_of("Atlantis")
    ('', '', '?')
    """
    text = (cell or "").strip()
    code = text.replace(".", "").upper()  # U.K.
    code = REGION_ALIASES.get(code, code)
    if code in phonenumbers.SUPPORTED_REGIONS:
        return code
    if (locale := _LOCALE.fullmatch(text)) and locale[1] in phonenumbers.SUPPORTED_REGIONS:
        return locale[1]
    if not text or text.casefold() in _NOTHING:
        return NO_REGION
    if calling := _CALLING_CODE.fullmatch(text):
        return _region_of_code(re.sub("[ -]", "", calling[1]))
    return _regions_by_name().get(_folded(text), UNKNOWN_REGION)


def _region_of_code(digits: str) -> str:
    """The main region behind a calling code; for 1 with an area code, the region of that."""
    if len(digits) == 4:
        for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1]:
            metadata = PhoneMetadata.metadata_for_region(region)
            leading = metadata.leading_digits if metadata else None
            if digits[0] == "1" and leading and re.fullmatch(leading, digits[1:]):
                return region
        return UNKNOWN_REGION
    region = phonenumbers.region_code_for_country_code(int(digits))
    return region if region in phonenumbers.SUPPORTED_REGIONS else UNKNOWN_REGION


@cache
def _regions_by_name() -> dict[str, str]:
    """Regions by their three-letter codes and their folded names; none that two share."""
    # Half a second, which only lists with names pay.
    from babel import Locale  # noqa: PLC0415
    from babel.core import get_global  # noqa: PLC0415

    found: dict[str, set[str]] = {}
    for language in _LANGUAGES:
        for region, name in Locale(language).territories.items():
            found.setdefault(_folded(name), set()).add(region)
    for alias, regions in get_global("territory_aliases").items():
        if len(alias) == 3 and alias.isalpha():
            found.setdefault(_folded(alias), set()).update(regions)
    found |= {_folded(name): {region} for name, region in _OTHER_NAMES.items()}
    for name in _OF_TWO:
        del found[_folded(name)]
    known = phonenumbers.SUPPORTED_REGIONS
    return {
        name: next(iter(regions))
        for name, regions in found.items()
        if len(regions) == 1 and regions <= known
    }


def _folded(name: str) -> str:
    """A name without case, accents, spaces and punctuation: U.S.A. is USA."""
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    return "".join(filter(str.isalnum, decomposed))


def default_region_of(setting: str) -> str:
    """The region of ``input.default_region``. ``ConfigurationError`` if there is no such."""
    region = region_of(setting)
    if region == UNKNOWN_REGION:
        raise ConfigurationError(
            f"input.default_region is {plain(setting, 10)!r}, which is no region with"
            " a numbering plan; write a two-letter code such as DE, or the country's name"
        )
    return region


def refuse_unknown_regions(settings: Numbers) -> None:
    """Raises ``ConfigurationError`` for a listed region without a numbering plan."""
    known = {*phonenumbers.SUPPORTED_REGIONS, NO_COUNTRY}
    for name in ("allowed_regions", "denied_regions"):
        for code in getattr(settings, name):
            if code not in known:
                raise ConfigurationError(
                    f"numbers.{name} names {code!r}, which is no region with a numbering plan; "
                    "write two-letter ISO 3166-1 codes such as DE, or 001 for numbers of no country"
                )
