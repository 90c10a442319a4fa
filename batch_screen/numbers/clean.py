"""Cleaning of a raw cell to ASCII digits, or a reject: all that needs no numbering plan.

Only characters that phone numbers are known to be written with get through; anything else is a
reject. libphonenumber itself would drop or convert unknown text silently, which turns a
note, a second number or a damaged export into somebody else's valid number.
"""

from __future__ import annotations

import re
import unicodedata

import msgspec
from phonenumbers import convert_alpha_characters_in_number

from batch_screen.model import ColumnKind
from batch_screen.numbers.rules import Modifier, Reject, RejectReason

MAX_CELL_CHARACTERS = 250
"""libphonenumber's own limit, which also bounds the regular expressions."""

MIN_DIGITS = 3
MAX_E164_DIGITS = 15
MAX_DIGITS = 20
"""E.164 allows 15; an international prefix and a trunk zero come on top."""

AREA_CODE, AREA_CODE_ABROAD = 6, 8
"""The most digits of an area code before a slash, dialled at home and from abroad."""

_PLAIN = re.compile(r"(\+)?([0-9]+(?:[ ./-]?[0-9]+)*)")
# The patterns without an underscore are the columns' too: what is damage is said once.
WRITTEN = re.compile(r"[(\[ ]*(\+?)[(\[ ]*[0-9][0-9 ()\[\].\-/]*")
SCIENTIFIC = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]*)?\s*[eE]\s*[+-]?[0-9]+")
WHOLE_FLOAT = re.compile(r"([0-9]+)(?:\.0)?")
DECIMAL = re.compile(r"[+-]?[0-9]{7,}[.,][0-9]{1,2}|.*[0-9][.,]0")
# Written out for each mark, and without look-behind below: polars knows neither that nor \1.
DATE = re.compile(
    "|".join(
        rf"[0-9]{{1,2}}{mark}[0-9]{{1,2}}{mark}(?:19|20)[0-9]{{2}}"
        rf"|(?:19|20)[0-9]{{2}}{mark}[0-9]{{1,2}}{mark}[0-9]{{1,2}}(?:[ T].*)?"
        for mark in (r"\.", "/", "-")
    )
)
_EXCEL_FORMULA = re.compile(r'="([^"]*)"')
_QUOTED = re.compile(r'"+([^"]*)"+|\'+([^\']*)\'+')
# Where a + follows, a short name in front says what the number is used for, not another number.
_ADDRESS = re.compile(
    r"tel:|(?:sms|smsto|mms|mmsto|callto|facetime|whatsapp|wa|p|phone|mobile|cell):(?=\s*\+)",
    re.IGNORECASE,
)
_EXTENSION = re.compile(
    r"(?P<main>.*[0-9)\]])[ ,;]*(?:;ext=|ext(?:ensi[oó]n|n)?|x(?:tn?)?|доб|#)"
    r"[.:= ]*[0-9]{1,6}#?",
    re.IGNORECASE,
)
_SEPARATED = re.compile(r"[^0-9 ()\[\].\-/]+")
ZERO_APART = re.compile(r"[(\[ ]*0[)\] ./-]+[(\[ ]*0")
"""A trunk zero before one more, as in (0)0171: together they would be an international prefix."""
TWO_GROUPS = re.compile(r"(?:^|[^0-9])(?:[0-9]{7,} +[0-9]{7,}|0[0-9]{5,} +0[0-9]{5,})")
_VANITY = re.compile(r"[(\[]?\+?[0-9][0-9 ()\[\].\-/]*(?:[A-Za-z][0-9 ()\[\].\-/]*){3,}")
_CONTEXT = re.compile(r"\+[0-9]{1,15}")


class Cell(msgspec.Struct, frozen=True):
    """A cleaned cell: its ASCII digits, and whether a + led them."""

    digits: str
    has_plus: bool
    is_address: bool = False
    modifiers: tuple[Modifier, ...] = ()


_BY_CATEGORY = {
    "Cf": "",  # zero-width and bidi marks, soft hyphens
    "Zs": " ",
    "Zl": "\n",
    "Zp": "\n",
    "Pd": "-",
}
_LOOKALIKES = {
    "\N{MINUS SIGN}": "-",
    "\N{KATAKANA-HIRAGANA PROLONGED SOUND MARK}": "-",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{DOUBLE LOW-9 QUOTATION MARK}": '"',
}


