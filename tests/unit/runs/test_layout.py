from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from batch_screen.config.sections import Compression, Output
from batch_screen.errors import InputError
from batch_screen.runs.layout import (
    CHANGES,
    ERRORS,
    LOOKUPS,
    RESULTS,
    TABLES,
    Layout,
    NextWriting,
    finish_exchanges,
    is_run_id,
    layout_of_run,
    number_of,
    place_of,
    run_at,
    runs_at,
)
from batch_screen.schema import CHANGES as CHANGE_COLUMNS
from batch_screen.schema import ERRORS as ERROR_COLUMNS
from batch_screen.schema import LOOKUPS as LOOKUP_COLUMNS
from batch_screen.schema import Column, dtypes, results
from batch_screen.storage.atomic import make_folder
from batch_screen.tables.results import enrich
from tests.unit.comparison.two_nights import FIRST, Night
from tests.unit.tables.frames import outcomes_of, rows_of

RUN, DAY = "20261123-c0ffee0000", "2026-11-23"

S, B, I64, I32, F64, T = "string", "bool", "int64", "int32", "double", "timestamp[us, tz=UTC]"
RESULTS_PINNED = [
    ("run_id", S),
    ("row_index", I64),
    ("source_file", S),
    ("source_row", I64),
    ("e164", S),
    ("region", S),
    ("number_type", S),
    ("rule", S),
    ("sim_swap_check_outcome", S),
    ("sim_swap_check_swapped", B),
    ("sim_swap_check_max_age_minutes", I32),
    ("sim_swap_check_responded_at", T),
    ("sim_swap_date_outcome", S),
    ("sim_swap_date_latest_change", S),
    ("sim_swap_date_latest_change_at", T),
    ("sim_swap_date_responded_at", T),
    ("device_swap_check_outcome", S),
    ("device_swap_check_swapped", B),
    ("device_swap_check_max_age_minutes", I32),
    ("device_swap_check_responded_at", T),
    ("device_swap_date_outcome", S),
    ("device_swap_date_latest_change", S),
    ("device_swap_date_latest_change_at", T),
    ("device_swap_date_responded_at", T),
    ("call_forwarding_check_outcome", S),
    ("call_forwarding_check_active", B),
    ("call_forwarding_check_responded_at", T),
    ("sim_swap_check_source", S),
    ("sim_swap_check_window_start", T),
    ("sim_swap_check_window_end", T),
    ("sim_swap_check_gap_minutes", I32),
    ("sim_swap_date_source", S),
    ("device_swap_check_source", S),
    ("device_swap_check_window_start", T),
    ("device_swap_check_window_end", T),
    ("device_swap_check_gap_minutes", I32),
    ("device_swap_date_source", S),
    ("call_forwarding_check_source", S),
    ("sim_swap_contradiction", B),
    ("device_swap_contradiction", B),
    ("sim_change_age_hours", F64),
    ("sim_change_age_band", S),
    ("device_change_age_hours", F64),
    ("device_change_age_band", S),
    ("risk_sim_and_device_recent", B),
    ("risk_sim_recent", B),
    ("risk_device_recent", B),
    ("risk_forwarding_active", B),
    ("risk_version", I32),
    ("phone_column", S),
    ("number_id", S),
]
LOOKUPS_PINNED = [
    ("run_id", S),
    ("e164", S),
    ("endpoint", S),
    ("max_age_minutes", I32),
    ("outcome", S),
    ("reason", S),
    ("swapped", B),
    ("active", B),
    ("latest_change", S),
    ("latest_change_at", T),
    ("latest_change_raw", S),
    ("http_status", I32),
    ("code", S),
    ("message", S),
    ("attempts", I32),
    ("refusals", I32),
    ("latency_ms", F64),
    ("responded_at", T),
    ("correlator", S),
    ("unanswered", I32),
    ("source", S),
    ("source_run_id", S),
    ("last_observed_at", T),
    ("window_start", T),
    ("window_end", T),
    ("gap_minutes", I32),
    ("contradiction", B),
    ("number_id", S),
]
ERRORS_PINNED = [
    ("run_id", S),
    ("kind", S),
    ("row_index", I64),
    ("source_file", S),
    ("source_row", I64),
    ("raw_masked", S),
    ("raw_region", S),
    ("e164", S),
    ("endpoint", S),
    ("reason", S),
    ("detail", S),
    ("remedy", S),
    ("retry_can_help", B),
    ("http_status", I32),
    ("code", S),
    ("attempts", I32),
    ("phone_column", S),
    ("number_id", S),
]
CHANGES_PINNED = [
    ("run_id", S),
    ("since_run_id", S),
    ("e164", S),
    ("endpoint", S),
    ("change", S),
    ("before_outcome", S),
    ("after_outcome", S),
    ("before_swapped", B),
    ("after_swapped", B),
    ("before_active", B),
    ("after_active", B),
    ("before_latest_change_at", T),
    ("after_latest_change_at", T),
    ("before_responded_at", T),
    ("after_responded_at", T),
    ("cohort", S),
    ("likely_migration", B),
    ("number_id", S),
]


