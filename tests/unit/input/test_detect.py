from __future__ import annotations

import bz2
import codecs
import gzip
import random
from pathlib import Path

import pytest

from batch_screen.config.screening import Input
from batch_screen.errors import InputError
from batch_screen.input.detect import sniff
from batch_screen.input.layout import Csv, FileLayout, Packing


def _sniff(folder: Path, content: bytes, **settings: object) -> FileLayout:
    path = folder / "x.csv"
    path.write_bytes(content)
    return sniff(path, "x.csv", Input.model_validate(settings))


def _csv(layout: FileLayout) -> Csv:
    assert layout.csv
    return layout.csv


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2\n", ";"),
        ("a\tb\n1,5\t2;3\n", "\t"),
        ("a|b\n1|2\n", "|"),
        ("Name, Vorname;Tel\nMüller, Max;0171 3920012\n", ";"),
        ("a,b\n1,2,3\n1,2,3\n1,2\n1,2\n1,2\n", ","),
        ('a;b\n"x,y,z";2\n"x,y";2\n', ";"),
    ],
)
def test_the_delimiter_is_found(tmp_path: Path, content: str, delimiter: str) -> None:
    assert _csv(_sniff(tmp_path, content.encode())).delimiter == delimiter


@pytest.mark.parametrize(
    "content", ["Telefon (privat, alt)\n01713920012\n", "phone\n0171;3920012\n"]
)
def test_a_single_column_stays_one(tmp_path: Path, content: str) -> None:
    assert len(_sniff(tmp_path, content.encode()).columns) == 1


def test_settings_come_first(tmp_path: Path) -> None:
    layout = _sniff(tmp_path, b"a;b,c\n1;2,\xe93\n", delimiter=",", encoding="cp437")
    assert _csv(layout).delimiter == ","
    assert layout.columns[1].sample == ("\u03983",)


def test_the_first_line_may_declare_the_delimiter(tmp_path: Path) -> None:
    layout = _sniff(tmp_path, b'"sep=|"\r\na|b\r\n1,2|3,4\r\n')
    assert _csv(layout).delimiter == "|"
    assert [c.name for c in layout.columns] == ["a", "b"]
    with pytest.raises(InputError, match="declares the delimiter 'x'"):
        _sniff(tmp_path, b"sep=x\naxb\n1x2\n")


@pytest.mark.parametrize(
    ("bom", "codec"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (b"", "utf-16-le"),
        (b"", "utf-16-be"),
    ],
)
def test_the_encoding_is_found(tmp_path: Path, bom: bytes, codec: str) -> None:
    layout = _sniff(tmp_path, bom + "naïve;phone\r\nZoë;01713920012\r\n".encode(codec))
    assert _csv(layout).encoding == codec
    assert [c.name for c in layout.columns] == ["naïve", "phone"]
    assert layout.columns[0].sample == ("Zoë",)


def test_names_are_made_clean_and_unique(tmp_path: Path) -> None:
    layout = _sniff(tmp_path, "\n\r\n a ,,a,a_2\n1,2,3,4\n".encode("utf-8-sig"))
    assert [c.name for c in layout.columns] == ["a", "column_2", "a_3", "a_2"]
    assert [c.duplicate_of for c in layout.columns] == ["a", "", "a", ""]


def test_packing_goes_by_content_not_by_name(tmp_path: Path) -> None:
    layout = _sniff(tmp_path, gzip.compress(b"phone\n01713920012\n", mtime=0))
    assert _csv(layout).packing is Packing.GZIP


def test_without_header_the_usual_width_counts(tmp_path: Path) -> None:
    layout = _sniff(tmp_path, b"1,2\n1,2,3\n1,2,3\n1,2,3,4\n", has_header=False)
    assert [c.name for c in layout.columns] == ["column_1", "column_2", "column_3"]
    assert _csv(layout).offset == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (gzip.compress(b"", mtime=0), "it is empty"),
        (b" \r\n\n \t", "blank lines only"),
        ("\ufeff \n".encode("utf-16-le"), "blank lines only"),
        (b"phone\n", "header but no rows"),
        (b"phone,a\n\n\n", "header but no rows"),
        (b"sep=;\n", "header but no rows"),
        (b"PK\x03\x04\x14\x00\x06\x00[Content_Types].xml", "a damaged zip archive or Excel"),
        (b"PK\x05\x06" + bytes(18), "an empty zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "looks like an Excel workbook"),
        (bz2.compress(gzip.compress(b"phone\n", mtime=0)), "packed twice"),
        (bz2.compress(b"phone\n1\n")[:-9], "it is damaged"),
        (b"%PDF-1.7\n", "PDF"),
        (b"ORC\x08\x03\x10\x00\x00", "ORC"),
        (b"Obj\x01\x04", "Avro"),
        (b'{"phone": "+491713920012"}\n', "JSON"),
        (b'[\n {"phone": "+491713920012"}]', "JSON"),
        (b"<?xml version='1.0'?><a/>", "XML"),
        (b"<!DOCTYPE html>", "web page"),
        (gzip.compress(gzip.compress(b"phone\n", mtime=0), mtime=0), "packed twice"),
        (gzip.compress(b"PAR1\x15\x04PAR1", mtime=0), "packed Parquet"),
        (b"BZh91AY&SY", "it is damaged"),
        (b"\xfd7zXZ\x00", "xz archive"),
        (b"a,b\n1,2,3\n1,2,3\n", "most rows have more cells"),
        (b'phone,a\n"0171,b\n0172,c\n', "quotes in its first rows"),
        (b'"phone,a\n0171,b\n0172,c\n', "quotes|no rows"),
    ],
)
def test_what_is_no_list_is_refused_in_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        _sniff(tmp_path, content)
    assert caught.value.exit_code == 65
    assert str(caught.value).startswith("x.csv: ")
    assert "\n" not in str(caught.value)
    assert "3920012" not in str(caught.value)


def test_binary_junk_is_refused_never_a_crash(tmp_path: Path) -> None:
    generator = random.Random(7)
    for size in [1, 2, 3, 5, 16, 100, 1000, 30_000] * 8:
        with pytest.raises(InputError):
            _sniff(tmp_path, b"\x00\x01" + generator.randbytes(size))


def test_a_column_of_whole_floats_is_known_as_one(tmp_path: Path) -> None:
    layout = _sniff(tmp_path, b"a,b,c\n491713920012.0,1.0,1\n,2,2\n491713920013.0,3.0,3\n")
    assert [c.kind for c in layout.columns] == ["float", "text", "text"]
