from __future__ import annotations

from batch_screen.model import Endpoint
from batch_screen.numbers.rules import REMEDY, RejectReason
from batch_screen.reports.sections import (
    answers_table,
    cost_note,
    cost_table,
    failures_table,
    files_table,
    inconclusive,
    latency_table,
    lookups_table,
    rejects_table,
    settings_table,
    starts_table,
    sums_of,
    versions_table,
)
from batch_screen.tables.errors import ErrorSummary, Failure, RejectExample
from batch_screen.tables.manifest import ListedFile

from .materials import RUN, errors, files, lookups, session, stopped, summary


def test_sums_add_up() -> None:
    for (whole, _), *parts in sums_of(summary()):
        assert whole == sum(count for count, _ in parts)


def test_nothing_skipped_is_said_too() -> None:
    assert sums_of(summary())[2][-1] == (0, "skipped")
    skipped = summary(endpoints={"sim-swap/check": lookups(success=2, skipped=3)})
    assert sums_of(skipped)[2][1:] == [(2, "success"), (3, "skipped")]


def test_lookups_by_outcome_and_what_is_left() -> None:
    endpoints = {"sim-swap/check": lookups(success=2), "call-forwarding/check": lookups(timeout=1)}
    table = lookups_table(summary(endpoints=endpoints))
    assert list(table.columns)[1:] == list(endpoints)
    assert table.rows == [["all", "2", "1"], ["success", "2", "0"], ["timeout", "0", "1"]]
    assert lookups_table(stopped().summary).rows[-1] == ["still to be asked", *["40"] * 5]


def test_starts() -> None:
    table = starts_table([session()])
    assert table.rows == [("1", "2026-11-23 02:15:00 UTC", "4.0 s", "129", "2", "32.2/s")]
    assert table.note == ""


def test_earlier_starts_are_summed_up() -> None:
    table = starts_table([session()] * 25)
    assert [row[0] for row in table.rows] == [str(n) for n in range(16, 26)]
    assert table.note == "15 earlier starts made 1,935 requests in 1 min 0 s."
    assert len(starts_table([session()] * 11).rows) == 11


def test_latency() -> None:
    endpoints = {"sim-swap/check": lookups(success=1)}
    assert latency_table(summary(endpoints=endpoints)).rows == [
        ("sim-swap/check", "12.0 ms", "80.5 ms", "1,200.0 ms")
    ]


def test_cost_leaves_out_what_was_refused() -> None:
    priced = summary(endpoints={"sim-swap/check": lookups(success=98)}, cost=0.5)
    assert cost_table(priced).rows == [
        ("All", "100", "1", "99", "0.50"),
        ("sim-swap/check", "100", "1", "99", "0.50"),
    ]
    assert "not billed" in cost_note(priced)


def test_without_prices_no_cost_is_shown() -> None:
    priced = summary(endpoints={"sim-swap/check": lookups(success=98)}, cost=0.0)
    assert [row[-1] for row in cost_table(priced).rows] == ["–", "–"]
    assert "No prices are set" in cost_note(priced)


def test_failures_have_their_share_and_remedy_the_most_frequent_first() -> None:
    endpoints = {"sim-swap/check": lookups(success=90, timeout=2, forbidden=8)}
    rows = failures_table(summary(endpoints=endpoints)).rows
    assert [row[:4] for row in rows] == [
        ("forbidden", "8", "8.0 %", "no"),
        ("timeout", "2", "2.0 %", "can help"),
    ]
    assert "ask the vendor" in str(rows[0][4])
    assert "batch-screen retry" in str(rows[1][4])


def test_what_all_endpoints_said_is_one_line() -> None:
    same = [Failure(e.value, "not_found", 404, "NOT_FOUND", "gone", 2) for e in Endpoint]
    other = Failure("sim-swap/check", "timeout", None, "", "", 1)
    rows = answers_table(ErrorSummary([*same, other], {}), len(Endpoint)).rows
    assert rows == [
        ("not_found", "10", "all 5", "404", "NOT_FOUND: gone"),
        ("timeout", "1", "sim-swap/check", "–", "–"),
    ]


def test_kinds_of_failures_have_an_end() -> None:
    many = [Failure("sim-swap/check", "rejected", status, "", "", 2) for status in range(400, 500)]
    table = answers_table(ErrorSummary(many, {}), 1)
    assert len(table.rows) == 40
    assert table.note == "60 other kinds with 120 lookups; the table errors has each."


def test_rejects_have_examples_and_remedies() -> None:
    rows = rejects_table(summary(), errors()).rows
    assert rows == [
        ("empty", "12", "9.2 %", "an empty cell (GB), row 3", REMEDY[RejectReason.EMPTY]),
        ("too_short", "8", "6.2 %", "01•, row 4\n02•, row 99", REMEDY[RejectReason.TOO_SHORT]),
    ]
    assert rejects_table(summary(), None).rows[0][3] == "–"


def test_an_example_names_its_file_where_there_are_several() -> None:
    examples = {"empty": [RejectExample("", "", name, 3) for name in ("a.csv", "b.csv")]}
    [row, _] = rejects_table(summary(), ErrorSummary([], examples)).rows
    assert row[3] == "an empty cell, row 3 of a.csv\nan empty cell, row 3 of b.csv"


def test_what_the_api_does_not_know_is_called_inconclusive() -> None:
    assert inconclusive(summary()).startswith("5 lookups ended with not_found or not_applicable")
    assert inconclusive(summary(endpoints={"sim-swap/check": lookups(success=9)})) == ""


NUMBER = "+447700900123"


def values(settings: dict[str, object]) -> dict[str, str]:
    return {str(name): str(value) for name, value in settings_table(settings).rows}


def test_settings_are_masked() -> None:
    shown = values(
        {
            "numbers.test_numbers": [NUMBER],
            "api.base_url": "https://user:pass@api.example:8443/v1?q=a@b",
            "input.region_column": "",
            "input.has_header": True,
        }
    )
    assert shown == {
        "api.base_url": "https://api.example:8443/v1?q=a@b",
        "input.has_header": "true",
        "input.region_column": "–",
        "numbers.test_numbers": '["+4477••••••23"]',
    }


def test_no_setting_is_a_key() -> None:
    assert not [name for name in values(dict(summary().settings)) if "key" in name.lower()]


def test_settings_have_an_end() -> None:
    shown = settings_table({f"s.{n:03}": "x" * 9_000 for n in range(200)})
    assert len(shown.rows) == 120
    assert max(len(str(value)) for _, value in shown.rows) == 240
    assert shown.note == "80 others in summary.json."


def test_files_have_their_digest_and_reports_come_first() -> None:
    rows = files_table(files()).rows
    assert rows[0] == (f"runs/{RUN}/summary.json", "–", "4.9 KiB", "b2" * 32)
    assert rows[1][1:] == ("110", "120.6 KiB", "a1" * 32)


def test_parts_that_are_too_many_are_summed_up() -> None:
    parts = [ListedFile(f"results/{n}", 1_000, "0" * 64, "results", 10) for n in range(100)]
    table = files_table(parts)
    assert len(table.rows) == 12
    assert table.note.startswith("88 further parts with 880 rows and 85.9 KiB; manifest.json")


def test_versions() -> None:
    shown = dict(versions_table(summary(facts={"phone_column": NUMBER})).rows)  # type: ignore[arg-type]
    assert shown["run"] == RUN
    assert shown["phone column"] == "+4477••••••23"
    assert shown["risk_version"] == "1"
    assert "risk_version" not in dict(versions_table(summary(risk={})).rows)  # type: ignore[arg-type]
