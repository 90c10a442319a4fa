"""Lists in every shape they come in give the numbers they mean."""

from __future__ import annotations

import bz2
import gzip
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter

from batch_screen.sandbox.run import SandboxThread
from tests.thoroughness import IS_FULL, in_full
from tests.threads import at_once

from .conftest import NUMBERS, Desk, Finished, new_sandbox

MEANT = [NUMBERS[0], NUMBERS[700], NUMBERS[42], NUMBERS[700]]
PLAIN = "".join(f"{line}\n" for line in ["phone", *MEANT])
NAMED = "".join(f"{line}\n" for line in ["Kundë;phone;Ort", *(f"Zoë;{n};Köln" for n in MEANT)])
DIGITS = [int(number[1:]) for number in MEANT]
BRITISH = ("--default-region", "GB")


@dataclass
class Shape:
    """What is written, and how the command is told of it."""

    write: Callable[[Path], object]
    options: tuple[str, ...] = ("list.csv",)
    stdin: bytes = b""


def text(content: str, encoding: str = "utf-8") -> Callable[[Path], object]:
    return lambda folder: (folder / "list.csv").write_bytes(content.encode(encoding))


def parquet(column: Any) -> Callable[[Path], object]:
    return lambda folder: pq.write_table(pa.table({"phone": column}), folder / "list.parquet")


def two_files(folder: Path, name: str = "part-{}.csv") -> None:
    for number, half in enumerate((MEANT[:2], MEANT[2:])):
        path = folder / name.format(number)
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(["phone", *half]))


def zstd(folder: Path) -> None:
    with pa.CompressedOutputStream(str(folder / "list.csv.zst"), "zstd") as file:
        file.write(PLAIN.encode())


def in_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "lists.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/list.csv", PLAIN)


def workbook(folder: Path) -> None:
    with xlsxwriter.Workbook(str(folder / "list.xlsx")) as book:
        book.add_worksheet("Notes").write_row(0, 0, ["do not", "read"])
        sheet = book.add_worksheet("Customers")
        sheet.write(0, 0, "Export of today")
        for row, cells in enumerate([("id", "phone"), *(("C", number) for number in MEANT)]):
            sheet.write_row(row + 2, 0, cells)


def partitions(folder: Path) -> None:
    for number, part in enumerate((MEANT[:2], [], MEANT[2:])):
        path = folder / "lists" / f"day={number}" / "part 0.csv"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(["phone", *part]))
        (path.parent / "_SUCCESS").touch()


IN_PARQUET = ("list.parquet",)
SHAPES = {
    "stdin": Shape(lambda _: None, ("-",), PLAIN.encode()),
    "two-files": Shape(two_files, ("part-0.csv", "part-1.csv")),
    "folder": Shape(lambda folder: two_files(folder, "lists/{}.csv"), ("lists",)),
    "glob": Shape(two_files, ("part-*.csv",)),
    "no-header": Shape(text("\n".join(MEANT)), ("list.csv", "--no-header")),
    "no-header-named": Shape(
        text("\n".join(f"7,{number}" for number in MEANT)),
        ("list.csv", "--no-header", "--phone-column", "2"),
    ),
    "semicolon": Shape(text(NAMED)),
    "utf-16": Shape(text(NAMED, "utf-16")),
    "latin-1": Shape(text(NAMED, "latin-1")),
    "cr": Shape(text(NAMED.replace("\n", "\r"))),
    "gzip": Shape(
        lambda folder: (folder / "list.csv.gz").write_bytes(gzip.compress(PLAIN.encode())),
        ("list.csv.gz",),
    ),
    "zstd": Shape(zstd, ("list.csv.zst",)),
    "bzip2": Shape(
        lambda folder: (folder / "list.csv.bz2").write_bytes(bz2.compress(PLAIN.encode())),
        ("list.csv.bz2",),
    ),
    "zip": Shape(in_zip, ("lists.zip",)),
    "workbook": Shape(workbook, ("list.xlsx", "--sheet", "customers")),
    "partitions": Shape(partitions, ("lists/**/*.csv", "--keep-columns", "day")),
    "titles": Shape(text(f"Export of today\n\n{PLAIN}")),
    "lines-to-skip": Shape(text(f"Report;all;of\nit\n{NAMED}"), ("list.csv", "--skip-lines", "2")),
    "backslashes": Shape(
        text('"note","phone"\n' + "".join(f'"5\\" pipe","{number}"\n' for number in MEANT))
    ),
    "carets": Shape(text(NAMED.replace(";", "^"))),
    "integers": Shape(parquet(pa.array(DIGITS)), (*IN_PARQUET, *BRITISH)),
    "floats": Shape(parquet(pa.array([float(n) for n in DIGITS])), (*IN_PARQUET, *BRITISH)),
    "dictionary": Shape(parquet(pa.array(MEANT).dictionary_encode()), IN_PARQUET),
}


SIMILAR = {
    "no-header",
    "latin-1",
    "zstd",
    "partitions",
    "titles",
    "backslashes",
    "no-header-named",
    "semicolon",
    "cr",
    "bzip2",
    "zip",
    "lines-to-skip",
    "carets",
    "integers",
    "dictionary",
}
"""Read as others are; each has tests of its own in tests/unit/input."""


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxThread]:
    with new_sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def screened(
    server: SandboxThread, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Desk, Finished]]:
    folder = tmp_path_factory.mktemp("inputs")

    def one(name: str) -> tuple[Desk, Finished]:
        shape = SHAPES[name]
        desk = Desk(folder / name, server.url)
        shape.write(desk.folder)
        return desk, desk.run(*shape.options, stdin=shape.stdin, cwd=desk.folder)

    names = [name for name in SHAPES if IS_FULL or name not in SIMILAR]
    return dict(zip(names, at_once(one, names), strict=True))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=in_full) if n in SIMILAR else n for n in SHAPES]
)
def test_numbers_are_the_ones_meant(screened: dict[str, tuple[Desk, Finished]], name: str) -> None:
    desk, done = screened[name]
    assert done.code == 0, done.err
    results = desk.latest.frame("results")
    assert results["e164"].to_list() == MEANT
    assert results["row_index"].to_list() == [0, 1, 2, 3]
    assert desk.latest.frame("errors").is_empty()


def test_rows_know_their_file(screened: dict[str, tuple[Desk, Finished]]) -> None:
    for name in ("two-files", "glob", "folder"):
        rows = screened[name][0].latest.frame("results").select("source_file", "source_row")
        first, second = ("0.csv", "1.csv") if name == "folder" else ("part-0.csv", "part-1.csv")
        assert rows.rows() == [(first, 1), (first, 2), (second, 1), (second, 2)]
    assert set(screened["stdin"][0].latest.frame("results")["source_file"]) == {"stdin"}


def test_stdin_leaves_no_copy_behind(screened: dict[str, tuple[Desk, Finished]]) -> None:
    desk, _ = screened["stdin"]
    assert list(desk.out.rglob("stdin-*")) == []


def test_kept_columns_of_a_latin_list(tmp_path: Path, server: SandboxThread) -> None:
    desk = Desk(tmp_path, server.url)
    (tmp_path / "list.csv").write_bytes(NAMED.encode("latin-1"))
    done = desk.run(tmp_path / "list.csv", "--keep-columns", "all")
    assert done.code == 0, done.err
    kept = desk.latest.frame("results").select(pl.col("^in_.*$"))
    assert kept.columns == ["in_Kundë", "in_phone", "in_Ort"]
    assert kept.rows() == [("Zoë", number, "Köln") for number in MEANT]
