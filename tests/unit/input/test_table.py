from __future__ import annotations

import gzip
from collections.abc import Callable
from itertools import product
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.screening import Input
from batch_screen.errors import InputError
from batch_screen.input.table import Table, open_listed, open_table
from batch_screen.model import ColumnKind
from tests.thoroughness import examples

LINE = "C{:07},+49 171 39{:05},DE\n"


def listed(rows: int) -> bytes:
    lines = (LINE.format(row, row % 100_000) for row in range(rows))
    return ("id,phone,country\n" + "".join(lines)).encode()


def expected(path: Path) -> int:
    return open_table([path], Input(phone_column="phone")).expected_rows()


@pytest.mark.parametrize("rows", [1, 1_000, 100_000])
def test_text_is_counted_by_its_beginning(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(listed(rows))
    assert expected(path) == pytest.approx(rows, rel=0.02, abs=1)


def test_what_is_packed_is_of_the_same_order(tmp_path: Path) -> None:
    path = tmp_path / "list.csv.gz"
    path.write_bytes(gzip.compress(listed(200_000)))
    assert 50_000 < expected(path) < 1_000_000


def test_parquet_knows(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    pl.DataFrame({"phone": ["+491713920012"] * 1234}).write_parquet(path)
    assert expected(path) == 1234


ONE, TWO = "+49 171 3920012", "030 23125123"


def opened(path: Path, content: str | bytes = "", **how: object) -> Table:
    if content:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    [table] = open_listed(path, "opt-out list no", Input.model_validate(how))
    return table


def rows(table: Table) -> list[tuple[int, str | None]]:
    return [
        row for batch in table.batches() for row in batch.select("source_row", "raw").iter_rows()
    ]


@pytest.mark.parametrize("first", [ONE, TWO, "'+491713920012", "4.91711E+11", "tel:+493023125123"])
def test_a_first_line_that_holds_a_number_is_a_row(tmp_path: Path, first: str) -> None:
    table = opened(tmp_path / "no.txt", f"{first}\n\n{TWO}\n")
    assert rows(table) == [(1, first), (2, None), (3, TWO)]
    assert rows(opened(tmp_path / "no.txt", first)) == [(1, first)]


@pytest.mark.parametrize("header", ["phone", "Widersprüche", "Nummer (Stand 2026)"])
def test_a_first_line_without_one_is_a_header(tmp_path: Path, header: str) -> None:
    assert rows(opened(tmp_path / "no.txt", f"{header}\n{ONE}\n{TWO}\n")) == [(1, ONE), (2, TWO)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_with_and_without_a_header(tmp_path: Path, delimiter: str) -> None:
    lines = [f"Zoë{delimiter}{ONE}", f"José{delimiter}{TWO}", ""]
    assert rows(opened(tmp_path / "no.csv", "\n".join(lines))) == [(1, ONE), (2, TWO)]
    lines = [f"name{delimiter}phone", *lines]
    assert rows(opened(tmp_path / "no.csv", "\n".join(lines))) == [(1, ONE), (2, TWO)]


def test_what_describes_the_inputs_does_not_describe_the_list(tmp_path: Path) -> None:
    how = {
        "has_header": False,
        "delimiter": "|",
        "encoding": "utf-16",
        "keep_columns": "id",
        "phone_column": "mobile",
        "region_column": "country",
    }
    table = opened(tmp_path / "no.csv", f"id;phone\nZoë;{ONE}\n", **how)
    assert rows(table) == [(1, ONE)]
    assert (table.kept, table.region_column) == ({}, None)


def test_its_columns_may_have_the_names_of_the_inputs(tmp_path: Path) -> None:
    content = f"phone;Mobile;country\n{TWO};{ONE};DE\n"
    table = opened(tmp_path / "no.csv", content, phone_column="mobile", region_column="COUNTRY")
    assert (table.phone_columns, table.region_column) == (("Mobile",), "country")
    assert rows(table) == [(1, ONE)]


def test_all_its_columns_that_the_inputs_name_are_read(tmp_path: Path) -> None:
    path = tmp_path / "no.csv"
    path.write_text(f"id;Home;mobile\n1;{TWO};\n2;;{ONE}\n")
    named = Input.model_validate({"phone_column": "mobile,home,work"})
    found = [rows(table) for table in open_listed(path, "opt-out list no", named)]
    assert found == [[(1, None), (2, ONE)], [(1, TWO), (2, None)]]


def test_parquet_and_what_is_packed(tmp_path: Path) -> None:
    pq.write_table(pa.table({"phone": [493023125123, None]}), tmp_path / "no.parquet")
    table = opened(tmp_path / "no.parquet")
    assert table.kinds[0] is ColumnKind.INTEGER
    assert rows(table) == [(1, "493023125123"), (2, None)]
    assert rows(opened(tmp_path / "no.gz", gzip.compress(ONE.encode()))) == [(1, ONE)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"mobile,telephone\n{ONE},{TWO}\n", "keep that one alone, or call it phone"),
        (f"{ONE},{TWO}\n", "keep that one alone, or call it phone"),
        ("\n\n", "blank lines only"),
        ("phone\n", "no rows"),
        (b"PK\x03\x04 and so on", "Excel"),
    ],
)
def test_what_is_no_list_is_named(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(InputError) as caught:
        opened(tmp_path / "no", content)
    assert str(caught.value).startswith("opt-out list no: ")
    assert words in str(caught.value)
    assert "--" not in str(caught.value).replace("--no-header", "")


def test_a_list_that_is_empty_or_missing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "no").touch()
    with pytest.raises(InputError, match="it is empty"):
        opened(tmp_path / "no")
    with pytest.raises(InputError, match="no such file") as caught:
        opened(tmp_path / "nowhere")
    assert caught.value.exit_code == 66


def test_the_inputs_caps_hold_for_it_too(tmp_path: Path) -> None:
    bomb = gzip.compress(f"{ONE}\n".encode() * 4_000_000)
    with pytest.raises(InputError, match="max_unpacking_ratio"):
        rows(opened(tmp_path / "no.gz", bomb, max_unpacking_ratio=2))


NUMBERS = ["+491713920012", "0171 3920013", "0033 6 39 98 12 34", "(202) 555-0123"]
NAMES = ["Zoë", "Müller; Max", 'the "big" one', ""]


def _open(path: Path, **options: object) -> Table:
    return open_table([path], Input.model_validate(options))


def _all(table: Table, rows: int = 50_000) -> pl.DataFrame:
    return pl.concat(list(table.batches(rows)))


def _zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


def _text(delimiter: str, end: str) -> str:
    quoted = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in NAMES]
    lines = [f"id{delimiter}name{delimiter}phone"]
    lines += [
        f"{i}{delimiter}{name}{delimiter}{number}"
        for i, (name, number) in enumerate(zip(quoted, NUMBERS, strict=True))
    ]
    return end.join([*lines, ""])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, _zstd])
