from __future__ import annotations

from batch_screen.webpage.accounting import Sum, lookups_table, sums_of

from .materials import lookups, stopped, summary


def figures(sum_: Sum) -> tuple[int, list[int]]:
    return int(sum_.whole.value.replace(",", "")), [
        int(term.value.replace(",", "")) for term in sum_.parts
    ]


def test_sums_add_up() -> None:
    for each in sums_of(summary()):
        whole, parts = figures(each)
        assert whole == sum(parts)


def test_nothing_skipped_is_said_too() -> None:
    assert [term.name for term in sums_of(summary())[2].parts][-1] == "skipped"
    skipped = summary(endpoints={"sim-swap/check": lookups(success=2, skipped=3)})
    assert [term.value for term in sums_of(skipped)[2].parts] == ["2", "3"]


def test_lookups_by_outcome_and_what_is_left() -> None:
    endpoints = {"sim-swap/check": lookups(success=2), "call-forwarding/check": lookups(timeout=1)}
    table = lookups_table(summary(endpoints=endpoints))
    assert [column.heading for column in table.columns][1:] == list(endpoints)
    assert table.rows == [["all", "2", "1"], ["success", "2", "0"], ["timeout", "0", "1"]]
    assert lookups_table(stopped().summary).rows[-1] == ["still to be asked", *["40"] * 5]