class _Characters(dict[int, str]):
    """Table for ``str.translate`` from any script's digits and marks to ASCII, filled on demand."""

    def __missing__(self, code: int) -> str:
        char = mapped = chr(code)
        category = unicodedata.category(char)
        # Only decimal digits: NFKC would also turn a footnote's ² into one more digit.
        if category == "Nd":
            mapped = str(unicodedata.decimal(char))
        elif "\uff01" <= char <= "\uff5e":  # full-width ASCII
            mapped = chr(code - 0xFEE0)
        elif not char.isascii():
            mapped = _BY_CATEGORY.get(category, _LOOKALIKES.get(char, char))
        self[code] = mapped
        return mapped


_CHARACTERS = _Characters()


def ascii_text(raw: str) -> str:
    """The cell with the digits, spaces, dashes and brackets of all scripts in ASCII."""
    return raw.translate(_CHARACTERS)


AREA_CODE_IN_BRACKETS = r"^[^0-9+]*[(\[] *([0-9]+) *[)\]]"
"""Brackets round a cell's first digits; for ASCII texts."""
_BRACKETED = re.compile(AREA_CODE_IN_BRACKETS)


def area_code(raw: str) -> str:
    """The digits that stand first and in brackets, as people write an area code; or none.

    >>> area_code("(202) 555-0127"), area_code("202 555-0127")
    ('202', '')
    """
    found = _BRACKETED.match(ascii_text(raw))
    return found[1] if found else ""


def clean(  # noqa: PLR0911 (each step may reject)
    raw: str | None, kind: ColumnKind, *, vanity_letters: bool = False
) -> Cell | Reject:
    """Cleans a cell to the digits that were dialled.

    >>> clean("+49 (0)171 39200-12 ext. 5", ColumnKind.TEXT).digits
    '4901713920012'
    >>> clean("4.91711E+11", ColumnKind.TEXT).reason.value
    'scientific_notation'
    """
    if raw is None:
        return Reject(RejectReason.EMPTY)
    if len(raw) > MAX_CELL_CHARACTERS:
        return Reject(RejectReason.TOO_LONG_CELL, f"{len(raw)} characters")
    # Most cells are plain; for those the steps below would change nothing.
    if kind is ColumnKind.TEXT and (plain := _PLAIN.fullmatch(raw)):
        sign, digits = plain.groups()
        # Digits alone cannot be damaged, but punctuation may mean something else than grouping.
        if digits.isdigit() or _damage(raw) is None:
            return _counted(Cell(_digits_of(digits), has_plus=sign is not None))
    text = ascii_text(raw).strip()
    if any(unicodedata.category(char) == "Cc" and char not in "\t\r\n" for char in text):
        return Reject(RejectReason.CONTROL_CHARACTERS)
    text, modifiers = _undo_excel(text)
    if not text:
        return Reject(RejectReason.EMPTY)
    # In a column of numbers, too: there a repr of a float that has lost digits is written so.
    if SCIENTIFIC.fullmatch(text):
        return Reject(RejectReason.SCIENTIFIC_NOTATION)
    if kind is ColumnKind.TEXT:
        return _clean_text(text, modifiers, vanity_letters=vanity_letters)
    return _clean_numeric(text, kind, modifiers)


def _undo_excel(text: str) -> tuple[str, tuple[Modifier, ...]]:
    undone = text
    if formula := _EXCEL_FORMULA.fullmatch(undone):
        undone = formula[1].strip()
    if quoted := _QUOTED.fullmatch(undone):
        undone = (quoted[1] or quoted[2] or "").strip()
    # Excel's ="0171…" keeps a number as text, and a leading apostrophe does.
    # A formula may itself have been quoted by a CSV writer, as "=""+49…""".
    if formula := re.fullmatch(r'"?=""?([^"]*)""?"?', undone):
        undone = formula[1].strip()
    undone = undone.removeprefix("'").strip()
    return undone, () if undone == text else (Modifier.EXCEL_UNDONE,)


def _clean_numeric(text: str, kind: ColumnKind, undone: tuple[Modifier, ...]) -> Cell | Reject:
    """Cleans a cell of an integer or float column: digits, or for a float digits and ``.0``."""
    whole = WHOLE_FLOAT.fullmatch(text)
    if whole is None:
        damaged = re.fullmatch(r"[+-]?[0-9]*\.[0-9]+", text)
        return Reject(RejectReason.FLOAT_ARTEFACT if damaged else RejectReason.NOT_A_NUMBER)
    is_integer = kind is ColumnKind.INTEGER
    if is_integer and whole[1] != text:
        return Reject(RejectReason.FLOAT_ARTEFACT)
    modifier = Modifier.INTEGER_COLUMN if is_integer else Modifier.FLOAT_COLUMN
    return _counted(Cell(whole[1], has_plus=False, modifiers=(*undone, modifier)))


