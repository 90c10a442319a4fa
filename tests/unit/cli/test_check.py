from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from batch_screen.cli.check import check_block
from batch_screen.cli.text import WIDTH
from batch_screen.input.columns import FoundBy
from batch_screen.masking import mask_cell, mask_number
from batch_screen.numbers.rules import REMEDY, RejectReason
from batch_screen.profile.damage import Damage
from batch_screen.profile.facts import (
    CheckReport,
    ColumnFacts,
    ConventionFacts,
    Damaged,
    FileFacts,
    Fix,
    Frequency,
    NumberFacts,
    RegionAdvice,
    Rejected,
    RejectedCell,
    tallied,
)
from batch_screen.profile.regions import Ground

READINGS = f"national {mask_number('+494411349600')}, international {mask_number('+441134960000')}"
REGIONS = ("DE", "AT", "CH", "001", "GB", "FR", "IT", "US", "CA", "AU")
ADVICE = RegionAdvice(1_200_000, 200, "DE", 198, ["list"], ["AT", "IT"], "DE")


def example(reason: str, row: int, file: str = "list.csv") -> RejectedCell:
    is_ambiguous = reason == RejectReason.AMBIGUOUS
    cell = {"empty": "", "ambiguous": "441134960000"}.get(reason, "+49 (0)171 39200-12 ext. 5")
    region = "De•••••••••" if reason == RejectReason.UNKNOWN_REGION else "DE"
    return RejectedCell(file, row, mask_cell(cell), region, READINGS if is_ambiguous else "")


def audit(scale: int = 1, **changes: Any) -> CheckReport:
    """All that can be said of a list, with counts of the given size."""
    rejects = [
        Rejected(r.value, scale + n, REMEDY[r], [example(r, scale * 2 + n)] * 3)
        for n, r in enumerate(RejectReason)
    ]
    columns = [ColumnFacts(f"column {n}", "text") for n in range(40)]
    file = FileFacts(
        name="list.csv",
        format="csv",
        compression="gzip",
        encoding="windows-1252",
        delimiter=";",
        has_header=True,
        phone_column_by=FoundBy.NAME.value,
        likely_region_column="",
        is_misread=True,
        columns=[
            *columns,
            ColumnFacts("phone", "float", "phone"),
            ColumnFacts("land", "text", "region"),
        ],
        rows=2 * scale,
        accepted=scale,
        rejected=scale,
    )
    counts = {name: scale * n for n, name in enumerate(REGIONS, 1)}
    types = dict.fromkeys(("fixed_line_or_mobile", "mobile", "fixed_line", "unknown"), scale)
    whole = CheckReport(
        files=[file],
        phone_column="phone",
        region_column="land",
        default_region="DE",
        rows=2 * scale,
        accepted=scale,
        rejected=scale,
        rejects=rejects,
        rules=tallied({"national": scale, "international_plus": scale}, 2 * scale),
        numbers=NumberFacts(
            scale, scale, scale, scale, tallied(counts, 55 * scale), tallied(types, 4 * scale)
        ),
        damage=Damaged(
            scale, "float", scale, 1.0, tallied({k.value: scale for k in Damage}, scale)
        ),
        conventions=[],
        region_advice=ADVICE,
        fixes=[Fix(r.rows, r.remedy) for r in rejects] + [Fix(0, "Export the column as text.")],
    )
    return msgspec.structs.replace(whole, **changes)


def lines(*args: Any, **changes: Any) -> list[str]:
    return check_block(audit(*args, **changes)).splitlines()


@pytest.mark.parametrize("scale", [1, 17, 999, 12_345, 999_999, 12_345_678])
def test_it_fits(scale: int) -> None:
    block = check_block(audit(scale), Path("rejects.csv"))
    assert max(map(len, block.splitlines())) <= WIDTH


def test_how_a_file_was_read() -> None:
    block = lines()
    assert block[:6] == [
        "check: nothing was sent",
        "",
        "  file ......... list.csv",
        "                 CSV in gzip, Windows-1252 (as it is no UTF-8), with misread",
        "                 letters, semicolons, a header; 2 rows",
        "                 columns: column 0, column 1, column 2, column 3, column 4,",
    ]
    text = " ".join(" ".join(block).split())
    assert (
        "column 11, phone (the numbers, by its name, float), land (the regions) and 28 more" in text
    )


def test_parquet_files_have_neither_encoding_nor_header() -> None:
    files = [msgspec.structs.replace(f, format="parquet", rows=7) for f in audit().files]
    assert "                 Parquet in gzip; 7 rows" in lines(files=files)


def test_many_files_are_summed_up() -> None:
    files = [msgspec.structs.replace(audit().files[0], name=f"{n}.csv", rows=n) for n in range(8)]
    block = lines(files=files)
    assert sum(line.startswith("  file .........") for line in block) == 5
    assert "  files ........ 3 more with 18 rows" in block
    assert any("list.csv row 15: 44••" in line for line in block)


