from __future__ import annotations

from batch_screen.webpage.asking import cost_note, cost_table, latency_table, starts_table

from .materials import lookups, session, summary


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
    told = summary(endpoints={"sim-swap/check": lookups(success=98)}, cost=0.5)
    assert cost_table(told).rows == [
        ("All", "100", "1", "99", "0.50"),
        ("sim-swap/check", "100", "1", "99", "0.50"),
    ]
    assert "not billed" in cost_note(told)


def test_without_prices_no_cost_is_shown() -> None:
    told = summary(endpoints={"sim-swap/check": lookups(success=98)}, cost=0.0)
    assert [row[-1] for row in cost_table(told).rows] == ["–", "–"]
    assert "No prices are set" in cost_note(told)
