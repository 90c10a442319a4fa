from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.model import ColumnKind
from batch_screen.numbers.clean import MAX_CELL_CHARACTERS, Cell, clean
from batch_screen.numbers.rules import Modifier, Reject, RejectReason

MOBILE = "491713920012"
FULL_WIDTH = "+49 171 3920012".translate({c: c + 0xFEE0 for c in range(ord("+"), ord("9") + 1)})
ARABIC_INDIC = "01713920012".translate({ord("0") + n: 0x660 + n for n in range(10)})


@pytest.mark.parametrize(
    ("raw", "digits", "has_plus"),
    [
        ("+491713920012", MOBILE, True),
        (" +49 171 3920012\r\n", MOBILE, True),
        ("+49 (0)171 392-00-12", "4901713920012", True),
        ("(+49) 171 3920012", MOBILE, True),
        ("+ 49 171 3920012", MOBILE, True),
        ("0171/3920012", "01713920012", False),
        ("0171.3920012", "01713920012", False),
        ("[030] 23125-123", "03023125123", False),
        ("06 39 98 12 00", "0639981200", False),
        ("06.39.98.12.00", "0639981200", False),
        (FULL_WIDTH, MOBILE, True),
        (ARABIC_INDIC, "01713920012", False),
        ("+49\u00a0171\u202f392\u20090012", MOBILE, True),
        ("\ufeff+49\u200b171\u200d3920012", MOBILE, True),
        ("\u202d+49 171 3920012\u202c", MOBILE, True),
        ("\u200e+49\u2011171\u20133920012\u200f", MOBILE, True),
        ("+49\u2212171\uff0d3920012", MOBILE, True),
        ("tel:+49-171-3920012", MOBILE, True),
        ("TEL:+49-171-3920012", MOBILE, True),
        ("tel:0171-3920012;phone-context=+49", "4901713920012", True),
        ("tel:0171-3920012", "01713920012", False),
    ],
)  # fmt: skip
def test_writings_of_a_number_become_its_digits(raw: str, digits: str, has_plus: bool) -> None:
    cell = clean(raw, ColumnKind.TEXT)
    assert isinstance(cell, Cell)
    assert (cell.digits, cell.has_plus, cell.modifiers) == (digits, has_plus, ())


@pytest.mark.parametrize(
    "raw",
    [
        "'+491713920012",
        "\u2019+491713920012",
        '="+491713920012"',
        '"+491713920012"',
        "'+491713920012'",
        '""+491713920012""',
        '"=""+491713920012"""',
        '"\'+491713920012"',
    ],
)
def test_excel_wrapping_is_undone_and_flagged(raw: str) -> None:
    assert clean(raw, ColumnKind.TEXT) == Cell(
        MOBILE, has_plus=True, modifiers=(Modifier.EXCEL_UNDONE,)
    )


