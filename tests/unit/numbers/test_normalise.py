from __future__ import annotations

import re
from itertools import product

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batch_screen.config.screening import Ambiguous, Numbers, Strictness
from batch_screen.errors import ConfigurationError
from batch_screen.model import ColumnKind
from batch_screen.numbers.convention import Convention
from batch_screen.numbers.normalise import Normaliser, metadata_version
from batch_screen.numbers.rules import Accepted, Reject, RejectReason

MOBILE = "+491713920012"
REGIONS = ["DE", "AT", "GB", "FR", "IT", "ES", "CH", "PL", "US"]
MOBILES = [
    phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    for region in REGIONS
    if (number := phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE))
]


def judge(
    raw: str | None,
    region: str = "DE",
    kind: ColumnKind = ColumnKind.TEXT,
    *,
    cell_region: str | None = None,
    **settings: object,
) -> Accepted | Reject:
    return Normaliser(Numbers.model_validate(settings), region, kind).normalise(raw, cell_region)


def accepted(raw: str, region: str = "DE", **more: object) -> Accepted:
    result = judge(raw, region, **more)  # type: ignore[arg-type]
    assert isinstance(result, Accepted), result
    return result


def refused(raw: str, region: str = "DE", **more: object) -> RejectReason:
    result = judge(raw, region, **more)  # type: ignore[arg-type]
    assert isinstance(result, Reject), result
    return result.reason


@pytest.mark.parametrize(
    ("raw", "region", "e164", "rule"),
    [
        ("+491713920012", "", MOBILE, "international_plus"),
        ("+491713920012", "US", MOBILE, "international_plus"),
        ("+49 (0)171 3920012", "", MOBILE, "international_plus"),
        ("+49 171 3920012 x12", "", MOBILE, "international_plus+extension_dropped"),
        ("'+491713920012", "", MOBILE, "international_plus+excel_undone"),
        ('="+49 171 3920012 ext. 1"', "", MOBILE,
         "international_plus+excel_undone+extension_dropped"),
        ("0049 171 3920012", "DE", MOBILE, "international_00"),
        ("011 49 171 3920012", "US", MOBILE, "international_idd"),
        ("0011 49 171 3920012", "AU", MOBILE, "international_idd"),
        ("tel:+49-171-3920012;ext=1", "", MOBILE, "tel_uri+extension_dropped"),
        ("tel:0171-3920012;phone-context=+49", "", MOBILE, "tel_uri"),
        ("0171 3920012", "DE", MOBILE, "national"),
        ("(0171) 39200-12", "DE", MOBILE, "national"),
        ("1713920012", "DE", MOBILE, "national"),
        ("030 23125123", "DE", "+493023125123", "national"),
        ("06 12345678", "IT", "+390612345678", "national"),
        ("(212) 555-0123", "US", "+12125550123", "national"),
        ("8 916 123-45-67", "RU", "+79161234567", "national"),
        ("491713920012", "DE", MOBILE, "digits_international"),
        ("4915123456789", "DE", "+4915123456789", "digits_international"),
        ("49 171 3920012", "DE", MOBILE, "digits_international"),
        ("49 (0)171 3920012", "DE", MOBILE, "digits_international"),
        ("1 212 555 0123", "US", "+12125550123", "digits_international"),
        ("(246) 410-0190", "BB", "+12464100190", "national"),
        ("2464100190", "BB", "+12464100190", "national"),
        ("(201) 555-0123", "US", "+12015550123", "national"),
        ("[201] 555-0123", "US", "+12015550123", "national"),
        ("+39 39 1234 5678", "", "+393912345678", "international_plus"),
    ],
)  # fmt: skip
def test_accepted(raw: str, region: str, e164: str, rule: str) -> None:
    result = accepted(raw, region)
    assert (result.e164, result.rule) == (e164, rule)