def test_numbers_by_region_and_type() -> None:
    block = lines(10)
    at = next(n for n, line in enumerate(block) if line.startswith("  numbers"))
    assert block[at : at + 12] == [
        "  numbers ...... 10 unique, 10 rows are duplicates; 10 numbers stand in more",
        "                 than one row, the most frequent in 10",
        "            100  AU               18.2%        10  fixed_line            25.0%",
        "             90  CA               16.4%        10  fixed_line_or_mobile  25.0%",
        "             80  US               14.5%        10  mobile                25.0%",
        "             70  IT               12.7%        10  unknown               25.0%",
        "             60  FR               10.9%",
        "             50  GB                9.1%",
        "             40  no country        7.3%",
        "             30  CH                5.5%",
        "             30  others (2)        5.5%",
        "  read as ...... international_plus 10, national 10",
    ]


def test_reasons_with_examples_and_both_readings() -> None:
    block = lines()
    assert "              1  empty                 row 2, row 2, row 2" in block
    [region] = [line for line in block if "unknown_region" in line]
    assert "row 12 in 'De•••••••••': +4• (•)•••" in region
    at = block.index("  ambiguous .... the first of them as national and international numbers:")
    assert block[at + 1] == "                 row 15: 44••••••••••  +4944••••••00  +4411••••••00"


def test_a_detail_of_another_form_is_shown_as_it_is() -> None:
    odd = RejectedCell("list.csv", 3, "44•••", "", "something new")
    block = lines(rejects=[Rejected("ambiguous", 1, "", [odd])])
    assert "                 row 3: 44•••  something new" in block


def test_damage() -> None:
    text = " ".join(" ".join(lines(60)).split())
    assert "damage ....... 100.0% of 60 filled cells look like they went through a spread" in text
    assert "the column is stored as floats: + and zeros are lost" in text
    none = Damaged(9, "text", 0, 0.0, [])
    assert "  damage ....... none is seen" in lines(damage=none)
    other = Damaged(9, "text", 0, 0.0, [Frequency("several_numbers", 3, 0.333)])
    assert "  damage ....... in 9 filled cells:" in lines(damage=other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "DE is suggested: nine in ten of the list's international numbers are from there (AT"),
        ({"grounds": [g.value for g in Ground], "alike": []}, "as other numbers; nine in ten"),
        ({"region": ""}, "the numbers are valid in AT and IT; only in DE most are mobile"),
        ({"region": "", "mobile_in": "", "alike": ["AT"]}, "valid in AT"),
        ({"region": "", "alike": [*"ABCDEFG"]}, "valid in A, B, C, D, E, F and G; only in"),
        ({"region": "", "alike": [*"ABCDEFGH"]}, "valid in A, B, C, D, E, F and 2 others; only"),
    ],
)
def test_regions(changes: dict[str, Any], words: str) -> None:
    advice = msgspec.structs.replace(ADVICE, **changes)
    assert words in " ".join(" ".join(lines(region_advice=advice)).split())


def test_how_a_list_writes_digits_in_doubt() -> None:
    conventions = [
        ConventionFacts("DE", 9_812, 3, 5_188, "national"),
        ConventionFacts("ID", 12, 0, 40, ""),
        ConventionFacts("GB", 100, 0, 0, ""),
    ]
    text = " ".join(" ".join(lines(conventions=conventions)).split())
    assert (
        "DE: 9,812 rows without the country code, 3 with it and 5,188 that could be either: these "
        "are read as national numbers"
    ) in text
    assert "ID: 12 rows without the country code, 0 with it and 40 that could be either" in text
    assert "GB:" not in text


def test_without_advice_there_is_no_line() -> None:
    nowhere = msgspec.structs.replace(ADVICE, region="", alike=[], mobile_in="")
    for advice in (None, nowhere):
        assert not [line for line in lines(region_advice=advice) if line.startswith("  region .")]


def test_rows_are_counted_below_the_header_if_there_is_one() -> None:
    said = "  rejected ..... examples by reason; rows are counted"
    assert f"{said} below the header" in lines()
    files = [msgspec.structs.replace(f, has_header=False) for f in audit().files]
    assert f"{said} from 1" in lines(files=files)


def test_what_to_fix() -> None:
    block = lines(fixes=[Fix(12, "Do this."), Fix(0, "And that.")])
    assert block[-3:] == [
        "  to fix ....... what would save the most rows comes first:",
        "             12  Do this.",
        "                 And that.",
    ]
    many = lines(fixes=[Fix(n, "Do.") for n in range(12, 0, -1)])
    assert many[-1] == "                 and 4 more for 10 rows (--json)"
    assert lines(fixes=[])[-1] == "  to fix ....... nothing"


def test_where_the_rejects_are() -> None:
    block = check_block(audit(3), Path("out/rejects.csv"))
    assert block.endswith("\n  rejects ...... out/rejects.csv, 3 rows")


def test_a_flawless_list_is_told_in_few_lines() -> None:
    block = lines(
        rejects=[], fixes=[], region_advice=None, damage=Damaged(9, "text", 0, 0.0, []), rejected=0
    )
    assert [line for line in block if "rejected .." in line or "ambiguous" in line] == []
