from __future__ import annotations

import csv

import polars as pl
import pyarrow as pa
import pytest

from batch_screen.errors import InputError
from batch_screen.reading.foreign import translated

NUMBER = "+491713920012"
Panic = type("PanicException", (BaseException,), {})


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (pa.ArrowInvalid(NUMBER), 65),
        (pa.ArrowNotImplementedError(NUMBER), 65),
        (pl.exceptions.ComputeError(NUMBER), 65),
        (Panic(NUMBER), 65),
        (csv.Error(NUMBER), 65),
        (UnicodeDecodeError("utf-8", NUMBER.encode(), 0, 1, NUMBER), 65),
        (OSError(NUMBER), 65),
        (MemoryError(NUMBER), 65),
        (OSError(5, "Input/output error", NUMBER), 66),
        (FileNotFoundError(2, NUMBER), 66),
        (PermissionError(13, NUMBER), 66),
    ],
)
def test_every_foreign_error_becomes_one_masked_line(error: BaseException, exit_code: int) -> None:
    with pytest.raises(InputError, match=r"^x\.csv: ") as caught, translated("x.csv"):
        raise error
    assert caught.value.exit_code == exit_code
    assert NUMBER not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("error", [InputError("ours"), KeyboardInterrupt(), ZeroDivisionError()])
def test_ours_and_bugs_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, translated("x.csv"):
        raise error
    assert caught.value is error
