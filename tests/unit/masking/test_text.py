from __future__ import annotations

import re
import unicodedata

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.masking import mask_cell, mask_number, mask_text, plain

NUMBER = "+491713920012"
SEPARATORS = ["", " ", "-", ".", "/", " - ", ") ", "\N{NO-BREAK SPACE}", "\N{EN DASH}"]
RUN_OF_DIGITS = re.compile(r"\d(?:[\s().\-/\u2010-\u2015]{0,3}\d){6}")

# A plus or a zero first: as a phone number is written, and as no date begins.
numbers = st.builds(
    lambda head, digits, between: head + between.join(digits),
    st.sampled_from(["+", "0", "00", "(0"]),
    st.lists(st.from_regex(r"[0-9]{1,5}", fullmatch=True), min_size=7, max_size=9),
    st.sampled_from(SEPARATORS),
)
surroundings = st.text(st.characters(exclude_categories=["Nd", "No", "Nl"]), max_size=8)


@given(before=surroundings, number=numbers, after=surroundings)
def test_no_number_survives_whatever_stands_around_it(before: str, number: str, after: str) -> None:
    assert not RUN_OF_DIGITS.search(mask_text(before + number + after))


@pytest.mark.parametrize(
    "text",
    [
        "to=%2B491713920012",
        r"\u002B491713920012",
        "tel491713920012",
        "phone_491713920012",
        "no.491713920012",
        "+49 (171) 392-00-12",
        "+49 171 - 392 - 0012",
        "0171\N{EN DASH}3920\N{EN DASH}012",
        "٠١٧١٣٩٢٠٠١٢",
    ],
)
def test_numbers_in_disguise(text: str) -> None:
    masked = mask_text(text)
    assert masked != text
    assert not RUN_OF_DIGITS.search(masked)


@pytest.mark.parametrize(
    "text",
    [
        "of 2026-11-23",
        "run_date=2026-11-23/part",
        "run 20261123-0123456789",
        "runs/20261123-abcdef0123-00000.parquet",
        "customers_20261123.csv",
        "customers-20261123.csv",
        "00003-00012.journal is damaged",
        "127.0.0.1:54321",
        "http://127.0.0.1:43210 cannot be reached",
        "https://192.168.100.200:43210/network-signal/v1",
        "2026-11-23T04:05:06+00:00, 2026-11-23 04:05:06.123Z",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "correlator b3b9c3a0-2a5c-5b9e-9d3c-0a1b2c3d4e5f",
        "asked 1,234,567 of 123,456,789 lookups, 12,345,678.90 EUR",
        "batch-screen 0.1.0, Python 3.11.2, 65,536 bytes",
        "answered 400, 401, 402, 403, 404",
        "1,234,567 rows",
        "row 123456, exit code 77",
    ],
)
def test_dates_run_ids_and_counts_are_left(text: str) -> None:
    assert mask_text(text) == text


@given(st.dates(), st.from_regex(r"[0-9a-f]{10}", fullmatch=True), surroundings)
def test_any_date_and_run_id_is_left(day: object, digest: str, before: str) -> None:
    if not "1900" <= str(day) < "2100":
        return
    run = f"{str(day).replace('-', '')}-{digest}"
    assert mask_text(f"{before}{day}|{run}|").endswith(f"{day}|{run}|")


@pytest.mark.parametrize("text", ["tel-20261123 4567", "tel-20261123-4567", "+20101231456"])
def test_a_number_that_begins_like_a_date_is_masked(text: str) -> None:
    assert not RUN_OF_DIGITS.search(mask_text(text))


def test_masking_twice_changes_nothing() -> None:
    once = mask_text(f"{NUMBER} and 0171 3920012")
    assert once == "+4917••••••12 and 0171 •••••12"
    assert mask_text(once) == once


def test_the_secret_is_replaced() -> None:
    assert mask_text("key s3cret refused", "s3cret") == "key [key] refused"


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        (NUMBER, "+4917••••••12"),
        ("0123456789", "01234•••89"),
        ("123456789", "•••••••••"),
        ("", ""),
    ],
)
def test_mask_number(number: str, masked: str) -> None:
    assert mask_number(number) == masked


