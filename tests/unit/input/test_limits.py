from __future__ import annotations

import gzip
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.screening import Input
from batch_screen.errors import InputError
from batch_screen.input.layout import Packing
from batch_screen.input.limits import BATCH_ROWS, Caps, Page, Weights, claimed_bytes, opened, pages

MIB = 1 << 20


def claim(packing: Packing, data: bytes) -> int:
    return claimed_bytes(packing, len(data), data[:18], data[-18:])


@given(st.binary(max_size=70_000), st.integers(1, 9))
def test_gzip_says_its_size(data: bytes, level: int) -> None:
    assert claim(Packing.GZIP, gzip.compress(data, level)) == len(data)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65_535, 65_791, 65_792, 300_000])
def test_zstd_says_its_size(size: int) -> None:
    packed = bytes(pa.Codec("zstd").compress(bytes(size), asbytes=True))
    assert claim(Packing.ZSTD, packed) == size


@given(st.integers(0, 3), st.booleans(), st.integers(0, 3), st.data())
def test_every_zstd_header_is_read(width: int, single: bool, ids: int, data: st.DataObject) -> None:
    """Written after RFC 8878: descriptor, window, dictionary's id, content size."""
    field = (1 if single else 0, 2, 4, 8)[width]
    offset = 256 if field == 2 else 0
    size = data.draw(st.integers(offset, 256**field - 1 + offset)) if field else 0
    descriptor = width << 6 | single << 5 | ids
    window = b"" if single else b"\x58"
    dictionary = b"\x07" * (0, 1, 2, 4)[ids]
    head = b"\x28\xb5\x2f\xfd" + bytes([descriptor]) + window + dictionary
    head += (size - offset).to_bytes(field, "little") if field else b""
    assert claimed_bytes(Packing.ZSTD, len(head), head[:18], b"") == size


@given(st.sampled_from(Packing), st.integers(0, 1 << 40), st.binary(max_size=18))
def test_any_bytes_are_some_claim(packing: Packing, size: int, data: bytes) -> None:
    assert 0 <= claimed_bytes(packing, size, data, data) < 1 << 64


def test_what_deflate_cannot_reach_is_no_claim() -> None:
    assert claimed_bytes(Packing.GZIP, 1_000, b"", (1_032_000).to_bytes(4, "little")) == 1_032_000
    assert claimed_bytes(Packing.GZIP, 1_000, b"", (1_032_001).to_bytes(4, "little")) == 0


def test_a_small_file_may_have_any_ratio() -> None:
    caps = Caps.of(Input())
    caps.check("x", 1, 32 * MIB)
    with pytest.raises(InputError, match=r"input\.max_unpacking_ratio"):
        caps.check("x", 1, 32 * MIB + 1)
    caps.check("x", MIB, 200 * MIB)
    with pytest.raises(InputError, match="x: it unpacks to more than 200 times its size"):
        caps.check("x", MIB, 200 * MIB + 1)


def test_hundred_million_rows_pass() -> None:
    rows = 100_000_000
    Caps.of(Input()).check("x", rows * 20, rows * 600)


def test_the_cap_in_gib() -> None:
    caps = Caps.of(Input(max_unpacked_gib=0.5))
    caps.check("x", 100 * MIB, 512 * MIB)
    with pytest.raises(InputError, match=r"more than 0\.5 GiB.*input\.max_unpacked_gib"):
        caps.check("x", 100 * MIB, 512 * MIB + 1)


CAPS = Caps.of(Input())
CELLS = [f"cell {n}" for n in range(5_000)]


def written(cells: list[str], **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    pq.write_table(pa.table({"a": cells}), file, **options)
    return file


def first_chunk(file: io.BytesIO) -> Any:
    return opened(file, "x", CAPS).metadata.row_group(0).column(0)


def found(file: io.BytesIO) -> list[Page]:
    return list(pages(file, first_chunk(file)))


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_plain_pages(version: str, compression: str) -> None:
    file = written(
        CELLS,
        use_dictionary=False,
        data_page_version=version,
        data_page_size=1_000,
        compression=compression,
    )
    seen = found(file)
    assert len(seen) > 3
    assert not any(page.is_dictionary for page in seen)
    assert {page.encoding for page in seen} == {0}
    cells = sum(4 + len(cell) for cell in CELLS)
    assert cells < sum(page.unpacked_bytes for page in seen) < cells * 1.2


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_dictionary_comes_first(version: str) -> None:
    first, *others = found(written(CELLS, data_page_version=version))
    assert first == Page(True, 0, sum(4 + len(cell) for cell in CELLS))
    assert {page.encoding for page in others} == {8}


def test_delta_pages_are_known() -> None:
    file = written(CELLS, use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY"})
    assert {page.encoding for page in found(file)} == {7}


def test_long_statistics_are_skipped() -> None:
    file = written(["x" * 3_000, "y" * 3_000], use_dictionary=False, write_statistics=True)
    assert [page.encoding for page in found(file)] == [0]


def portions(file: io.BytesIO, caps: Caps = CAPS) -> list[tuple[list[int], int]]:
    opening = opened(file, "x", caps)
    return list(Weights(file, "x", caps).portions(opening.metadata, ["a"]))


def test_short_cells_are_read_in_whole_batches() -> None:
    assert portions(written(CELLS, use_dictionary=False)) == [([0], BATCH_ROWS)]


def test_small_row_groups_are_read_together() -> None:
    ((groups, rows),) = portions(written(CELLS, row_group_size=500))
    assert groups == list(range(10))
    assert rows > 5_000


@pytest.mark.parametrize("options", [{}, {"column_encoding": {"a": "DELTA_BYTE_ARRAY"}}])
def test_what_may_come_out_often_is_read_in_few_rows(options: dict[str, Any]) -> None:
    """A megabyte could stand in all of fifty thousand rows."""
    cells = ["x" * (1 << 20)] + ["y"] * 100
    file = written(cells, use_dictionary=not options, **options)
    ((_, rows),) = portions(file)
    assert 60 <= rows <= 64


def test_what_came_out_counts() -> None:
    weights = Weights(written(CELLS), "x", CAPS)
    weights.add(30 << 20)
    with pytest.raises(InputError, match="max_unpacking_ratio"):
        weights.add(3 << 20)


def test_pages_count_whatever_the_footer_says() -> None:
    cells = ["x" * 40_000_000]
    file = written(cells, use_dictionary=False, compression="zstd", write_statistics=False)
    chunk = first_chunk_of_any(file)
    assert [page.unpacked_bytes > 40_000_000 for page in pages(file, chunk)] == [True]
    with pytest.raises(InputError, match="max_unpacking_ratio"):
        Weights(file, "x", CAPS)._weight([chunk])


def first_chunk_of_any(file: io.BytesIO) -> Any:
    return pq.ParquetFile(file).metadata.row_group(0).column(0)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_damaged_headers_end_in_an_error(damage: bytes, at: int) -> None:
    file = written(CELLS[:50])
    chunk = first_chunk(file)
    file.seek(4 + at)
    file.write(damage)
    try:
        seen = list(pages(file, chunk))
    except EOFError:
        return
    assert all(page.unpacked_bytes >= 0 for page in seen)
