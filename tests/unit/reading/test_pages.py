from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.input import Input
from batch_screen.errors import InputError
from batch_screen.reading.caps import Caps
from batch_screen.reading.pages import BATCH_ROWS, Page, Weights, opened, pages

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