@given(st.text(max_size=60))
def test_cells_show_two_characters_at_most(cell: str) -> None:
    shown = mask_cell(cell)
    assert len(shown) <= 40
    assert not any(c.isalnum() for c in shown[2:])


@given(st.text(max_size=60), st.integers(2, 30))
def test_plain_is_one_printable_line(text: str, limit: int) -> None:
    shown = plain(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert plain(shown, limit) == shown


def test_plain_takes_out_what_steers_a_terminal() -> None:
    assert plain("\x1b[2J\u202eevil\u2028next\r\nline\t!") == "[2J evil next line !"
    assert plain("a" * 300) == "a" * 199 + "…"


GAPS = [
    *("", " ", "-", ".", "/", " - ", "(", ") ", "_", "\\", "' '", '"; "', '", "', ";", "|", "\t"),
    *(
        "\n",
        "\r\n",
        "\\n",
        "\\t",
        "%20",
        "%C2%A0",
        "%E2%80%AF",
        "\\u00a0",
        "\\xa0",
        "&nbsp;",
        "&#160;",
    ),
    *(c for c in map(chr, range(0x2000, 0x2070)) if unicodedata.category(c) in ("Zs", "Pd", "Cf")),
    *"\u00a0\u00ad\u00b7\u1680\u2212\u3000\u30fb\ufe63\uff08\uff09\uff0d\uff0e\uff0f\ufeff",
    *("\x1b[1m", "\x00", "\x85"),
]
DIGITS = {
    "ascii": "0123456789",
    "wide": "０１２３４５６７８９",
    "arabic": "٠١٢٣٤٥٦٧٨٩",
    "persian": "۰۱۲۳۴۵۶۷۸۹",
    "percent": [f"%3{i}" for i in range(10)],
    "escaped": [f"\\u003{i}" for i in range(10)],
    "bytes": [f"\\x3{i}" for i in range(10)],
}
EXAMPLES = [
    number
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    if (number := phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE))
]
FORMATS = phonenumbers.PhoneNumberFormat


@given(st.data())
def test_numbers_of_every_region_however_written(data: st.DataObject) -> None:
    number = data.draw(st.sampled_from(EXAMPLES))
    style = data.draw(st.sampled_from([FORMATS.E164, FORMATS.INTERNATIONAL, FORMATS.NATIONAL]))
    written = phonenumbers.format_number(number, style)
    digits = [c for c in written if c.isdecimal()]
    if len(digits) < (5 if written.startswith("+") else 7):
        return  # shorter than any run that is masked; see the README
    alphabet = DIGITS[data.draw(st.sampled_from(sorted(DIGITS)))]
    groups = re.findall(r"\d+", written)
    gaps = data.draw(st.lists(st.sampled_from(GAPS), min_size=len(groups), max_size=len(groups)))
    spelt = ["".join(alphabet[int(c)] for c in group) for group in groups]
    text = "".join(part for pair in zip(spelt, gaps, strict=True) for part in pair)
    before, after = data.draw(surroundings), data.draw(surroundings)
    plus = "+" if written.startswith("+") else ""
    masked = mask_text(f"{before}{plus}{text}{after}")
    for reading in DIGITS["percent"], DIGITS["escaped"], DIGITS["bytes"]:
        for value, escape in enumerate(reading):
            masked = masked.replace(escape, str(value))
    left = re.sub(r"\\[xu]\w+|%\w\w|&#?\w+;|\x1b\[1m", "", masked)  # of the gaps
    assert sum(c.isdecimal() for c in left) <= 7, masked


@pytest.mark.parametrize("name", ["{}.csv", "list_{}.parquet", "/data/{}/x", "{}.journal"])
@pytest.mark.parametrize("number", [NUMBER, "0171 3920012", "0171_3920012", "01713-92001"])
def test_numbers_in_names_of_files(name: str, number: str) -> None:
    masked = mask_text(f"no such file: '{name.format(number)}'")
    assert sum(c.isdecimal() for c in masked) <= 7
