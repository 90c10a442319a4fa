from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from benchmarks.peers.contestants import CONTESTANTS, ENDPOINTS, in_json_lines, lookups_of

NUMBER = "+447700900000"
BOTH = [f"{endpoint} {NUMBER}" for endpoint in ENDPOINTS]


def test_every_number_is_asked_about_at_both_endpoints(tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text(f"customer_id,phone\nC1,{NUMBER}\n")
    assert lookups_of(tmp_path) == BOTH


def test_lines_without_an_answer_and_lines_cut_off_hold_nothing(tmp_path: Path) -> None:
    assert list(in_json_lines(tmp_path)) == []
    lines = [
        json.dumps({"phone": NUMBER, "endpoint": endpoint, "swapped": swapped})
        for endpoint, swapped in zip(ENDPOINTS, (False, None), strict=True)
    ]
    (tmp_path / "answers.jsonl").write_text("\n".join([*lines, lines[0][:20]]))
    assert list(in_json_lines(tmp_path)) == BOTH[:1]


def test_results_hold_what_is_not_null(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "results" / "run_date=2026-11-23"
    folder.mkdir(parents=True)
    frame = pl.DataFrame(
        {
            "e164": [NUMBER, "+447700900001"],
            "sim_swap_check_swapped": [True, None],
            "device_swap_check_swapped": [False, None],
        }
    )
    frame.write_parquet(folder / "part.parquet")
    (folder / "torn.parquet").write_bytes(b"PAR1")
    assert sorted(CONTESTANTS["batch-screen"].found(tmp_path)) == sorted(BOTH)


def test_the_command_asks_both_endpoints_at_the_rate(tmp_path: Path) -> None:
    line = CONTESTANTS["batch-screen"].command(tmp_path, "http://127.0.0.1:1", 1000)
    assert line[line.index("--endpoints") + 1] == ",".join(ENDPOINTS)
    assert line[line.index("--rate") + 1] == "1000"
