from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.model import Endpoint, OutcomeKind
from batch_screen.numbers.rules import REMEDY as REJECT_REMEDY
from batch_screen.numbers.rules import RejectReason
from batch_screen.schema import ERRORS, REJECT, conform, dtypes
from batch_screen.tables.errors import (
    REMEDY,
    RETRY_CAN_HELP,
    ErrorSummary,
    _cells,
    _text,
    guard,
    lookup_errors,
    reject_errors,
    summarise_errors,
    write_guarded_csv,
)
from tests.thoroughness import examples

from .frames import number, outcome, outcomes_of

NUMBER = "+447700900123"


def read(folder: Path, rows: list[dict[str, Any]], parts: int = 2) -> ErrorSummary:
    paths = []
    for part in range(parts):
        paths.append(folder / f"{part}.parquet")
        pl.DataFrame(rows[part::parts], schema=dtypes(ERRORS)).write_parquet(paths[-1])
    return summarise_errors(paths)


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
    assert read(tmp_path, []) == ErrorSummary([], {}) == summarise_errors([])


RUN = "20261123-c0ffee0000"
CHECK = Endpoint.SIM_SWAP_CHECK
REQUIRED = [c.name for c in ERRORS if c.required]


def rejects(reasons: list[str]) -> pl.DataFrame:
    height = len(reasons)
    return conform(
        pl.DataFrame(
            {
                "row_index": range(height),
                "source_file": ["list.csv"] * height,
                "source_row": range(1, height + 1),
                "raw_masked": ["07••• ••••••"] * height,
                "raw_region": ["GB"] * height,
                "reason": reasons,
                "detail": ["seen"] * height,
                "phone_column": ["phone"] * height,
            },
            schema=dtypes(REJECT),
        ),
        REJECT,
    )


def written(*parts: pl.DataFrame) -> tuple[int, list[list[str]]]:
    file = io.BytesIO()
    count = write_guarded_csv(file, ERRORS, parts)
    text = file.getvalue().decode("utf-8-sig")
    return count, list(csv.reader(io.StringIO(text, newline="")))


def test_every_failure_has_a_remedy() -> None:
    assert set(REMEDY) == set(OutcomeKind) - {OutcomeKind.SUCCESS}
    frame = lookup_errors(outcomes_of(outcome(1, CHECK, outcome=k.value) for k in REMEDY), RUN)
    assert frame["reason"].to_list() == [k.value for k in REMEDY]
    assert frame["remedy"].to_list() == list(REMEDY.values())
    assert all(REMEDY.values())
    assert frame.select(REQUIRED).null_count().sum_horizontal().item() == 0


def test_every_reject_has_a_remedy() -> None:
    assert set(REJECT_REMEDY) == set(RejectReason)
    remedies = {reason.value: text for reason, text in REJECT_REMEDY.items()}
    frame = reject_errors(rejects([r.value for r in RejectReason]), remedies, RUN)
    assert frame["remedy"].to_list() == [REJECT_REMEDY[r] for r in RejectReason]
    assert frame["retry_can_help"].to_list() == [False] * len(RejectReason)
    assert frame.select(REQUIRED).null_count().sum_horizontal().item() == 0
    assert frame.select("kind", "row_index", "source_row").row(0) == ("reject", 0, 1)


def test_only_what_may_pass_can_be_helped_by_asking_again() -> None:
    frame = lookup_errors(outcomes_of(outcome(1, CHECK, outcome=k.value) for k in REMEDY), RUN)
    helped = frame.filter("retry_can_help")["reason"].to_list()
    assert set(helped) == {kind.value for kind in RETRY_CAN_HELP}
    assert OutcomeKind.NOT_FOUND not in RETRY_CAN_HELP


def test_successes_are_no_errors_and_the_columns_are_fixed() -> None:
    for frame in (
        lookup_errors(outcomes_of([outcome(1, CHECK)]), RUN),
        lookup_errors(outcomes_of([]), RUN),
        reject_errors(rejects([]), {}, RUN),
    ):
        assert frame.height == 0
        assert frame.schema == dtypes(ERRORS)


