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
from batch_screen.input.limits import BATCH_ROWS, Caps, ParquetList, claimed_bytes

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


def written(cells: Any, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    pq.write_table(pa.table({"a": cells}), file, **options)
    return file


def sizes(file: io.BytesIO, caps: Caps = CAPS) -> list[int]:
    """How many rows come at once."""
    return [batch.num_rows for batch in ParquetList(file, "x", caps).batches(["a"])]


def test_short_cells_are_read_in_whole_batches() -> None:
    assert sizes(written(CELLS * 11, use_dictionary=False)) == [BATCH_ROWS, 5_000]
    assert sizes(written(["cell"] * 55_000)) == [BATCH_ROWS, 5_000]


def test_a_dictionary_of_many_short_cells_is_no_reason_for_small_batches() -> None:
    file = written([f"+4917{n:08}" for n in range(110_000)])  # too many for it: plain pages follow
    assert ParquetList(file, "x", CAPS).metadata.row_group(0).column(0).has_dictionary_page
    assert sizes(file) == [BATCH_ROWS, BATCH_ROWS, 10_000]


def test_small_row_groups_are_read_together() -> None:
    file = written(CELLS, row_group_size=500)
    [(groups, rows)] = ParquetList(file, "x", CAPS).portions(["a"])
    assert groups == list(range(10))
    assert rows > 5_000


@pytest.mark.parametrize("options", [{}, {"column_encoding": {"a": "DELTA_BYTE_ARRAY"}}])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_what_may_come_out_often_is_read_in_few_rows(options: dict[str, Any], kind: Any) -> None:
    """A megabyte could stand in all of fifty thousand rows."""
    cells = pa.array(["x" * (1 << 20)] + ["y"] * 100, kind)
    assert sizes(written(cells, use_dictionary=not options, **options))[0] in range(60, 65)


def test_a_column_that_is_a_dictionary_is_read_in_few_rows_too() -> None:
    cells = pa.array(["x" * (1 << 20)] + ["y"] * 100).dictionary_encode()
    assert sizes(written(cells))[0] in range(60, 65)


def test_long_cells_are_read_in_few_rows() -> None:
    cells = [f"{n:010}" * 10_000 for n in range(700)]  # 67 MiB, each cell another
    assert sizes(written(cells, use_dictionary=False))[0] in range(600, 700)


@pytest.mark.parametrize("cells", [[None] * 3, [""], ["é"]])
def test_any_cells_are_read(cells: list[str | None]) -> None:
    assert sizes(written(pa.array(cells, pa.string()))) == [len(cells)]
