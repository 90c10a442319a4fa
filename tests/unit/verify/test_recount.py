from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from batch_screen.planning.shards import MAX_SHARDS, shard_of
from batch_screen.runs.layout import ERRORS, LOOKUPS, RESULTS
from batch_screen.schema import ERRORS as ERROR_COLUMNS
from batch_screen.schema import LOOKUPS as LOOKUP_COLUMNS
from batch_screen.schema import dtypes, results
from batch_screen.tables.reader import Part
from batch_screen.verify.checks import differences, part_checks
from tests.unit.tables.frames import number
from tests.unit.tables.whole_run import WholeRun, differing, digests, new_whole_run

COLUMNS = {RESULTS: results({}), LOOKUPS: LOOKUP_COLUMNS, ERRORS: ERROR_COLUMNS}
NUMBERS = [number(i) for i in range(80)]


def parts(shards: int, numbers: list[str]) -> dict[int, pl.DataFrame]:
    frame = pl.DataFrame({"e164": numbers}, schema={"e164": pl.String})
    placed = frame.with_columns(part=shard_of(pl.col("e164"), shards).cast(pl.Int64))
    split = placed.partition_by("part", as_dict=True, include_key=False)
    return {int(key[0]): frame for key, frame in sorted(split.items())}


def strays(frames: dict[int, pl.DataFrame], shards: int) -> list[str]:
    """What is found of numbers in other parts than their own."""
    checks = [check for check in part_checks("", ()) if check.name == "placing"]
    empty = {table: pl.DataFrame(schema=dtypes(columns)) for table, columns in COLUMNS.items()}
    found = []
    for i, frame in frames.items():
        rows = pl.concat([empty[RESULTS], frame], how="diagonal")
        part = Part(i, rows, empty[LOOKUPS], empty[ERRORS], {RESULTS: f"part {i}"})
        found += [f"{d.where}: {d.what}" for _, d in differences(checks, part, shards, ())]
    return found


@pytest.mark.parametrize("shards", [1, 2, 4, 32, MAX_SHARDS])
def test_numbers_lie_where_the_plan_puts_them(shards: int) -> None:
    frames = parts(shards, NUMBERS if shards <= 4 else NUMBERS[:20])
    assert strays(frames, shards) == []
    frames.pop(max(frames))  # the last shards may be empty
    assert strays(frames, shards) == []


def test_numbers_that_lie_elsewhere() -> None:
    frames = parts(4, NUMBERS)
    assert strays(frames, 8) != []
    frames[0] = pl.concat([frames[0], frames[2].head(2)])
    assert strays(frames, 4) == ["part 0: 2 rows whose number belongs to another part"]
    frames[0], frames[1] = frames[1], frames[0]
    assert [line[:7] for line in strays(frames, 4)] == ["part 0:", "part 1:"]


def test_what_is_no_number_is_left_to_others() -> None:
    assert strays({0: pl.DataFrame({"e164": ["", "+", "+44abc", None, "0"]})}, 2) == []


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    return new_whole_run(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def run(original: WholeRun, tmp_path: Path) -> WholeRun:
    return original.copy(tmp_path / "out")


def test_a_part_that_is_no_parquet_though_its_digest_fits(run: WholeRun) -> None:
    path = run.layout.part(LOOKUPS, 1)
    content = run.manifest()
    path.write_bytes(b"PAR1 +447700900123 PAR1")
    [entry] = [e for e in content["files"] if e["path"].endswith(str(path.name))][1:2]
    entry |= digests(path)
    run.write_manifest(content)
    found = differing(run.validate())
    assert set(found) == {"files"}
    assert f"{path.name}: cannot be read: it is no whole Parquet file" in found["files"]
    assert "900123" not in found["files"]


def test_pages_that_are_damaged_though_digest_and_footer_fit(run: WholeRun) -> None:
    path = run.layout.part(LOOKUPS, 1)
    content = run.manifest()
    held = path.read_bytes()
    path.write_bytes(held[:4] + b"\xff" * 400 + held[404:])
    [entry] = [e for e in content["files"] if e["path"] == str(path.relative_to(run.layout.folder))]
    entry |= digests(path)
    run.write_manifest(content)
    found = run.validate()
    assert set(differing(found)) == {"readable"}
    assert f"lookups/run_date=2026-11-23/{path.name}" in differing(found)["readable"]
    assert "1 of 2 parts" in found.checks[-1].unchecked


def test_a_kept_column_that_cannot_be_read(run: WholeRun) -> None:
    """It is compared with nothing, but whoever loads the run will read it."""
    path = run.layout.part(RESULTS, 1)
    with pq.ParquetFile(path) as file:
        kept = file.metadata.row_group(0).column(file.schema_arrow.names.index("in_id"))
    begin = kept.dictionary_page_offset or kept.data_page_offset
    held = path.read_bytes()
    path.write_bytes(held[:begin] + b"\xff" * 30 + held[begin + 30 :])
    run.relist()
    found = differing(run.validate())
    assert set(found) == {"readable"}
    assert f"{path.name}: it is no whole Parquet file" in found["readable"]