@pytest.mark.parametrize(
    ("raw", "region", "reason"),
    [
        ("0171 3920012", "", RejectReason.NO_REGION),
        ("491713920012", "", RejectReason.NO_REGION),
        ("0049 171 3920012", "US", RejectReason.DOUBLE_ZERO),
        ("0049 171 3920012", "", RejectReason.DOUBLE_ZERO),
        ("0049 171 3920012", "BR", RejectReason.DOUBLE_ZERO),
        ("0086 131 2345 678", "HK", RejectReason.AMBIGUOUS),
        ("112", "DE", RejectReason.SHORT_CODE),
        ("116117", "DE", RejectReason.SHORT_CODE),
        ("23125123", "DE", RejectReason.MISSING_AREA_CODE),
        ("3023125123", "DE", RejectReason.MISSING_AREA_CODE),
        ("555-0123", "US", RejectReason.MISSING_AREA_CODE),
        ("+999 123456", "DE", RejectReason.UNKNOWN_COUNTRY_CODE),
        ("+0171 3920012", "DE", RejectReason.UNKNOWN_COUNTRY_CODE),
        ("+1713920012", "DE", RejectReason.TOO_SHORT),
        ("+1 212 555 01234", "DE", RejectReason.TOO_LONG),
        ("+491234567890", "DE", RejectReason.NOT_VALID),
        ("07700 900123", "GB", RejectReason.NOT_VALID),
        ("442079460000", "DE", RejectReason.AMBIGUOUS),
        ("(44) 20 7946 0000", "DE", RejectReason.AMBIGUOUS),
        ("33612345678", "DE", RejectReason.AMBIGUOUS),
        ("491713920012", "US", RejectReason.TOO_LONG),
        ("(202) 555-0127 (5)", "US", RejectReason.TOO_LONG),
        ("1 55 1234 5678", "MX", RejectReason.TOO_LONG),
        ("+49 (0)49 171 3920012", "", RejectReason.AMBIGUOUS),
        ("+49 49 171 3920012", "", RejectReason.AMBIGUOUS),
        ("0049 49 30 23125123", "DE", RejectReason.AMBIGUOUS),
        ("4949 171 3920012", "DE", RejectReason.AMBIGUOUS),
        ("+6262 812 3456 789", "", RejectReason.AMBIGUOUS),
        ("2015550123", "US", RejectReason.AMBIGUOUS),
        ("8 495 123 45 67", "RU", RejectReason.AMBIGUOUS),
        ("4.91711E+11", "DE", RejectReason.SCIENTIFIC_NOTATION),
        ("491711234567.0", "DE", RejectReason.FLOAT_ARTEFACT),
        ("1-800-FLOWERS", "US", RejectReason.VANITY_LETTERS),
        ("0171 3920012; 0171 3920013", "DE", RejectReason.MULTIPLE_NUMBERS),
    ],
)
def test_rejected(raw: str, region: str, reason: RejectReason) -> None:
    assert refused(raw, region) is reason


@pytest.mark.parametrize("e164", MOBILES)
def test_a_foreign_mobile_without_its_plus_is_never_somebody_else(e164: str) -> None:
    for region, kind in product(REGIONS, (ColumnKind.TEXT, ColumnKind.INTEGER)):
        result = judge(e164[1:], region, kind)
        assert isinstance(result, Reject) or result.e164 == e164, region


@pytest.mark.parametrize("e164", MOBILES)
def test_digits_with_their_country_code_are_read_as_such_in_their_region(e164: str) -> None:
    region = phonenumbers.region_code_for_number(phonenumbers.parse(e164))
    assert accepted(e164[1:], region).e164 == e164


def test_both_readings_of_an_ambiguous_cell_are_named_and_masked() -> None:
    assert judge("442079460000", "DE") == Reject(
        RejectReason.AMBIGUOUS, "national +4944••••••••00, international +4420••••••00"
    )


def test_a_foreign_mobile_does_not_beat_a_valid_landline_of_a_closed_plan() -> None:
    # A Coventry landline without its 0, and a mobile number in Gabon.
    assert refused("2413737419", "GB") is RejectReason.AMBIGUOUS
    # A Polish landline as Poles write it, and a mobile number in New Caledonia.
    assert refused("687874540", "PL") is RejectReason.AMBIGUOUS


@pytest.mark.parametrize(
    ("raw", "region", "convention", "e164", "rule"),
    [
        ("15123456789", "DE", "national", "+4915123456789", "national_by_list"),
        ("2015550123", "US", "national", "+12015550123", "national_by_list"),
        ("49 221 123456", "DE", "international", "+49221123456", "international_by_list"),
        # Beyond doubt before any convention, or written nationally.
        ("491713920012", "DE", "international", MOBILE, "digits_international"),
        ("(201) 555-0123", "US", "international", "+12015550123", "national"),
    ],
)
def test_the_convention_of_a_list_decides_what_is_in_doubt(
    raw: str, region: str, convention: str, e164: str, rule: str
) -> None:
    normaliser = Normaliser(Numbers(), region, conventions={region: Convention(convention)})
    result = normaliser.normalise(raw)
    assert isinstance(result, Accepted)
    assert (result.e164, result.rule) == (e164, rule)


