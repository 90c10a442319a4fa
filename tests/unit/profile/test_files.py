from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from batch_screen.config.screening import Input, Numbers
from batch_screen.input.table import open_table
from batch_screen.numbers.normalise import Normaliser
from batch_screen.profile.facts import FileFacts
from batch_screen.profile.files import file_facts

ROWS = ["+493023125001", "+493023125002", "+493023125003"]


def facts(*paths: Path, **settings: Any) -> list[FileFacts]:
    chosen = Input.model_validate(settings)
    table = open_table(paths, chosen)
    names = [path.name for path in paths]
    return file_facts(
        table, chosen, Normaliser(Numbers()), dict.fromkeys(names, 3), dict.fromkeys(names, 2)
    )


def text(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


def roles(file: FileFacts) -> dict[str, str]:
    return {column.name: column.role for column in file.columns}


def test_a_csv_file(tmp_path: Path) -> None:
    content = "".join(f"{line};Köln;DE\n" for line in ["Telefon;Ort;Land", *ROWS])
    path = text(tmp_path / "a.csv", content.replace("Land;Köln;DE", "Land"), "cp1252")
    [file] = facts(path)
    assert (file.name, file.format, file.compression) == ("a.csv", "csv", "")
    assert (file.encoding, file.delimiter, file.has_header) == ("windows-1252", ";", True)
    assert roles(file) == {"Telefon": "phone", "Ort": "", "Land": ""}
    assert (file.phone_column_by, file.likely_region_column) == ("name", "Land")
    assert (file.rows, file.accepted, file.rejected) == (3, 2, 1)
    [named] = facts(path, phone_column="telefon", region_column="Land")
    assert (named.phone_column_by, named.likely_region_column) == ("option", "")
    assert roles(named)["Land"] == "region"


def test_a_packed_file_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress("\n".join(ROWS).encode()))
    [file] = facts(tmp_path / "a.csv.gz", has_header=False)
    assert (file.compression, file.encoding, file.has_header) == ("gzip", "ascii", False)
    assert (roles(file), file.phone_column_by) == ({"column_1": "phone"}, "only_column")


def test_a_parquet_file(tmp_path: Path) -> None:
    pl.DataFrame({"id": [1, 2, 3], "msisdn": [493023125001] * 3}).write_parquet(
        tmp_path / "a.parquet"
    )
    pl.DataFrame({"who": ROWS, "id": ["a", "b", "c"]}).write_parquet(
        tmp_path / "b.parquet", compression="uncompressed"
    )
    [whole] = facts(tmp_path / "a.parquet")
    assert (whole.format, whole.encoding, whole.delimiter) == ("parquet", "", "")
    assert whole.compression == "zstd"
    assert [(c.name, c.type) for c in whole.columns] == [("id", "int64"), ("msisdn", "int64")]
    [by_content] = facts(tmp_path / "b.parquet")
    assert (by_content.phone_column_by, by_content.compression) == ("content", "")
    assert {column.type for column in by_content.columns} == {"text"}


def test_decimals_in_a_csv_file_are_called_so(tmp_path: Path) -> None:
    [file] = facts(text(tmp_path / "a.csv", "phone\n493023125001.0\n"))
    assert file.columns[0].type == "float"


def test_misread_letters_show_in_the_header_and_in_any_column(tmp_path: Path) -> None:
    header = text(tmp_path / "a.csv", "TÃ©lÃ©phone,name\n+493023125001,x\n")
    cells = text(tmp_path / "b.csv", "phone,name\n+493023125001,MÃ¼ller\n")
    fine = text(tmp_path / "c.csv", "phone,name\n+493023125001,Müller\n")
    assert facts(header)[0].is_misread
    assert [file.is_misread for file in facts(cells, fine)] == [True, False]


def test_numbers_in_names_are_masked(tmp_path: Path) -> None:
    path = text(tmp_path / "+493023125001.csv", f"phone,{ROWS[0]}\n{ROWS[1]},x\n")
    [file] = facts(path, phone_column="phone")
    assert "23125001" not in file.name + file.columns[1].name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("phone,country\n0171 3920012,DE\n0171 3920013,\n", "country"),
        ("phone,Ländercode\n0171 3920012, de \n", "Ländercode"),
        ("phone,country\n0171 3920012,Germany\n", "country"),
        ("phone,Country of residence\n0171 3920012,Deutschland\n", "Country of residence"),
        ("phone,iso3\n0171 3920012,DEU\n", "iso3"),
        ("country_code,phone\n1,2025550100\n1,2025550101\n", "country_code"),
        ("dial code,phone\n+44,2079460000\n+49,1713920012\n", "dial code"),
        ("cc,phone\n44.0,2079460000\n,+491713920012\n", "cc"),
        ("phone,country\n0171 3920012,NULL\n0171 3920013,N/A\n", ""),
        ("phone,country\n0171 3920012,Berlin\n", ""),
        ("phone,country\n0171 3920012,\n", ""),
        ("phone,language\n0171 3920012,DE\n", ""),  # a language is no region
        ("phone,country,region\n0171 3920012,DE,BY\n", "country"),  # no number of Belarus
        ("phone,country,cc\n0171 3920012,Germany,49\n", "country"),  # they say the same
        ("phone,country,nation\n+491713920012,DE,FR\n", ""),
        ("phone,country,country\n0171 3920012,DE,DE\n", ""),
    ],
)
def test_a_column_that_looks_like_regions(tmp_path: Path, text: str, name: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    [file] = facts(path)
    assert file.likely_region_column == name
    if name:  # and it is taken
        assert open_table([path], Input(region_column=name)).region_column == name


def test_columns_that_look_like_numbers_too(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", "mobile,home\n+1 202 555 0100,+1 202 555 0101\n")
    [file] = facts(path)
    assert file.likely_phone_columns == ["home"]
    [named] = facts(path, phone_column="mobile,home")
    assert named.likely_phone_columns == []
    assert roles(named) == {"mobile": "phone", "home": "phone"}
