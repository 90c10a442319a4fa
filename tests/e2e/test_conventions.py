"""A list whose rows show how it is written: digits that could be two numbers are read like them."""

from __future__ import annotations

import json
from pathlib import Path

import phonenumbers
import polars as pl

from tests.thoroughness import in_full

from .conftest import run_command, write_csv

# 555-0100 to 555-0199 are nobody's in every area code of the North American plan.
AREA_CODES = [
    code
    for code in range(201, 990)
    if phonenumbers.is_valid_number(phonenumbers.parse(f"+1{code}5550100"))
]
NATIONAL = [f"{code}55501{n:02}" for code in AREA_CODES[::2] for n in (0, 57)]
RUN = ("--sandbox", "--rate", 5_000, "--endpoints", "sim-swap/check", "--default-region", "US")


def results(out: Path) -> pl.DataFrame:
    return pl.read_parquet(str(out / "results/*/*.parquet")).sort("source_row")


def test_national_digits_are_all_screened_and_check_says_why(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "list.csv", NATIONAL)
    done = run_command("check", path, "--json", "--default-region", "US")
    found = json.loads(done.out)
    [us] = found["conventions"]
    assert (us["region"], us["convention"], us["international"]) == ("US", "national", 0)
    assert us["doubtful"] > 50
    assert us["national"] + us["doubtful"] == found["rows"] == found["accepted"] == len(NATIONAL)
    printed = " ".join(run_command("check", path, "--default-region", "US").out.split())
    # The progress of each reading counts every row once.
    assert "reading again: 0 rows" in done.err
    assert f"{us['doubtful']:,} that could be either: these are read as national numbers" in printed
    assert run_command("run", path, *RUN, "--out", tmp_path / "out").code == 0
    rows = results(tmp_path / "out")
    assert rows["e164"].to_list() == [f"+1{number}" for number in NATIONAL]
    by_list = rows.filter(pl.col("rule") == "national_by_list")
    assert by_list.height == us["doubtful"]


@in_full
def test_a_setting_rejects_them(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "list.csv", NATIONAL)
    settings = '[input]\ndefault_region = "US"\n[numbers]\nambiguous = "safe"\n'
    (tmp_path / "safe.toml").write_text(settings, "utf-8")
    done = run_command("check", path, "--json", "--config", tmp_path / "safe.toml")
    found = json.loads(done.out)
    assert found["conventions"] == []
    assert {each["reason"] for each in found["rejects"]} == {"ambiguous"}


@in_full
def test_a_list_that_mixes_both_keeps_them_out(tmp_path: Path) -> None:
    cells = [f"1{number}" if i % 2 else number for i, number in enumerate(NATIONAL)]
    path = write_csv(tmp_path / "list.csv", cells)
    found = json.loads(run_command("check", path, "--json", "--default-region", "US").out)
    [us] = found["conventions"]
    assert us["convention"] == ""
    assert found["rejected"] == us["doubtful"] > 0
    assert run_command("run", path, *RUN, "--out", tmp_path / "out").code == 0
    rows = results(tmp_path / "out")
    cells_by_row = dict(enumerate(NATIONAL, 1))
    assert all(
        e164 == f"+1{cells_by_row[row]}" for row, e164 in rows.select("source_row", "e164").rows()
    )
