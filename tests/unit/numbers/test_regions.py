from __future__ import annotations

import phonenumbers
import pytest

from batch_screen.numbers.regions import NO_REGION, UNKNOWN_REGION, region_of


@pytest.mark.parametrize(
    ("cells", "region"),
    [
        (
            ["DE", "de", " De ", "DEU", "deu", "Germany", "GERMANY", "Deutschland", "Allemagne"],
            "DE",
        ),
        (["49", "+49", "0049", " 49 ", "de-DE", "en_DE"], "DE"),
        (["GB", "UK", "uk", "U.K.", "GBR", "Great Britain", "United Kingdom", "44"], "GB"),
        (["EL", "GR", "GRC", "Ελλάδα", "greece"], "GR"),
        (["USA", "U.S.A.", "United States", "United States of America", "1", "+1"], "US"),
        (["Österreich", "Osterreich", "AUT", "Austria"], "AT"),
        (["Côte d’Ivoire", "Cote d'Ivoire", "Ivory Coast", "CIV"], "CI"),
        (["Türkiye", "Turkey", "TUR", "Türkei"], "TR"),
        (["1-876", "1876", "+1 876", "1-658"], "JM"),
        (["NA", "NAM", "Namibia"], "NA"),
        (["日本", "Japan", "JPN", "81"], "JP"),
        (["XKX", "Kosovo", "383"], "XK"),
        (["Germany (DE)", "DE - Germany", "Germany (+49)", "+49 Germany", "Germany, 49"], "DE"),
        (["(+49)", "+ 49", "00 49", "٤٩", "\ufeffDE", "ＤＥ", "DE\u00a0", "EN-DE"], "DE"),
        (["Hong Kong", "Hong Kong SAR China"], "HK"),
        (["The Netherlands", "Netherlands, The", "Netherlands (Kingdom of the)"], "NL"),
        (["Trinidad and Tobago", "Trinidad & Tobago"], "TT"),
        (["St. Vincent and the Grenadines", "Saint Vincent & Grenadines"], "VC"),
        (["Iran, Islamic Republic of", "Iran (Islamic Republic of)"], "IR"),
        (["Korea, Republic of", "Korea (Republic of)", "South Korea"], "KR"),
        (["Korea, Democratic People's Republic of", "North Korea"], "KP"),
        (["Oesterreich", "OESTERREICH"], "AT"),
        (["Canada (+1)", "+1 Canada"], "CA"),
        (["US-NY", "us-ny", "US-TX"], "US"),
    ],
)
def test_as_people_write_them(cells: list[str], region: str) -> None:
    assert {cell: region_of(cell) for cell in cells} == dict.fromkeys(cells, region)


@pytest.mark.parametrize(
    "cell",
    [None, "", "  ", "NULL", "null", "nan", "NaN", "None", "N/A", "n/a", "-", "\t", "(null)"],
)
def test_words_for_nothing(cell: str | None) -> None:
    assert region_of(cell) == NO_REGION


@pytest.mark.parametrize(
    "cell",
    [
        *("Atlantis", "Congo", "Kongo", "XX", "999", "0", "1234", "DE, AT", "+", "ZZZ", "?"),
        # California and Canada, Bavaria and Belarus.
        *("US-CA", "DE-BY", "us-ca", "Georgia, USA", "Germany (+43)", "+49/+43", "Canada (US)"),
        # Austria and Belgium in ISO 3166-1, Romania and Chile as calling codes.
        *("040", "056"),
        "Germany, +49 171 3920012",
    ],
)
def test_what_names_no_region_or_two_is_unknown(cell: str) -> None:
    assert region_of(cell) == UNKNOWN_REGION


def test_the_names_of_all_languages_are_read_as_no_other_region() -> None:
    from babel import Locale

    named = {
        (language, region): region_of(name)
        for language in ("ar", "de", "en", "es", "fr", "hi", "ja", "ru", "tr", "zh")
        for region, name in Locale(language).territories.items()
        if region in phonenumbers.SUPPORTED_REGIONS
    }
    wrong = {key: found for key, found in named.items() if found not in (key[1], UNKNOWN_REGION)}
    assert wrong == {}
    assert sum(found == UNKNOWN_REGION for found in named.values()) < 10


def test_every_region_is_known_by_its_code_and_by_its_english_name() -> None:
    from babel import Locale

    english = Locale("en").territories
    named = {region: region_of(english[region]) for region in phonenumbers.SUPPORTED_REGIONS}
    assert {region: found for region, found in named.items() if found != region} == {}
    assert {
        region for region in phonenumbers.SUPPORTED_REGIONS if region_of(region) != region
    } == set()