def test_a_failure_says_what_was_asked_and_seen() -> None:
    seen = outcome(
        7, CHECK, outcome="rejected", http_status=400, code="OUT_OF_RANGE", message="no", attempts=2
    )
    [row] = lookup_errors(outcomes_of([seen]), RUN).rows(named=True)
    expected = {"e164": number(7), "endpoint": CHECK.value, "detail": "no", "http_status": 400}
    expected |= {"code": "OUT_OF_RANGE", "attempts": 2, "kind": "failure", "run_id": RUN}
    assert row | expected == row


def test_the_report_has_a_header_and_a_line_for_each_error() -> None:
    remedies = {r.value: text for r, text in REJECT_REMEDY.items()}
    count, lines = written(
        reject_errors(rejects(["empty", "too_short"]), remedies, RUN),
        lookup_errors(outcomes_of([outcome(7, CHECK, outcome="timeout")]), RUN),
    )
    assert count == 3
    assert lines[0] == dtypes(ERRORS).names()
    assert [len(line) for line in lines] == [len(ERRORS)] * 4
    assert lines[3][lines[0].index("e164")] == "'+4477••••••07"
    assert lines[1][lines[0].index("row_index")] == "0"


def test_no_errors_give_the_header_alone() -> None:
    assert written() == (0, [dtypes(ERRORS).names()])


FORBIDDEN = ("=", "+", "-", "@", "\t", "\r", "\n")
PHONES = st.from_regex(r"\+?(4477009|49171392|120255501)[0-9]{5}", fullmatch=True)
NASTY = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="=+-@\t\r\n\"',;\x00\u202e\ufeff 01", max_size=12),
    st.builds("{}{}{}".format, st.text(max_size=5), PHONES, st.text(max_size=5)),
)


@examples(300)
@given(message=NASTY, file=NASTY, code=NASTY, i=st.integers(0, 99_999))
def test_no_cell_is_a_formula_or_breaks_the_line(
    message: str, file: str, code: str, i: int
) -> None:
    seen = outcome(i, CHECK, outcome="rejected", message=message, code=code)
    reject = rejects(["empty"]).with_columns(source_file=pl.lit(file), detail=pl.lit(message))
    count, lines = written(
        lookup_errors(outcomes_of([seen]), RUN), reject_errors(reject, {"empty": "do"}, RUN)
    )
    assert (count, len(lines)) == (2, 3)
    for cell in (cell for line in lines for cell in line):
        assert not cell.startswith(FORBIDDEN)
        assert not set(cell) & {"\r", "\n", "\t", "\x00", "\u202e"}


@examples(200)
@given(
    phone=PHONES,
    before=st.text(alphabet="abc :,;=%+-_(", max_size=4),
    after=st.text(alphabet="abc :,;=%+_)", max_size=4),
)
def test_no_cell_holds_a_whole_number(phone: str, before: str, after: str) -> None:
    text = f"{before}{phone}{after}"
    seen = outcome(1, CHECK, outcome="rejected", message=text, code=text, e164=f"+{phone}")
    reject = rejects(["empty"]).with_columns(source_file=pl.lit(text), detail=pl.lit(text))
    _, lines = written(
        lookup_errors(outcomes_of([seen]), RUN), reject_errors(reject, {"empty": "do"}, RUN)
    )
    assert not [cell for line in lines for cell in line if phone.strip("+") in cell]


@pytest.mark.parametrize("start", FORBIDDEN)
def test_a_guarded_cell_is_text(start: str) -> None:
    assert guard(f"{start}1+1") == f"'{start}1+1"
    assert guard(f"1{start}1") == f"1{start}1"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_disguise_makes_a_formula(start: str) -> None:
    """Some spreadsheets cut lines at semicolons or tabs, and drop what stands in front."""
    for cut in ("", "a;", "a\t"):
        for before in ("", " ", '"', "'", "\u200b", "\ufeff ", '\xa0"'):
            assert guard(f"{cut}{before}{start}cmd|x") == f"{cut}'{before}{start}cmd|x"


def test_a_rows_place_is_no_number_to_mask() -> None:
    columns = [
        pl.Series("row_index", [1_234_567, None]),
        pl.Series("retry_can_help", [True, None]),
        pl.Series("detail", ["+447700900123", None]),
        pl.Series("e164", ["+447700900123", None]),
    ]
    masked = "'+4477••••••23"
    firsts = ["1234567", "True", masked, masked]
    assert [_cells(column, _text) for column in columns] == [[first, ""] for first in firsts]