@pytest.mark.parametrize(
    ("columns", "pinned"),
    [
        (results({}), RESULTS_PINNED),
        (LOOKUP_COLUMNS, LOOKUPS_PINNED),
        (ERROR_COLUMNS, ERRORS_PINNED),
        (CHANGE_COLUMNS, CHANGES_PINNED),
    ],
    ids=[RESULTS, LOOKUPS, ERRORS, CHANGES],
)
def test_the_parquet_schema_is_pinned(
    tmp_path: Path, columns: tuple[Column, ...], pinned: list[tuple[str, str]]
) -> None:
    # Loaders go by position: new columns only at the end, with a new SCHEMA_VERSION.
    frame = pl.DataFrame(schema=dtypes(columns))
    path = Layout(tmp_path, RUN, DAY).write_part(RESULTS, 0, frame, Output())
    schema = pq.read_schema(path)
    found = [(f.name, str(f.type).removeprefix("large_")) for f in schema]
    assert found == pinned
    assert all(f.nullable for f in schema)


def test_the_paths_are_pinned(tmp_path: Path) -> None:
    layout = Layout(tmp_path, RUN, DAY)
    named = [layout.part(table, 7) for table in TABLES]
    named += [layout.summary, layout.errors_csv, layout.schema, layout.manifest, layout.marker]
    named += [layout.latest]
    assert [str(path.relative_to(tmp_path)) for path in named] == [
        f"results/run_date={DAY}/{RUN}-00007.parquet",
        f"lookups/run_date={DAY}/{RUN}-00007.parquet",
        f"errors/run_date={DAY}/{RUN}-00007.parquet",
        f"runs/{RUN}/summary.json",
        f"runs/{RUN}/errors.csv",
        f"runs/{RUN}/schema.json",
        f"runs/{RUN}/manifest.json",
        f"runs/{RUN}/_SUCCESS",
        "latest.json",
    ]


@pytest.mark.parametrize("compression", Compression)
def test_a_part_is_whole_private_and_as_configured(
    tmp_path: Path, compression: Compression
) -> None:
    frame = enrich(rows_of(range(2500)), outcomes_of([]), RUN)
    output = Output(compression=compression, row_group_rows=1000)
    path = Layout(tmp_path, RUN, DAY).write_part(RESULTS, 0, frame, output)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    metadata = pq.read_metadata(path)
    assert metadata.num_row_groups == 3
    assert metadata.row_group(0).column(0).compression == compression.value.upper()
    assert pl.read_parquet(path, hive_partitioning=False).equals(frame)


def test_only_parquet_lies_in_a_data_folder_while_a_part_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path, RUN, DAY)
    seen: list[list[str]] = []

    def look(*_: object, **__: object) -> None:
        seen.append([p.name for p in layout.part(RESULTS, 0).parent.iterdir()])
        raise KeyboardInterrupt

    monkeypatch.setattr(pl.DataFrame, "write_parquet", look)
    with pytest.raises(KeyboardInterrupt):
        layout.write_part(RESULTS, 0, rows_of([1]), Output())
    assert seen == [[]]
    assert list(layout.part(RESULTS, 0).parent.iterdir()) == []
    assert list(layout.run.iterdir()) == []


def test_parts_of_a_run_are_its_own_in_their_order(tmp_path: Path) -> None:
    layout, second = Layout(tmp_path, RUN, DAY), Layout(tmp_path, f"{RUN}-2", DAY)
    frame = rows_of([1])
    for shard in (3, 0, 12):
        layout.write_part(RESULTS, shard, frame, Output())
    theirs = second.write_part(RESULTS, 0, frame, Output())
    assert [p.name[-13:-8] for p in layout.parts(RESULTS)] == ["00000", "00003", "00012"]
    assert second.parts(RESULTS) == [theirs]
    assert layout.parts(LOOKUPS) == []