@pytest.mark.parametrize("raw", ["+49 49 171 3920012", "0049 49 171 3920012", "049 171 3920012"])
def test_a_landline_that_looks_like_a_code_written_twice_can_be_listed(raw: str) -> None:
    assert refused(raw, "DE") is RejectReason.AMBIGUOUS
    found = accepted(raw, "DE", test_numbers=("+49491713920012",))
    assert (found.e164, found.rule) == ("+49491713920012", "test_number")


@pytest.mark.parametrize(
    ("raw", "region", "convention"),
    [
        ("15123456789", "DE", "international"),  # another country's, whatever the list does
        ("2015550123", "US", "international"),
        ("442079460000", "DE", "national"),  # a landline without its zero may lack its area code
        ("491713920012", "DE", "national"),  # a landline may begin as the country code does
        ("62812345678", "ID", "national"),
    ],
)
def test_no_convention_makes_a_stranger_of_it(raw: str, region: str, convention: str) -> None:
    normaliser = Normaliser(Numbers(), region, conventions={region: Convention(convention)})
    assert isinstance(normaliser.normalise(raw), Reject)


def test_a_setting_forces_the_international_reading() -> None:
    result = accepted("442079460000", "DE", ambiguous=Ambiguous.INTERNATIONAL)
    assert (result.e164, result.rule) == ("+442079460000", "digits_forced_international")
    forced = {"ambiguous": Ambiguous.INTERNATIONAL}
    assert accepted("491713920012", "", **forced).e164 == MOBILE
    assert accepted("0171 3920012", "DE", **forced).rule == "national"
    # A digit is missing: the national reading would be a stranger's landline.
    assert refused("1713920012", "DE", **forced) is RejectReason.TOO_SHORT


def test_a_setting_forces_the_national_reading() -> None:
    result = accepted("2015550123", "US", ambiguous=Ambiguous.NATIONAL)
    assert (result.e164, result.rule) == ("+12015550123", "digits_forced_national")


def test_00_is_a_plus_everywhere_where_the_setting_says_so() -> None:
    for region in ("US", "DE", "HK", "BR", ""):
        result = accepted("0049 171 3920012", region, double_zero_is_plus=True)
        assert (result.e164, result.rule) == (MOBILE, "international_00")


@pytest.mark.parametrize(
    ("raw", "region", "possible", "valid", "mobile"),
    [
        ("+491713920012", "DE", True, True, True),
        ("+12125550123", "US", True, True, True),  # landline or mobile: mobile-capable
        ("+493023125123", "DE", True, True, RejectReason.NOT_MOBILE),
        ("+491234567890", "DE", True, RejectReason.NOT_VALID, RejectReason.NOT_VALID),
        ("+200097325698", "EG", RejectReason.NOT_POSSIBLE, RejectReason.NOT_VALID,
         RejectReason.NOT_VALID),
        ("112", "DE", *(RejectReason.SHORT_CODE,) * 3),
    ],
)  # fmt: skip
def test_strictness(raw: str, region: str, possible: object, valid: object, mobile: object) -> None:
    for strictness, expected in zip(Strictness, (possible, valid, mobile), strict=True):
        result = judge(raw, region, strictness=strictness)
        assert (isinstance(result, Accepted) or result.reason) == expected


def test_test_numbers_bypass_every_check() -> None:
    listed = ("+491234567890", "+123456789", "+447700900123")
    for raw in ("+49 123 4567890", "00491234567890", "491234567890"):
        result = accepted(raw, "DE", test_numbers=listed)
        assert (result.e164, result.rule) == ("+491234567890", "test_number")
    result = accepted("+123456789", "DE", test_numbers=listed)
    assert (result.e164, result.region, result.number_type) == ("+123456789", None, "unknown")
    assert accepted("07700 900123", "GB", test_numbers=listed).rule == "test_number"
    assert refused("+123456788", "DE", test_numbers=listed) is RejectReason.TOO_SHORT


def test_a_test_number_must_still_be_e164() -> None:
    unchecked = Numbers.model_construct(test_numbers=("+1234",))
    result = Normaliser(unchecked, "DE").normalise("+1234")
    assert isinstance(result, Reject)
    assert result.reason is RejectReason.TOO_SHORT


def test_integer_columns_have_lost_their_zeros_and_say_so() -> None:
    mobile = accepted("1713920012", "DE", kind=ColumnKind.INTEGER)
    assert (mobile.e164, mobile.rule) == (MOBILE, "national+integer_column")
    landline = accepted("3023125123", "DE", kind=ColumnKind.INTEGER)
    assert (landline.e164, landline.rule) == ("+493023125123", "national+integer_column")
    international = accepted("491713920012", "DE", kind=ColumnKind.INTEGER)
    assert international.rule == "digits_international+integer_column"


