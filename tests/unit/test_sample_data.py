import csv
import importlib.util
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import phonenumbers
import polars as pl
import pytest

FOLDER = Path(__file__).parents[2] / "sample_data"

# Significant digits of what regulators keep free, stated apart from the script on purpose.
FICTITIOUS = {
    "49": r"17139200\d\d|176040690\d\d|3023125\d{3}|4066969\d{3}|6990009\d{3}"
    r"|8999998\d{3}|2214710\d{3}",
    "44": r"2079460\d{3}|1134960\d{3}|1614960\d{3}|7700900\d{3}",
    "33": r"19900\d{4}|63998\d{4}",
    "46": r"701740(?:60[5-9]|6[1-9]\d)|8465004\d\d",
    "61": r"491570(?:006|156|157|158|159|110|313|737)|491571(?:266|491|804)"
    r"|491572(?:549|665|983)|491573(?:770|087)|491574(?:118|632)|491575(?:254|789)"
    r"|491576(?:398|801)|491577(?:426|644)|491578(?:957|148|888)|491579(?:212|760|455)",
    "353": r"2091\d{5}",
    "1": r"[2-9]\d\d55501\d\d",
}
E164_FICTITIOUS = re.compile(
    r"\+(?:" + "|".join(f"{c}(?:{n})" for c, n in FICTITIOUS.items()) + ")"
)
ANY_FICTITIOUS = re.compile("|".join(FICTITIOUS.values()))
HOLD_NO_WHOLE_NUMBER = {"scientific", "empty", "short_code", "junk", "too_short"}


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("make_sample", FOLDER / "make_sample.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_sample"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["make_sample"]


@pytest.fixture(scope="module")
def made(script: ModuleType) -> list[Any]:
    return list(script.sample())


def readings(cell: str, country: str) -> set[str]:
    """The valid numbers a cell may mean: at home, and with a plus in front."""
    region = {"UK": "GB", "DEUTSCHLAND": "DE"}.get(country.upper(), country.upper()) or None
    text = re.sub(r'^(?:\'|=")|"$', "", cell)
    return {number for number in (valid(text, region), valid("+" + text, None)) if number}


def valid(text: str, region: str | None) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def test_committed_files_equal_a_fresh_generation(script: ModuleType) -> None:
    assert script.differing() == []


def test_check_fails_when_a_file_differs(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "sample_data")
    command = [sys.executable, str(folder / "make_sample.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0
    text = (folder / "customers.csv").read_text(encoding="utf-8")
    (folder / "customers.csv").write_text(text.replace("retail", "premium", 1), encoding="utf-8")
    (folder / "customers.parquet").unlink()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "customers.csv differs" in done.stderr
    assert "customers.parquet differs" in done.stderr
    assert "README.md" not in done.stderr


def test_csv_and_parquet_hold_the_same_rows() -> None:
    with (FOLDER / "customers.csv").open(encoding="utf-8", newline="") as file:
        header, *records = csv.reader(file)
    frame = pl.read_parquet(FOLDER / "customers.parquet")
    assert header == frame.columns
    assert frame.schema["phone"] == pl.String
    as_text = frame.with_columns(pl.all().cast(pl.String).fill_null(""))
    assert [tuple(record) for record in records] == as_text.rows()


def test_csv_has_the_quoting_that_breaks_naive_readers() -> None:
    text = (FOLDER / "customers.csv").read_text(encoding="utf-8")
    for cell in ('"München\nHauptbahnhof"', '"Bristol, Harbourside"', '"Chicago ""The Loop"""'):
        assert cell in text


def test_numbers_that_are_meant_lie_in_fictitious_ranges(made: list[Any]) -> None:
    meant = [row.e164 for row in made if row.e164]
    assert len(meant) > 2_000
    assert [number for number in meant if not E164_FICTITIOUS.fullmatch(number)] == []
    assert [number for number in meant if valid(number, None) != number] == []


def test_cells_hold_fictitious_numbers_only(made: list[Any]) -> None:
    for row in made:
        if row.kind not in HOLD_NO_WHOLE_NUMBER:
            plain = unicodedata.normalize("NFKC", row.phone).replace("JKL", "555")
            digits = "".join(c for c in plain.replace("(0)", "") if c in "0123456789")
            assert ANY_FICTITIOUS.search(digits), row


def test_numbers_that_are_meant_are_what_libphonenumber_reads(made: list[Any]) -> None:
    for row in made:
        if row.e164:
            found = readings(row.phone, row.country)
            is_two_sided = row.kind in ("lost_plus_mobile", "by_list")
            assert row.e164 in found, row
            assert (len(found) == 2) == is_two_sided, row


def test_ambiguous_cells_have_two_valid_readings(made: list[Any]) -> None:
    ambiguous = [row for row in made if row.kind == "ambiguous"]
    assert all(len(readings(row.phone, row.country)) == 2 for row in ambiguous)


@pytest.mark.parametrize(
    "kind", ["empty", "junk", "not_in_plan", "short_code", "too_long", "too_short", "no_region"]
)
def test_hopeless_cells_have_no_valid_reading(made: list[Any], kind: str) -> None:
    cells = [row for row in made if row.kind == kind]
    assert cells
    assert [row for row in cells if readings(row.phone or "", row.country)] == []


def test_duplicates_repeat_a_number_in_another_spelling(
    script: ModuleType, made: list[Any]
) -> None:
    meant = [row for row in made if row.e164]
    first = {(row.e164, row.phone) for row in meant if row.kind != "duplicate"}
    repeated = {(row.e164, row.phone) for row in meant if row.kind == "duplicate"}
    assert len(repeated) == script.DUPLICATES
    assert {number for number, _ in repeated} <= {number for number, _ in first}
    assert not repeated & first
