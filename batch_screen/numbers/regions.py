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

from batch_screen.config.parsing import REGION_ALIASES
from batch_screen.config.settings import Settings
from batch_screen.errors import ConfigurationError
from batch_screen.masking import plain
from batch_screen.numbers.clean import ascii_text
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
        "(blank)",
        r"\n",
        "-",
        ".",
    )
)
# de-DE is a locale, and DE-BY the ISO 3166-2 code of a part of DE.
_LOCALE = re.compile(r"[a-z]{2}[-_]([A-Z]{2})")
_TWO_CODES = re.compile(r"([A-Za-z]{2})[-_]([A-Za-z]{2,3})")
# Where a cell was empty, some exports write 49 as 49.0. No code starts with 0: 040 is Austria's
# number in ISO 3166-1.
_CALLING_CODE = re.compile(r"(?:\+|00)?([1-9][0-9]{0,3})(?:\.0)?")
_BETWEEN = re.compile(r" *[()/|;:,] *| +[-–] +|(?<=[0-9]) +(?=[^0-9])|(?<=[^0-9+]) +(?=\+)")
"""What stands between a name and a code: Germany (DE), DE - Germany, +49 Germany."""

# Languages whose names of countries are read: those of most lists, and the larger ones.
_LANGUAGES = (
    *("en", "de", "fr", "es", "it", "pt", "nl", "pl", "cs", "sk", "hu", "ro", "bg", "el", "hr"),
    *("sr", "sl", "sv", "da", "nb", "fi", "is", "et", "lv", "lt", "ru", "uk", "tr", "ar", "fa"),
    *("he", "hi", "zh", "ja", "ko", "id", "ms", "vi", "th"),
)
# Names in use that are not the one of CLDR, those of ISO 3166 among them.
_OTHER_NAMES = {
    "AE": ("UAE",),
    "BA": ("Bosnia",),
    "BO": ("Bolivia, Plurinational State of",),
    "CD": ("DRC", "DR Congo", "Democratic Republic of Congo", "Congo, Democratic Republic of"),
    "CG": ("Republic of Congo",),
    "CI": ("Ivory Coast",),
    "CN": ("PRC", "P.R. China", "People's Republic of China", "Mainland China"),
    "CV": ("Cape Verde",),
    "CZ": ("Czech Republic",),
    "DE": ("BRD", "Federal Republic of Germany"),
    "FK": ("Falkland Islands (Malvinas)",),
    "FM": ("Micronesia, Federated States of",),
    "GB": (
        *("Great Britain", "England", "Scotland", "Wales", "Northern Ireland"),
        "United Kingdom of Great Britain and Northern Ireland",
    ),
    "HK": ("Hong Kong",),
    "IE": ("Eire", "Republic of Ireland"),
    "IR": ("Iran, Islamic Republic of", "Islamic Republic of Iran"),
    "KP": ("Korea, Democratic People's Republic of", "Democratic People's Republic of Korea"),
    "KR": ("Korea", "Korea, Republic of", "Republic of Korea"),
    "LA": ("Lao PDR", "Lao People's Democratic Republic"),
    "MD": ("Moldova, Republic of", "Republic of Moldova"),
    "MK": ("Macedonia", "Republic of North Macedonia"),
    "MM": ("Burma",),
    "MO": ("Macao", "Macau"),
    "NL": ("Holland", "Netherlands, Kingdom of the"),
    "PS": ("Palestine", "Palestine, State of", "State of Palestine"),
    "RU": ("Russian Federation",),
    "SA": ("KSA", "Kingdom of Saudi Arabia"),
    "SY": ("Syrian Arab Republic",),
    "SZ": ("Swaziland",),
    "TR": ("Turkey",),
    "TW": ("Taiwan, Province of China",),
    "TZ": ("Tanzania, United Republic of", "United Republic of Tanzania"),
    "US": ("United States of America",),
    "VA": ("Holy See",),
    "VE": ("Venezuela, Bolivarian Republic of",),
    "VG": ("Virgin Islands, British",),
    "VI": ("Virgin Islands, U.S.",),
    "VN": ("Viet Nam",),
    "XK": ("XKX",),
}
_FILLERS = re.compile(r"\b(?:the|and|st|saint)\b")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_OF_TWO = ("Congo", "Kongo")
"""Names of one country in CLDR that people use for two countries."""