def test_float_columns_lose_their_zero_behind_the_point_and_say_so() -> None:
    result = accepted("491713920012.0", "DE", kind=ColumnKind.FLOAT)
    assert (result.e164, result.rule) == (MOBILE, "digits_international+float_column")


def test_vanity_letters_where_allowed() -> None:
    result = accepted("1-800-FLOWERS", "US", vanity_letters=True)
    assert (result.e164, result.number_type) == ("+18003569377", "toll_free")
    assert result.rule == "digits_international+vanity"


@pytest.mark.parametrize("cell_region", ["GB", "gb", " Gb ", "UK", "uk"])
def test_the_rows_own_region_comes_before_the_default(cell_region: str) -> None:
    assert accepted("07400 123456", "DE", cell_region=cell_region).e164 == "+447400123456"


@pytest.mark.parametrize("cell_region", [None, "", "  "])
def test_a_blank_region_cell_means_the_default(cell_region: str | None) -> None:
    assert accepted("0171 3920012", "DE", cell_region=cell_region).e164 == MOBILE


@pytest.mark.parametrize("cell_region", ["Atlantis", "XYZ", "XX", "999", "1234", "?"])
def test_an_unknown_region_rejects_only_what_needs_one(cell_region: str) -> None:
    assert refused("0171 3920012", cell_region=cell_region) is RejectReason.UNKNOWN_REGION
    assert refused("00491713920012", cell_region=cell_region) is RejectReason.UNKNOWN_REGION
    assert accepted("+491713920012", cell_region=cell_region).e164 == MOBILE


def test_an_unknown_default_region_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="default_region is 'XX'"):
        Normaliser(Numbers(), "XX")
    assert accepted("07400 123456", "UK").region == "GB"


@pytest.mark.parametrize(
    ("raw", "region", "number_type"),
    [
        ("+491713920012", "DE", "mobile"),
        ("+493023125123", "DE", "fixed_line"),
        ("+12125550123", "US", "fixed_line_or_mobile"),
        ("+80012345678", "001", "toll_free"),
        ("+447400123456", "GB", "mobile"),
        ("+447781123456", "GG", "mobile"),
    ],
)
def test_region_and_type_of_the_number_itself(raw: str, region: str, number_type: str) -> None:
    result = accepted(raw, "FR")
    assert (result.region, result.number_type) == (region, number_type)


def test_the_metadata_version_is_recorded() -> None:
    assert metadata_version() == phonenumbers.__version__


NORMALISERS = [
    Normaliser(
        Numbers(strictness=strictness, ambiguous=ambiguous, vanity_letters=ambiguous == "national"),
        region,
        kind,
    )
    for strictness in Strictness
    for ambiguous in Ambiguous
    for region in ("", "DE", "US", "HK", "RU")
    for kind in ColumnKind
]
PHONE_LIKE = st.text("0123456789٠１+()-/. ;,x=\"'\u00a0\u200b", max_size=24)
CELLS = st.one_of(
    st.text(max_size=40),
    PHONE_LIKE,
    st.from_regex(r"(\+|00|0|tel:\+)?[0-9]{3,17}(\.0| ext\. ?[0-9]{1,3})?", fullmatch=True),
)


@given(CELLS, st.sampled_from(NORMALISERS), st.none() | st.sampled_from(["DE", "AU", "??"]))
@example("+", NORMALISERS[0], None)
@example("000", NORMALISERS[5], "DE")
@example("+491713920012\n", NORMALISERS[0], None)
def test_any_text_gives_e164_or_a_masked_reject(
    raw: str, normaliser: Normaliser, region: str | None
) -> None:
    result = normaliser.normalise(raw, region)
    if isinstance(result, Reject):
        assert not re.search(r"[0-9]{7}", result.detail or "")
        return
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", result.e164)
    assert result.e164.isascii()


@given(CELLS, st.sampled_from(NORMALISERS))
def test_normalising_twice_changes_nothing(raw: str, normaliser: Normaliser) -> None:
    once = normaliser.normalise(raw, None)
    if isinstance(once, Accepted) and normaliser.column_kind is ColumnKind.TEXT:
        twice = normaliser.normalise(once.e164, None)
        assert isinstance(twice, Accepted)
        assert (twice.e164, twice.region, twice.number_type) == (
            once.e164,
            once.region,
            once.number_type,
        )
        assert twice.rule == "international_plus"
