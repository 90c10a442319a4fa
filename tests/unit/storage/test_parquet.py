from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from batch_screen.storage.atomic import check_writable, write_frame
from batch_screen.storage.parquet import (
    metadata_of,
    open_parquet,
    read_parquet,
    scan_parquet,
    schema_of,
)
from tests.names import FOLDERS, LATIN_1

_OPEN = Path("/proc/self/fd")
FRAME = pl.DataFrame({"e164": ["+447700900123", "+447700900124"], "rows": [1, 2]})


@pytest.mark.parametrize("name", [*FOLDERS, LATIN_1], ids=ascii)
def test_a_file_is_read_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path(name)
    folder.mkdir(parents=True)
    path = folder / "run_date=2026-03-02" / "part.parquet"
    path.parent.mkdir()
    check_writable(folder)
    write_frame(path, FRAME)
    assert read_parquet(path).equals(FRAME)
    assert read_parquet(path, ["rows"]).equals(FRAME.select("rows"))
    assert scan_parquet([path, path]).collect().equals(pl.concat([FRAME, FRAME]))
    assert metadata_of(path).num_rows == 2
    assert schema_of(path).names == FRAME.columns
    with open_parquet(path) as file:
        assert pl.DataFrame(file.read_row_group(0)).equals(FRAME)


def test_a_pattern_matches_nothing_else(tmp_path: Path) -> None:
    write_frame(tmp_path / "a.parquet", FRAME)
    for read in (read_parquet, metadata_of, open_parquet, lambda p: scan_parquet([p]).collect()):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "*.parquet")


def test_files_are_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_frame(path, FRAME)
    before = len([*_OPEN.iterdir()])
    for _ in range(5):
        metadata_of(path)
        schema_of(path)
        read_parquet(path)
        with open_parquet(path) as file:
            file.read_row_group(0)
        del file
    assert len([*_OPEN.iterdir()]) <= before + 1


def test_pyarrow_has_an_allocator_that_threads_do_not_crash() -> None:
    # In a process of its own, for one of load has chosen another one here.
    code = (
        "import batch_screen.storage.parquet, pyarrow as pa\n"
        "print(pa.default_memory_pool().backend_name, *pa.supported_memory_backends())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    chosen, *supported = said.stdout.split()
    assert chosen == "jemalloc" or "jemalloc" not in supported