@pytest.mark.parametrize(
    "raw",
    [
        "+49 171 3920012 x12",
        "+491713920012x12",
        "+49 171 3920012 ext. 12",
        "+49 171 3920012 Ext 12",
        "+49 171 3920012, extension 12",
        "+49 171 3920012 #12",
        "+49 171 3920012 доб. 12",
        "tel:+49-171-3920012;ext=12",
        "tel:+49-171-3920012;isub=12",
    ],
)
def test_extensions_are_dropped_and_flagged(raw: str) -> None:
    cell = clean(raw, ColumnKind.TEXT)
    assert isinstance(cell, Cell)
    assert (cell.digits, cell.modifiers) == (MOBILE, (Modifier.EXTENSION_DROPPED,))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, RejectReason.EMPTY),
        ("", RejectReason.EMPTY),
        (" \u00a0\u200b\t", RejectReason.EMPTY),
        ('=""', RejectReason.EMPTY),
        ("'", RejectReason.EMPTY),
        ("n/a", RejectReason.NOT_A_NUMBER),
        ("-", RejectReason.NOT_A_NUMBER),
        ("+", RejectReason.NOT_A_NUMBER),
        ("05.06.2024", RejectReason.NOT_A_NUMBER),
        ("2024-05-06", RejectReason.NOT_A_NUMBER),
        ("2024-05-06 12:00:00", RejectReason.NOT_A_NUMBER),
        ("-491713920012", RejectReason.NOT_A_NUMBER),
        ("++491713920012", RejectReason.NOT_A_NUMBER),
        ("49+1713920012", RejectReason.NOT_A_NUMBER),
        ("*31#01713920012", RejectReason.NOT_A_NUMBER),
        ('="+491713920012', RejectReason.NOT_A_NUMBER),
        ("=491713920012", RejectReason.NOT_A_NUMBER),
        ("0171 3920012\u00b2", RejectReason.NOT_A_NUMBER),
        ("tel:110;phone-context=example.com", RejectReason.NOT_A_NUMBER),
        ("tel:+491713920012;rn=+4930", RejectReason.NOT_A_NUMBER),
        ("0" * (MAX_CELL_CHARACTERS + 1), RejectReason.TOO_LONG_CELL),
        ("+49171\x003920012", RejectReason.CONTROL_CHARACTERS),
        ("+49171\x1b3920012", RejectReason.CONTROL_CHARACTERS),
        ("+49171\n3920012", RejectReason.CONTROL_CHARACTERS),
        ("+49171\t3920012", RejectReason.CONTROL_CHARACTERS),
        ("1-800-FLOWERS", RejectReason.VANITY_LETTERS),
        ("Tel. 0171 3920012", RejectReason.NOT_A_NUMBER),
        ("0171 392OO12", RejectReason.NOT_A_NUMBER),
        ("0171 3920012 privat", RejectReason.NOT_A_NUMBER),
        ("Jane Doe +1 202 555 0138", RejectReason.NOT_A_NUMBER),
        ("sms:0171 3920012", RejectReason.NOT_A_NUMBER),
        ("fax:+1 202 555 0138", RejectReason.NOT_A_NUMBER),
        ("4.91711E+11", RejectReason.SCIENTIFIC_NOTATION),
        ("4,91711E+11", RejectReason.SCIENTIFIC_NOTATION),
        ("4.91711e11", RejectReason.SCIENTIFIC_NOTATION),
        ("491711E6", RejectReason.SCIENTIFIC_NOTATION),
        ("+4.91711E+11", RejectReason.SCIENTIFIC_NOTATION),
        ("491711234567.0", RejectReason.FLOAT_ARTEFACT),
        ("491711234567,0", RejectReason.FLOAT_ARTEFACT),
        ("491711234567.00", RejectReason.FLOAT_ARTEFACT),
        ("+491711234567.0", RejectReason.FLOAT_ARTEFACT),
        ("491711234567.5", RejectReason.FLOAT_ARTEFACT),
        ("'491711234567.0", RejectReason.FLOAT_ARTEFACT),
        ("12", RejectReason.TOO_SHORT),
        ("+" + "4" * 21, RejectReason.TOO_LONG),
    ],
)
def test_cells_that_are_no_number_are_rejected(raw: str | None, reason: RejectReason) -> None:
    cell = clean(raw, ColumnKind.TEXT)
    assert isinstance(cell, Reject)
    assert cell.reason is reason


@pytest.mark.parametrize(
    "separator",
    [";", ",", "|", "\n", "\r\n", " or ", " oder ", " und ", "&", " & ", " / ", "/", " privat "],
)
@pytest.mark.parametrize("second", ["0171 3920013", "+491713920013", "030 23125123"])
def test_two_numbers_in_a_cell_are_rejected(separator: str, second: str) -> None:
    cell = clean(f"0171 3920012{separator}{second}", ColumnKind.TEXT)
    assert cell == Reject(RejectReason.MULTIPLE_NUMBERS)