def test_while_a_run_is_written_anew_the_manifest_says_which_parts_are_its_own(
    tmp_path: Path,
) -> None:
    layout = Layout(tmp_path, RUN, DAY)
    old = [layout.write_part(RESULTS, number, rows_of([1]), Output()) for number in (0, 1)]
    anew = NextWriting(layout)
    grown = [anew.write_part(RESULTS, number, rows_of([2]), Output()) for number in (0, 1)]
    assert [path.name for path in grown] == [f"{RUN}-0000{n}.2.parquet" for n in (0, 1)]
    assert {path.parent for path in grown} == {tmp_path / "runs" / f".{RUN}.anew" / RESULTS}
    assert anew.parts(RESULTS) == grown
    assert layout.parts(RESULTS) == layout.all_parts(RESULTS) == old
    names = [anew.named(path) for path in (*grown, anew.summary)]
    day = f"results/run_date={DAY}"
    assert names == [*(f"{day}/{path.name}" for path in grown), f"runs/{RUN}/summary.json"]
    for path in grown:
        path.rename(tmp_path / anew.named(path))
    for listed in (old, [tmp_path / name for name in names[:2]]):
        files = [{"path": layout.named(path)} for path in listed]
        layout.manifest.write_text(json.dumps({"files": files}))
        assert layout.parts(RESULTS) == listed
    assert len(layout.all_parts(RESULTS)) == 4
    assert NextWriting(layout).part(RESULTS, 0).name == f"{RUN}-00000.3.parquet"
    layout.clear()
    assert not layout.growing.exists()
    assert layout.all_parts(RESULTS) == []


@pytest.mark.parametrize("is_published", [False, True])
def test_a_run_that_was_put_aside_comes_back(tmp_path: Path, is_published: bool) -> None:
    layout = layout_of_run(tmp_path, "20260302-0123456789")
    aside = layout.run.with_name(f".{layout.run_id}.before")
    for folder in (aside, layout.run if is_published else layout.growing):
        make_folder(folder)
    strange = make_folder(layout.run.with_name(".notes.before"))
    finish_exchanges(tmp_path)
    there = {path.name for path in layout.run.parent.iterdir()}
    assert there == {layout.run.name, layout.growing.name, strange.name}


def test_a_folder_means_its_latest_run_and_a_runs_own_that_run(tmp_path: Path) -> None:
    first, second = Night(tmp_path, day=FIRST), Night(tmp_path)
    for night in (first, second):
        night.report()
    assert run_at(tmp_path).run_id == second.run.run_id
    assert run_at(first.layout.run).run_id == first.run.run_id
    assert run_at(tmp_path, first.run.run_id).run == first.layout.run
    assert runs_at(tmp_path) == [first.run.run_id, second.run.run_id]
    assert place_of(first.layout.run) == (tmp_path.resolve(), first.run.run_id)


@pytest.mark.parametrize("run_id", [None, "20261122-0123456789", ".."])
def test_what_is_not_there(tmp_path: Path, run_id: str | None) -> None:
    with pytest.raises(InputError) as caught:
        run_at(tmp_path, run_id)
    assert caught.value.exit_code == 66


@pytest.mark.parametrize("shards", [[3], [0, 4]], ids=["one shard", "two shards"])
@pytest.mark.parametrize("sandbox", [True, False])
def test_a_part_says_in_its_footer_whose_it_is(
    tmp_path: Path, shards: list[int], sandbox: bool
) -> None:
    layout = Layout(tmp_path, RUN, DAY, sandbox=sandbox)
    frame = enrich(rows_of(range(3)), outcomes_of([]), RUN)
    with layout.opened_part(RESULTS, shards, 8, Output()) as write:
        for _ in shards:
            write(frame)
    [path] = layout.parts(RESULTS)
    marks = pq.read_metadata(path).metadata
    assert {key.decode(): mark.decode() for key, mark in marks.items()}.items() >= {
        "batch_screen.schema_version": "5",
        "batch_screen.run_id": RUN,
        "batch_screen.run_date": DAY,
        "batch_screen.sandbox": str(sandbox).lower(),
    }.items()
    read = pl.read_parquet(path, hive_partitioning=False)
    assert read.schema == frame.schema


_WRITES = """
import sys
from pathlib import Path
import polars as pl
from batch_screen.config.sections import Output
from batch_screen.runs.layout import Layout
frame = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
layout = Layout(Path(sys.argv[1]), "20261123-c0ffee0000", "2026-11-23")
layout.write_part("lookups", 0, frame, Output())
"""


def test_a_part_written_by_another_process_has_the_same_bytes(tmp_path: Path) -> None:
    """A later run has noted the digest of its lookups."""
    for name in ("first", "second"):
        subprocess.run([sys.executable, "-c", _WRITES, tmp_path / name], check=True)
    first, second = (Layout(tmp_path / n, RUN, DAY).parts(LOOKUPS) for n in ("first", "second"))
    assert first[0].read_bytes() == second[0].read_bytes()


@pytest.mark.parametrize(
    "name",
    ["20261123-0123456789-\u0662", "\uff12\uff10261123-0123456789", "20260230-0123456789",
     "20261123-0123456789\n", "20261123-012345678\uff19"],
)  # fmt: skip
def test_ids_of_runs_are_ascii_and_begin_with_a_day(name: str) -> None:
    assert not is_run_id(name)
    assert number_of(f"{name}-00000.parquet") is None or name.startswith("20260230")
