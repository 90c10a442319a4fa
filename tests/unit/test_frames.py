from __future__ import annotations

import errno
import os
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from batch_screen import files
from batch_screen.errors import OutputError
from batch_screen.frames import write_frame

FRAME = pl.DataFrame({"e164": ["+447700900123"]})


def test_a_frame_is_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_frame(path, FRAME, compression="snappy")
    assert pl.read_parquet(path).equals(FRAME)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("rows", [1, 20_000], ids=["at the last flush", "on the way"])
def test_a_full_disk_is_told_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, rows: int
) -> None:
    class Full(BytesIO):
        def write(self, content: Any, /) -> int:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files, "open_private", lambda _path: Full())
    frame = pl.select(e164=pl.int_range(rows).cast(pl.String))
    with pytest.raises(OutputError, match=rf"rows\.parquet: {os.strerror(code)}; ") as caught:
        write_frame(tmp_path / "rows.parquet", frame)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == code
    assert list(tmp_path.iterdir()) == []


def test_rows_at_fault_are_no_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise pl.exceptions.ComputeError("not a type")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", wrong)
    with pytest.raises(pl.exceptions.ComputeError):
        write_frame(tmp_path / "rows.parquet", FRAME)