@pytest.mark.parametrize(
    "raw",
    [
        "+491713920012+491713920013",
        "+491713920012 +491713920013",
        "030 23125123/24",
        "030 231251 / 030 231252",
        "0301234 0305678",
        "3920012 3920013",
    ],
)
def test_two_numbers_are_seen_without_a_separating_word(raw: str) -> None:
    assert clean(raw, ColumnKind.TEXT) == Reject(RejectReason.MULTIPLE_NUMBERS)


@pytest.mark.parametrize("raw", ["0171/3920012", "+49171/3920012", "0049171/3920012", "030/231251"])
def test_a_slash_behind_an_area_code_is_no_separator(raw: str) -> None:
    assert isinstance(clean(raw, ColumnKind.TEXT), Cell)


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        (ColumnKind.INTEGER, "491713920012", MOBILE),
        (ColumnKind.INTEGER, "491713920012.0", RejectReason.FLOAT_ARTEFACT),
        (ColumnKind.INTEGER, "-491713920012", RejectReason.NOT_A_NUMBER),
        (ColumnKind.FLOAT, "491713920012.0", MOBILE),
        (ColumnKind.FLOAT, "491713920012", MOBILE),
        (ColumnKind.FLOAT, "491713920012.00", RejectReason.FLOAT_ARTEFACT),
        (ColumnKind.FLOAT, "491713920012.5", RejectReason.FLOAT_ARTEFACT),
        (ColumnKind.FLOAT, "4.91713920012e11", RejectReason.SCIENTIFIC_NOTATION),
        (ColumnKind.FLOAT, "NaN", RejectReason.NOT_A_NUMBER),
        (ColumnKind.FLOAT, "0.0", RejectReason.TOO_SHORT),
    ],
)
def test_numeric_columns(kind: ColumnKind, raw: str, expected: str | RejectReason) -> None:
    cell = clean(raw, kind)
    if isinstance(cell, Reject):
        assert cell.reason is expected
    else:
        assert (cell.digits, cell.modifiers) == (expected, (Modifier(f"{kind}_column"),))


def test_vanity_letters_are_converted_only_where_allowed_and_never_one_or_two() -> None:
    cell = clean("1-800-FLOWERS", ColumnKind.TEXT, vanity_letters=True)
    assert cell == Cell("18003569377", has_plus=False, modifiers=(Modifier.VANITY,))
    for raw in ("0171 392OO12", "Tel. 0171 3920012"):
        assert clean(raw, ColumnKind.TEXT, vanity_letters=True) == Reject(
            RejectReason.NOT_A_NUMBER, "letters beside the digits"
        )


@pytest.mark.parametrize("name", ["tel", "sms", "SMSTO", "callto", "WhatsApp", "p", "mobile"])
def test_an_address_with_a_plus_is_the_number(name: str) -> None:
    cell = clean(f"{name}:+1 202 555-0130", ColumnKind.TEXT)
    assert cell == Cell("12025550130", has_plus=True, is_address=True)


@given(st.text(max_size=300), st.sampled_from(ColumnKind), st.booleans())
def test_any_text_gives_ascii_digits_or_a_reject(
    text: str, kind: ColumnKind, letters: bool
) -> None:
    cell = clean(text, kind, vanity_letters=letters)
    if isinstance(cell, Cell):
        assert cell.digits.isascii()
        assert cell.digits.isdigit()


@pytest.mark.parametrize(
    "raw", ["(0)0171 3920012", "0 0171 3920012", "0-0171-3920012", "[0] 0171/1"]
)
def test_two_zeros_that_stand_apart_are_no_international_prefix(raw: str) -> None:
    cell = clean(raw, ColumnKind.TEXT)
    assert isinstance(cell, Reject)
    assert cell.reason is RejectReason.AMBIGUOUS


@pytest.mark.parametrize("raw", ["(00)49 171 3920012", "00 49 171 3920012", "+49 (0)0171 3920012"])
def test_two_zeros_side_by_side_are_one(raw: str) -> None:
    assert isinstance(clean(raw, ColumnKind.TEXT), Cell)
