from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from batch_screen.errors import ConfigurationError
from batch_screen.privacy.cells import NumberCells

NUMBER, OTHER = "+442079460001", "+493023125001"


def found(folder: Path, *cells: object, raw: str = NUMBER) -> int:
    """How many of the cells of a kept column read as a number of the batch."""
    rows = {"raw": [raw], "e164": [NUMBER], "region": ["GB"]}
    numbers = pl.DataFrame(rows).with_columns(pl.lit(None).alias("in_x"))
    kept = pl.DataFrame({"in_x": cells})
    batch = kept.with_columns(raw=pl.lit("-"), e164=pl.lit(OTHER), region=pl.lit("DE"))
    with NumberCells(folder, 1 << 20) as search:
        search.add(numbers)
        search.add(batch)
    counts = search.found()
    assert not [*folder.iterdir()]
    return counts.get("in_x", 0)


@pytest.mark.parametrize(
    "cells",
    [
        ["+442079460001", "442079460001", "00442079460001", "02079460001", "2079460001"],
        ["+44 (0) 20 7946 0001", "020-7946-0001", "tel: 020 7946.0001", "+44/20/79460001"],
        ["a, 2079460001; b", "call 02079460001 or 12345678", "٠٢٠٧٩٤٦٠٠٠١", "＋４４2079460001"],
        ["493023125001", "030 23125 001"],
        [2079460001, 442079460001],
        [442079460001.0],
    ],
)
def test_a_number_is_found_however_it_is_written(tmp_path: Path, cells: list[object]) -> None:
    assert found(tmp_path, *cells) == len(cells)


def test_it_is_found_as_the_list_writes_it(tmp_path: Path) -> None:
    assert found(tmp_path, "9-011-44-2079-460-001", raw="9 011 44 2079460001") == 1
    assert found(tmp_path, "9-011-44-2079-460-001") == 0
    assert found(tmp_path, "79460001", raw="020 79460001") == 0


@pytest.mark.parametrize(
    "cells",
    [
        [None],
        ["", "customer 17", "C2079460001", "20794600012", "2079460"],
        [7, 2079460002],
        [20.5],
        [True],
    ],
)
def test_what_is_no_number_of_the_list_is_kept(tmp_path: Path, cells: list[object]) -> None:
    assert found(tmp_path, *cells) == 0


def test_columns_are_named_with_their_cells_and_no_digit(tmp_path: Path) -> None:
    batch = pl.DataFrame(
        {
            "e164": [NUMBER, OTHER, None],
            "region": ["GB", "DE", None],
            "in_a": [OTHER, "030 23125001", NUMBER],
            "in_b": ["x", "y", "z"],
            "in_c": ["x", NUMBER, "z"],
        }
    )
    with NumberCells(tmp_path, 1 << 20) as search:
        search.add(batch)  # of a rejected row nothing is kept, so its cells may hold what they like
    with pytest.raises(ConfigurationError, match=r"'a' \(2 places\), 'c' \(1 places\)") as error:
        search.refuse()
    assert "7946" not in str(error.value)


def test_a_list_without_kept_columns_has_nothing_to_refuse(tmp_path: Path) -> None:
    with NumberCells(tmp_path, 1 << 20) as search:
        search.add(pl.DataFrame({"e164": [NUMBER], "region": ["GB"]}))
        search.add(pl.DataFrame(schema={"e164": pl.String, "region": pl.String}))
    search.refuse()