def _clean_text(
    text: str, modifiers: tuple[Modifier, ...], *, vanity_letters: bool
) -> Cell | Reject:
    address = _ADDRESS.match(text)
    unfolded = _unfold_uri(text[address.end() :].strip()) if address else text
    if isinstance(unfolded, Reject):
        return unfolded
    extended = _EXTENSION.fullmatch(unfolded)
    main = extended["main"].rstrip(" ,;") if extended else unfolded
    if damage := _damage(main):
        return damage
    is_vanity = _is_vanity(main)
    if vanity_letters and is_vanity:
        main = convert_alpha_characters_in_number(main)
        modifiers = (*modifiers, Modifier.VANITY)
    if extended:
        modifiers = (*modifiers, Modifier.EXTENSION_DROPPED)
    written = WRITTEN.fullmatch(main)
    if written is None:
        return Reject(RejectReason.VANITY_LETTERS) if is_vanity else _unreadable(main)
    return _counted(Cell(_digits_of(main), written[1] == "+", address is not None, modifiers))


def _is_vanity(text: str) -> bool:
    """Whether letters may stand for digits: no longer than a number, so no name beside one."""
    return _VANITY.fullmatch(text) is not None and sum(map(str.isalnum, text)) <= MAX_E164_DIGITS


def _damage(text: str) -> Reject | None:
    """The reject of digits and punctuation that are no number, or several; None if neither."""
    if DECIMAL.fullmatch(text):
        return Reject(RejectReason.FLOAT_ARTEFACT)
    if DATE.fullmatch(text):
        return Reject(RejectReason.NOT_A_NUMBER, "reads as a date")
    if _holds_several(text):
        return Reject(RejectReason.MULTIPLE_NUMBERS)
    if ZERO_APART.match(text):
        return Reject(RejectReason.AMBIGUOUS, "a zero stands apart from the next one")
    return None


def _unfold_uri(text: str) -> str | Reject:
    """Unfolds a tel: address (RFC 3966): its context in front, its extension behind."""
    number, *parameters = text.split(";")
    extension = ""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        name = name.strip().lower()
        if name == "phone-context":
            context = re.sub(r"[-.() ]", "", value)
            if not _CONTEXT.fullmatch(context):
                return Reject(RejectReason.NOT_A_NUMBER, "its phone-context is no country code")
            if not number.startswith("+"):
                number = context + number
        elif name in ("ext", "isub"):
            extension = f";ext={value}"
        else:
            return Reject(RejectReason.NOT_A_NUMBER, "tel: address with an unknown parameter")
    return number + extension


def _holds_several(text: str) -> bool:
    """Whether two parts could each be a number: six digits or more on both sides.

    With nothing but a space between them each must be longer, or start with its own zero.

    >>> _holds_several("0171 3920012; 0171 3920013"), _holds_several("0171/3920012")
    (True, False)
    """
    parts = [part for part in _SEPARATED.split(text) if sum(map(str.isdigit, part)) >= 6]
    if len(parts) > 1 or TWO_GROUPS.search(text):
        return True
    # A slash follows an area code or a whole number. What follows that may be short, for
    # ``030 23125123/24`` names two lines.
    before, slash, after = text.partition("/")
    if not slash or not any(map(str.isdigit, after)):
        return False
    digits = _digits_of(before)
    is_abroad = "+" in before or digits.startswith("00")
    return len(digits) > (AREA_CODE_ABROAD if is_abroad else AREA_CODE)


def _unreadable(text: str) -> Reject:
    if not any(map(str.isdigit, text)):
        return Reject(RejectReason.NOT_A_NUMBER, "no digits")
    if any(map(str.isalpha, text)):
        return Reject(RejectReason.NOT_A_NUMBER, "letters beside the digits")
    if "\n" in text or "\r" in text or "\t" in text:
        return Reject(RejectReason.CONTROL_CHARACTERS, "a tab or a line break")
    return Reject(RejectReason.NOT_A_NUMBER, "a character that no number is written with")


def _digits_of(text: str) -> str:
    return text if text.isdigit() else "".join(filter(str.isdigit, text))


def _counted(cell: Cell) -> Cell | Reject:
    count = len(cell.digits)
    if count > MAX_DIGITS:
        return Reject(RejectReason.TOO_LONG, f"{count} digits")
    if count < MIN_DIGITS:
        return Reject(RejectReason.TOO_SHORT, f"{count} digits")
    return cell
