"""Results of normalisation: rules of acceptance, reject reasons and their remedies.

Only words and records, from which reports and documents are built; the decisions are in
``clean``, ``parse`` and ``normalise``.

A published rule is one of ``Rule`` and then, each after a ``+``, the ``Modifier``s that
apply, in the order of the enum: ``national+excel_undone+extension_dropped``.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

NO_COUNTRY = "001"
"""The region of numbers whose calling code belongs to no country."""

READ_AS, TWO_READINGS = "read as {}", "national {}, international {}"
CODE_ONCE_OR_TWICE = "with its country code once {}, as it stands {}"
"""Details of rejects; the braces stand for masked numbers."""


class RejectReason(StrEnum):
    """Why a row never reaches the network; ``REMEDY`` says what to do about each."""

    EMPTY = "empty"
    RAGGED_ROW = "ragged_row"
    NOT_A_NUMBER = "not_a_number"
    TOO_LONG_CELL = "too_long_cell"
    CONTROL_CHARACTERS = "control_characters"
    VANITY_LETTERS = "vanity_letters"
    MULTIPLE_NUMBERS = "multiple_numbers"
    SCIENTIFIC_NOTATION = "scientific_notation"
    FLOAT_ARTEFACT = "float_artefact"
    NO_REGION = "no_region"
    UNKNOWN_REGION = "unknown_region"
    UNKNOWN_COUNTRY_CODE = "unknown_country_code"
    DOUBLE_ZERO = "double_zero"
    AMBIGUOUS = "ambiguous"
    MISSING_AREA_CODE = "missing_area_code"
    SHORT_CODE = "short_code"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    NOT_POSSIBLE = "not_possible"
    NOT_VALID = "not_valid"
    NOT_MOBILE = "not_mobile"
    REGION_NOT_ALLOWED = "region_not_allowed"
    REGION_DENIED = "region_denied"
    OPTED_OUT = "opted_out"


REMEDY: dict[RejectReason, str] = {
    RejectReason.EMPTY: "Fill in the number or remove the row.",
    RejectReason.RAGGED_ROW: (
        "The row has more cells than the header, so they may be shifted; quote cells that hold"
        " the delimiter."
    ),
    RejectReason.NOT_A_NUMBER: "Replace the cell's content with one phone number.",
    RejectReason.TOO_LONG_CELL: "Check the column: the cell is far longer than a phone number.",
    RejectReason.CONTROL_CHARACTERS: (
        "Remove the control characters or line breaks; the file's encoding may be misread."
    ),
    RejectReason.VANITY_LETTERS: (
        "Replace the letters with the digits of their keys, or allow that with"
        " numbers.vanity_letters."
    ),
    RejectReason.MULTIPLE_NUMBERS: "Keep one number per cell and give each other its own row.",
    RejectReason.SCIENTIFIC_NOTATION: (
        "Export the list again with the column formatted as text: digits have been lost."
    ),
    RejectReason.FLOAT_ARTEFACT: (
        "Export the list again with the column as text: the number was stored as a decimal."
    ),
    RejectReason.NO_REGION: (
        "Start the number with + and the country code, or set input.default_region or"
        " input.region_column."
    ),
    RejectReason.UNKNOWN_REGION: (
        "Write the region as a two-letter code such as DE or as the country's name, or leave it"
        " empty."
    ),
    RejectReason.UNKNOWN_COUNTRY_CODE: (
        "Check the digits after the +: no country has this calling code."
    ),
    RejectReason.DOUBLE_ZERO: (
        "Write + instead of 00, or set numbers.double_zero_is_plus: 00 is no international"
        " prefix in this region."
    ),
    RejectReason.AMBIGUOUS: (
        "Start the number with + and the country code, written once: it fits two different"
        " numbers (numbers.ambiguous can force one reading of bare digits)."
    ),
    RejectReason.MISSING_AREA_CODE: (
        "Add the area code with its leading zero, or start with + and the country code."
    ),
    RejectReason.SHORT_CODE: (
        "Remove the row: emergency and service codes are not subscribers' numbers."
    ),
    RejectReason.TOO_SHORT: "Complete the number: digits are missing.",
    RejectReason.TOO_LONG: "Check the number: it has more digits than a number there can have.",
    RejectReason.NOT_POSSIBLE: "Check the number: no number there has this many digits.",
    RejectReason.NOT_VALID: (
        "Check the number: nobody there is given such a number (numbers.strictness, or"
        " numbers.test_numbers for a test number)."
    ),
    RejectReason.NOT_MOBILE: (
        "Give the person's mobile number, or lower numbers.strictness to valid."
    ),
    RejectReason.REGION_NOT_ALLOWED: (
        "Leave the row out, or add the number's region to numbers.allowed_regions."
    ),
    RejectReason.REGION_DENIED: (
        "Leave the row out, or take the number's region off numbers.denied_regions."
    ),
    RejectReason.OPTED_OUT: (
        "Leave the row out: the number is on the opt-out list (numbers.opt_out_file)."
    ),
}


class Rule(StrEnum):
    """Rules by which cells are accepted; ``MEANING`` has a sentence for each."""

    INTERNATIONAL_PLUS = "international_plus"
    INTERNATIONAL_00 = "international_00"
    INTERNATIONAL_IDD = "international_idd"
    TEL_URI = "tel_uri"
    NATIONAL = "national"
    DIGITS_INTERNATIONAL = "digits_international"
    NATIONAL_BY_LIST = "national_by_list"
    INTERNATIONAL_BY_LIST = "international_by_list"
    DIGITS_FORCED_NATIONAL = "digits_forced_national"
    DIGITS_FORCED_INTERNATIONAL = "digits_forced_international"
    TEST_NUMBER = "test_number"


class Modifier(StrEnum):
    """Changes made to a cell before it was read; appended to the rule after a ``+``."""

    EXCEL_UNDONE = "excel_undone"
    INTEGER_COLUMN = "integer_column"
    FLOAT_COLUMN = "float_column"
    VANITY = "vanity"
    EXTENSION_DROPPED = "extension_dropped"


MEANING: dict[Rule | Modifier, str] = {
    Rule.INTERNATIONAL_PLUS: "The cell starts with + and a country code.",
    Rule.INTERNATIONAL_00: "The cell starts with 00 in place of the +.",
    Rule.INTERNATIONAL_IDD: "The cell starts with the region's own international prefix.",
    Rule.TEL_URI: "The cell is an address, such as tel:+… or sms:+…, that names its country code.",
    Rule.NATIONAL: "The cell was read as a national number of its region.",
    Rule.DIGITS_INTERNATIONAL: (
        "Digits without +, read with their region's country code: the national reading is the"
        " same number, impossible, or no mobile."
    ),
    Rule.NATIONAL_BY_LIST: (
        "Digits that could be two numbers, read nationally: the list's other numbers of the"
        " region come without their country code."
    ),
    Rule.INTERNATIONAL_BY_LIST: (
        "Digits that could be two numbers, read with their country code: the list's other"
        " numbers of the region come with it."
    ),
    Rule.DIGITS_FORCED_NATIONAL: "Digits without +, read nationally by numbers.ambiguous.",
    Rule.DIGITS_FORCED_INTERNATIONAL: (
        "Digits without +, read with their country code by numbers.ambiguous."
    ),
    Rule.TEST_NUMBER: "The number is listed in numbers.test_numbers; nothing was checked.",
    Modifier.EXCEL_UNDONE: 'A leading apostrophe, ="…" or surrounding quotes were removed.',
    Modifier.INTEGER_COLUMN: "The column held integers, so leading zeros may be lost.",
    Modifier.FLOAT_COLUMN: "The column held decimal numbers; a trailing .0 was removed.",
    Modifier.VANITY: "Letters were turned into the digits they share a key with.",
    Modifier.EXTENSION_DROPPED: "An extension was left out; E.164 has none.",
}


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """A normalised number.

    ``region`` is the ISO alpha-2 region the number belongs to, ``001`` for numbers of no
    country, and None where the metadata names none (possible on strictness ``possible``).
    ``rule`` is a rule with its modifiers.
    """

    e164: str
    region: str | None
    number_type: str
    rule: str


class Reject(msgspec.Struct, frozen=True, gc=False):
    """A rejected cell; ``detail`` holds masked numbers only."""

    reason: RejectReason
    detail: str | None = None
