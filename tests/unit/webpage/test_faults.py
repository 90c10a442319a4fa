from __future__ import annotations

from batch_screen.model import Endpoint
from batch_screen.numbers.rules import REMEDY, RejectReason
from batch_screen.output.complaints import Complaints, Example, Failure
from batch_screen.webpage.faults import answers_table, failures_table, inconclusive, rejects_table

from .materials import complaints, lookups, summary


def test_failures_have_their_share_and_remedy_the_most_frequent_first() -> None:
    endpoints = {"sim-swap/check": lookups(success=90, timeout=2, forbidden=8)}
    rows = failures_table(summary(endpoints=endpoints)).rows
    assert [row[:4] for row in rows] == [
        ("forbidden", "8", "8.0 %", "no"),
        ("timeout", "2", "2.0 %", "can help"),
    ]
    assert "ask the vendor" in str(rows[0][4])
    assert "--new-run later" in str(rows[1][4])


def test_what_all_endpoints_said_is_one_line() -> None:
    same = [Failure(e.value, "not_found", 404, "NOT_FOUND", "gone", 2) for e in Endpoint]
    other = Failure("sim-swap/check", "timeout", None, "", "", 1)
    rows = answers_table(Complaints([*same, other], {}), len(Endpoint)).rows
    assert rows == [
        ("not_found", "10", "all 5", "404", "NOT_FOUND: gone"),
        ("timeout", "1", "sim-swap/check", "–", "–"),
    ]


def test_kinds_of_failures_have_an_end() -> None:
    many = [Failure("sim-swap/check", "rejected", status, "", "", 2) for status in range(400, 500)]
    table = answers_table(Complaints(many, {}), 1)
    assert len(table.rows) == 40
    assert table.note == "60 other kinds with 120 lookups; the table errors has each."


def test_rejects_have_examples_and_remedies() -> None:
    rows = rejects_table(summary(), complaints()).rows
    assert rows == [
        ("empty", "12", "9.2 %", "an empty cell (GB), row 3", REMEDY[RejectReason.EMPTY]),
        ("too_short", "8", "6.2 %", "01•, row 4\n02•, row 99", REMEDY[RejectReason.TOO_SHORT]),
    ]
    assert rejects_table(summary(), None).rows[0][3] == "–"


def test_an_example_names_its_file_where_there_are_several() -> None:
    examples = {"empty": [Example("", "", name, 3) for name in ("a.csv", "b.csv")]}
    [row, _] = rejects_table(summary(), Complaints([], examples)).rows
    assert row[3] == "an empty cell, row 3 of a.csv\nan empty cell, row 3 of b.csv"


def test_what_the_api_does_not_know_is_called_inconclusive() -> None:
    assert inconclusive(summary()).startswith("5 lookups ended with not_found or not_applicable")
    assert inconclusive(summary(endpoints={"sim-swap/check": lookups(success=9)})) == ""