def test_every_format_gives_the_same_rows(
    tmp_path: Path, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "list"
    for delimiter, end in product(",;\t|", ("\n", "\r\n", "\r")):
        path.write_bytes(pack(_text(delimiter, end).encode(encoding)))
        table = _open(path, keep_columns="name")
        (batch,) = table.batches()
        assert table.phone_columns == ("phone",), (delimiter, end)
        assert batch["raw"].to_list() == NUMBERS, (delimiter, end)
        assert batch["in_name"].to_list() == [*NAMES[:3], None], (delimiter, end)
        assert not batch["ragged"].any(), (delimiter, end)


def test_the_batches_have_fixed_columns_and_types(tmp_path: Path) -> None:
    text, parquet = tmp_path / "a.csv", tmp_path / "b.parquet"
    text.write_text("phone,land,n\n01713920012,DE,1\n0172,,\n")
    pq.write_table(pa.table({"n": [3], "land": ["FR"], "phone": ["+33639981234"]}), parquet)
    options = Input(region_column="land", keep_columns=("n",), phone_column="phone")
    table = open_table([text, parquet], options)
    batch = _all(table)
    assert batch.schema == {
        "row_index": pl.Int64,
        "source_file": pl.String,
        "source_row": pl.Int64,
        "phone_column": pl.String,
        "raw": pl.String,
        "raw_region": pl.String,
        "ragged": pl.Boolean,
        "in_n": pl.String,
    }
    assert table.kept == {"in_n": pl.String()}
    assert table.region_column == "land"
    assert batch.rows() == [
        (0, "a.csv", 1, "phone", "01713920012", "DE", False, "1"),
        (1, "a.csv", 2, "phone", "0172", None, False, None),
        (2, "b.parquet", 1, "phone", "+33639981234", "FR", False, "3"),
    ]
    assert (
        batch.schema
        == _all(_open(parquet, region_column="land", keep_columns="n"))
        .cast({"in_n": pl.String})
        .schema
    )


def test_surplus_cells_mark_a_row_and_missing_ones_are_null(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,phone\n1,0171\n1,0172,x\n1,0173,\n1\n1,0174,,,x\n1,0175\n1,0176\n")
    rows = _all(_open(path, phone_column="phone")).select("raw", "ragged").rows()
    assert rows == [
        ("0171", False),
        ("0172", True),
        ("0173", False),
        (None, False),
        ("0174", True),
        ("0175", False),
        ("0176", False),
    ]


@examples(60)
@given(st.integers(1, 60), st.integers(1, 13), st.booleans())
def test_chunks_and_batches_of_any_size_give_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, chunk_bytes: int, rows: int, is_packed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / f"sizes-{is_packed}.csv"
    text = _text(";", "\r\n") + "9;Zoë;0171\r\n" * 5
    path.write_bytes(gzip.compress(text.encode()) if is_packed else text.encode())
    whole = _all(_open(path, keep_columns="all"))
    table = open_table([path], Input(keep_columns=("all",)), chunk_bytes=chunk_bytes)
    assert _all(table, rows).equals(whole)
    heights = [batch.height for batch in table.batches(rows)]
    assert all(height == rows for height in heights[:-1])


def test_rows_are_counted_over_all_files_and_in_each(tmp_path: Path) -> None:
    paths = []
    for folder in ("b", "a"):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "x.csv")
        paths[-1].write_text("phone\n01713920012\n01713920013\n")
    batch = _all(open_table(paths, Input()), 3)
    assert batch["row_index"].to_list() == [0, 1, 2, 3]
    assert batch["source_row"].to_list() == [1, 2, 1, 2]
    assert batch["source_file"].to_list() == ["b/x.csv", "b/x.csv", "a/x.csv", "a/x.csv"]
    batch = _all(open_table(paths, Input(), ["stdin", "two"]))
    assert batch["source_file"].unique(maintain_order=True).to_list() == ["stdin", "two"]


def test_a_late_change_of_encoding_keeps_every_row(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"name,phone\n" + b"Bob,01713920012\n" * 90_000 + b"Zo\xeb,01713920013\n")
    batch = _all(open_table([path], Input(keep_columns=("name",)), chunk_bytes=100_000))
    assert batch.height == 90_001
    assert batch["in_name"][-1] == "Zoë"
    assert batch["raw"][-1] == "01713920013"


def test_nul_bytes_and_odd_line_breaks_stay_in_their_cells(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    odd = "0171\x00392\x0b00\u202812"
    path.write_text("name,phone\n" + "Bob,01713920012\n" * 50 + f"x,{odd}\n", newline="")
    assert _all(_open(path))["raw"][-1] == odd


def test_files_of_different_kinds_are_not_mixed(tmp_path: Path) -> None:
    text, parquet = tmp_path / "a.csv", tmp_path / "b.parquet"
    text.write_text("phone\n01713920012\n")
    pq.write_table(pa.table({"phone": [491713920012]}), parquet)
    with pytest.raises(InputError, match=r"b\.parquet: its phone column is integer, but text in a"):
        open_table([text, parquet], Input())


def test_a_file_that_breaks_later_is_an_error_after_its_good_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    lines = b"".join(b"%d,+49171392%04d\n" % (i * 7919 % 10007, i % 10_000) for i in range(400_000))
    whole = gzip.compress(b"id,phone\n" + lines, 1)
    path.write_bytes(whole[:-2000])
    table = _open(path)
    with pytest.raises(InputError, match=r"^x\.csv\.gz: it is damaged or ends too early"):
        list(table.batches())
    path.unlink()
    with pytest.raises(InputError, match="no such file") as caught:
        list(table.batches())
    assert caught.value.exit_code == 66


def test_nothing_to_open_is_said() -> None:
    with pytest.raises(InputError, match="no input"):
        open_table([], Input())
    with pytest.raises(InputError, match="no such file"):
        open_table([Path("/nowhere/x.csv")], Input())


def test_long_cells_make_smaller_batches(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("phone,note\n" + f"0171,{'x' * 1_000_000}\n" * 150)
    batches = list(_open(path, keep_columns="note", phone_column="phone").batches())
    assert len(batches) > 1
    assert all(batch.estimated_size() < 100 << 20 for batch in batches)
    assert pl.concat(batches)["row_index"].to_list() == list(range(150))


@pytest.mark.parametrize(
    ("content", "options", "encoding"),
    [
        (b"phone\n+491713920012\n", {}, "ascii"),
        ("Name,phone\nZoë,+491713920012\n".encode(), {}, "utf-8"),
        ("Name,phone\nZoë,+491713920012\n".encode("cp1252"), {}, "windows-1252"),
        ("Name,phone\nZoë,+491713920012\n".encode("utf-16"), {}, "utf-16-le"),
        ("Name,phone\nZoë,+491713920012\n".encode("cp850"), {"encoding": "cp850"}, "cp850"),
    ],
)
def test_the_encoding_that_a_file_is_read_in(
    tmp_path: Path, content: bytes, options: dict[str, str], encoding: str
) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    table = _open(tmp_path / "x.csv", **options)
    assert [table.encoding_of(layout) for layout, _ in table.files] == [encoding]


def _lists(folder: Path, **content: str) -> list[Path]:
    for name, text in content.items():
        (folder / f"{name}.csv").write_text(text)
    return sorted(folder.glob("*.csv"))


@pytest.mark.parametrize("empty", ["", "\n\n", "phone\n", "phone,id\n\n", "\ufeff"])
def test_a_part_without_rows_is_skipped_and_said(tmp_path: Path, empty: str) -> None:
    paths = _lists(tmp_path, a=empty, b=f"phone\n{ONE}\n", c=empty)
    table = open_table(paths, Input())
    assert [row for batch in table.batches() for row in batch["source_file"]] == ["b.csv"]
    assert table.notes == tuple(f"{n}.csv: it holds no rows and is skipped" for n in "ac")
    with pytest.raises(InputError, match=r"^a\.csv: .* export the list again"):
        open_table(paths[:1] + paths[2:], Input())


def test_a_part_of_parquet_without_rows_is_skipped(tmp_path: Path) -> None:
    for name, cells in (("a", []), ("b", [ONE]), ("c", [])):
        pq.write_table(
            pa.table({"phone": pa.array(cells, pa.string())}), tmp_path / f"{name}.parquet"
        )
    (tmp_path / "d.parquet").touch()
    found = open_table(sorted(tmp_path.iterdir()), Input())
    assert rows(found) == [(1, ONE)]
    assert len(found.notes) == 3


def test_a_header_that_is_a_row_is_not_skipped(tmp_path: Path) -> None:
    paths = _lists(tmp_path, a=f"phone\n{ONE}\n", b=f"{TWO}\n")
    with pytest.raises(InputError, match=r"^b\.csv: .* say --no-header"):
        open_table(paths, Input())


def test_partition_keys_are_columns(tmp_path: Path) -> None:
    paths = []
    for key, cell in (("DE", ONE), ("__HIVE_DEFAULT_PARTITION__", TWO), ("G%42", TWO)):
        paths.append(tmp_path / f"Country={key}" / "part-0.csv")
        paths[-1].parent.mkdir()
        paths[-1].write_text(f"phone\n{cell}\n")
    table = open_table(paths, Input(region_column="country", keep_columns=("all",)))
    (batch,) = table.batches()
    assert batch.columns[-2:] == ["in_phone", "in_Country"]
    assert batch["raw_region"].to_list() == batch["in_Country"].to_list() == ["DE", None, "GB"]
    assert batch["raw"].to_list() == [ONE, TWO, TWO]
    with pytest.raises(InputError, match=r"'Country' .* cannot hold phone numbers"):
        open_table(paths, Input(phone_column="country"))


def test_a_files_own_column_goes_before_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "country=DE" / "a.csv"
    path.parent.mkdir()
    path.write_text(f"phone,country\n{ONE},AT\n")
    table = open_table([path], Input(region_column="country"))
    assert next(table.batches())["raw_region"].to_list() == ["AT"]


# Several phone columns: each cell is a row.

WIDE = (
    "id,mobile,home,Büro, alt\n"
    "1,+1 202 555 0101,(202) 555-0102,\n"
    "2,,+1 202 555 0103,+1 202 555 0104\n"
)


@pytest.mark.parametrize(
    "named",
    ["mobile,home", " mobile , home,", ("mobile", "home"), ["MOBILE", "Home", "mobile"]],
)
def test_each_cell_of_several_phone_columns_is_a_row(tmp_path: Path, named: object) -> None:
    path = tmp_path / "a.csv"
    path.write_text(WIDE.replace("Büro, alt", "work"))
    table = _open(path, phone_column=named, keep_columns="id,home")
    assert table.phone_columns == ("mobile", "home")
    assert table.expected_rows() % 2 == 0
    batch = _all(table, 1)
    assert batch.select("row_index", "source_row", "phone_column", "raw", "in_id").rows() == [
        (0, 1, "mobile", "+1 202 555 0101", "1"),
        (1, 1, "home", "(202) 555-0102", "1"),
        (2, 2, "mobile", None, "2"),
        (3, 2, "home", "+1 202 555 0103", "2"),
    ]
    assert batch["in_home"].to_list() == ["(202) 555-0102"] * 2 + ["+1 202 555 0103"] * 2


@pytest.mark.parametrize(
    "named", ["Büro, alt,mobile", "büro,alt , mobile", ("Büro, alt", "mobile")]
)
def test_a_name_may_hold_a_comma(tmp_path: Path, named: object) -> None:
    path = tmp_path / "a.csv"
    path.write_text(WIDE.replace("Büro, alt", '"Büro, alt"'), encoding="utf-8")
    assert _open(path, phone_column=named).phone_columns == ("Büro, alt", "mobile")


def test_the_columns_are_read_in_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    text, parquet = tmp_path / "a.csv", tmp_path / "b.parquet"
    text.write_text("mobile,home\na1,a2\n")
    cells = {"Home": ["b2", "b4"], "Mobile": ["b1", "b3"]}
    pq.write_table(pa.table(cells), parquet)
    table = open_table([text, parquet], Input(phone_column="home,mobile"))
    assert table.names == [["home", "Home"], ["mobile", "Mobile"]]
    assert _all(table).select("source_file", "source_row", "phone_column", "raw").rows() == [
        ("a.csv", 1, "home", "a2"),
        ("a.csv", 1, "mobile", "a1"),
        ("b.parquet", 1, "Home", "b2"),
        ("b.parquet", 1, "Mobile", "b1"),
        ("b.parquet", 2, "Home", "b4"),
        ("b.parquet", 2, "Mobile", "b3"),
    ]


def test_without_a_header_columns_are_named_by_number(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"1,{ONE},{TWO}\n2,,{TWO}\n")
    table = _open(path, phone_column="3,2", has_header=False)
    assert table.phone_columns == ("column_3", "column_2")


def test_a_column_that_one_file_lacks_is_named(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text(f"mobile,home\n{ONE},{TWO}\n")
    second.write_text(f"mobile,work\n{ONE},{TWO}\n")
    with pytest.raises(InputError, match=r"b\.csv: there is no phone column 'home'\."):
        open_table([first, second], Input(phone_column="mobile,home"))


def test_each_column_has_its_own_kind(tmp_path: Path) -> None:
    # As data frames write them: whole numbers where each row has one, decimals where some have.
    path, later = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_text("mobile,home\n491713920012,\n491713920013,493023125001.0\n")
    later.write_text("mobile,home\n491713920012,\n")
    assert open_table([path, later], Input(phone_column="mobile,home")).kinds == ("text", "float")


def test_a_column_is_either_of_numbers_or_of_regions(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"mobile,home\n{ONE},{TWO}\n")
    with pytest.raises(InputError, match="both name 'home'"):
        _open(path, phone_column="mobile,home", region_column="Home")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_header_with_nul_is_read_without_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"list.{suffix}"
    if suffix == "csv":
        path.write_text(f"i\0d,pho\0ne\nC-1,{ONE}\n" + f"C-2,{TWO}\n" * 50, "utf-8")
    else:
        pq.write_table(pa.table({"i\0d": ["C-1"], "pho\0ne": [ONE]}), path)
    table = open_table([path], Input(keep_columns=("id",)))
    first = next(iter(table.batches()))
    assert first.row(0, named=True)["in_id"] == "C-1"
    assert first["phone_column"][0] == "phone"
