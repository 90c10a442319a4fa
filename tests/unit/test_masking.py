from __future__ import annotations

import re

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