@lru_cache(maxsize=4096)
def region_of(cell: str | None) -> str:
    """The region that a cell names, or ``NO_REGION`` or ``UNKNOWN_REGION``.

    >>> [region_of(cell) for cell in (" de ", "uk", "DEU", "Deutschland", "+49", "1-876", "de-DE")]
    ['DE', 'GB', 'DE', 'DE', 'DE', 'JM', 'DE']
    >>> region_of(None), region_of("n/a"), region_of("Atlantis"), region_of("Germany (+49)")
    ('', '', '?', 'DE')
    """
    text = unicodedata.normalize("NFKC", cell or "").strip()
    if not text or text.casefold() in _NOTHING:
        return NO_REGION
    region = _named(text)
    return _of_parts(text) if region == UNKNOWN_REGION else region


def _named(text: str) -> str:
    """The region of a single code or name."""
    plain_text = ascii_text(text).strip()  # a code's digits may be Arabic
    code = plain_text.replace(".", "").upper()  # U.K.
    code = REGION_ALIASES.get(code, code)
    if code in phonenumbers.SUPPORTED_REGIONS:
        return code
    if (locale := _LOCALE.fullmatch(plain_text)) and locale[1] in phonenumbers.SUPPORTED_REGIONS:
        return locale[1]
    if two := _TWO_CODES.fullmatch(plain_text):
        # US-CA is California to some and Canada to others.
        found = {each.upper() for each in two.groups()} & phonenumbers.SUPPORTED_REGIONS
        return found.pop() if len(found) == 1 else UNKNOWN_REGION
    if calling := _CALLING_CODE.fullmatch(re.sub("[ ()-]", "", plain_text)):
        return _region_of_code(calling[1])
    return _regions_by_name().get(_folded(text), UNKNOWN_REGION)


def _of_parts(text: str) -> str:
    """The region of a name with a code beside it, where they agree."""
    parts = [part for part in _BETWEEN.split(text) if part]
    codes = [part for part in parts if part[-1].isdigit()]
    names = {_named(part) for part in parts if part not in codes}
    if len(parts) == 1 or len(names) != 1 or UNKNOWN_REGION in names:
        return UNKNOWN_REGION
    [region] = names
    # Canada (+1) names two regions behind one calling code.
    behind = {phonenumbers.country_code_for_region(_named(code)) for code in codes}
    return region if behind <= {phonenumbers.country_code_for_region(region)} else UNKNOWN_REGION


def calling_code(region: str) -> str:
    """The calling code of a region, without a plus; 0 where it has none of its own."""
    return str(phonenumbers.country_code_for_region(region))


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
            if language == "de":
                found.setdefault(_folded(name.translate(_UMLAUTS)), set()).add(region)
    for alias, regions in get_global("territory_aliases").items():
        if len(alias) == 3 and alias.isalpha():
            found.setdefault(_folded(alias), set()).update(regions)
    found |= {_folded(name): {region} for region, names in _OTHER_NAMES.items() for name in names}
    for name in _OF_TWO:
        del found[_folded(name)]
    known = phonenumbers.SUPPORTED_REGIONS
    return {
        name: next(iter(regions))
        for name, regions in found.items()
        if len(regions) == 1 and regions <= known
    }


def _folded(name: str) -> str:
    """A name without case, accents, spaces and punctuation: U.S.A. is USA.

    Nor has it articles, "and" and "Saint", which are written in several ways.
    """
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    letters = "".join(filter(str.isalnum, _FILLERS.sub(" ", decomposed)))
    return letters or "".join(filter(str.isalnum, decomposed))


def default_region_of(setting: str) -> str:
    """The region of ``input.default_region``. ``ConfigurationError`` if there is no such."""
    region = region_of(setting)
    if region == UNKNOWN_REGION:
        raise ConfigurationError(
            f"input.default_region is {plain(setting, 10)!r}, which is no region with"
            " a numbering plan; write a two-letter code such as DE, or the country's name"
        )
    return region


def refuse_unknown_regions(settings: Settings) -> None:
    """Raises ``ConfigurationError`` for a region without a numbering plan in any setting."""
    known = {*phonenumbers.SUPPORTED_REGIONS, NO_COUNTRY}
    named = {
        "numbers.allowed_regions": settings.numbers.allowed_regions,
        "numbers.denied_regions": settings.numbers.denied_regions,
        "pacing.rate_per_second_by_region": settings.pacing.rate_per_second_by_region,
        "api.keys_by_region": settings.api.keys_by_region,
    }
    for name, codes in named.items():
        for code in codes:
            if code not in known:
                raise ConfigurationError(
                    f"{name} names {code!r}, which is no region with a numbering plan; "
                    "write two-letter ISO 3166-1 codes such as DE, or 001 for numbers of no country"
                )
