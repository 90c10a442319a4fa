from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from batch_screen.output.complaints import Complaints, read_complaints
from batch_screen.schema import ERRORS, dtypes

NUMBER = "+447700900123"


def read(folder: Path, rows: list[dict[str, Any]], parts: int = 2) -> Complaints:
    paths = []
    for part in range(parts):
        paths.append(folder / f"{part}.parquet")
        pl.DataFrame(rows[part::parts], schema=dtypes(ERRORS)).write_parquet(paths[-1])
    return read_complaints(paths)


def failure(outcome: str, status: int | None, **more: Any) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(dtypes(ERRORS).names())
    said = {"kind": "failure", "endpoint": "sim-swap/check", "reason": outcome, "e164": NUMBER}
    return {**empty, **said, "http_status": status, **more}


def reject(reason: str, index: int, **more: Any) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(dtypes(ERRORS).names())
    place = {"row_index": index, "source_file": "list.csv", "source_row": index + 1}
    return {**empty, "kind": "reject", "reason": reason, "raw_masked": "01••", **place, **more}


def test_failures_that_ended_alike_are_one_line(tmp_path: Path) -> None:
    rows = [failure("timeout", None)] * 3 + [
        failure("not_found", 404, code="NOT_FOUND", detail=f"no such thing, id {n}")
        for n in range(5)
    ]
    found = read(tmp_path, rows).failures
    assert [(f.outcome, f.http_status, f.lookups) for f in found] == [
        ("not_found", 404, 5),
        ("timeout", None, 3),
    ]
    assert (found[0].code, found[0].detail) == ("NOT_FOUND", "no such thing, id 0")
    assert (found[1].code, found[1].detail) == ("", "")


def test_texts_of_a_server_are_masked_and_short(tmp_path: Path) -> None:
    said = f"nobody has {NUMBER}\x1b[31m " + "x" * 500
    [found] = read(tmp_path, [failure("rejected", 400, code=NUMBER, detail=said)]).failures
    assert "900123" not in found.code + found.detail
    assert "\x1b" not in found.detail
    assert len(found.detail) <= 120


def test_the_first_and_the_last_row_of_a_reason_are_its_examples(tmp_path: Path) -> None:
    rows = [reject("too_short", n) for n in (7, 3, 9)] + [reject("empty", 5, raw_masked=None)]
    found = read(tmp_path, rows).examples
    assert {reason: [e.source_row for e in each] for reason, each in found.items()} == {
        "empty": [6],
        "too_short": [4, 10],
    }
    assert found["empty"][0].raw_masked == ""


def test_nothing_to_complain_of(tmp_path: Path) -> None:
    assert read(tmp_path, []) == Complaints([], {}) == read_complaints([])
