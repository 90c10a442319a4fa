from __future__ import annotations

from collections.abc import Callable

from batch_screen.cli.threshold_lines import crossed, threshold_lines
from batch_screen.output.summary import Judgement, Summary

BEFORE = "20261122-0123456789"
JUDGED = [
    Judgement("positive_rate:sim-swap/check > 2%", 0.031, crossed=True),
    Judgement("cost > 1000", 999.5),
    Judgement("rows_change < -20%", 0.25, previous_run=BEFORE),
    Judgement(
        "failure_rate_change > 50%", None, crossed=True, note="it was 0", previous_run=BEFORE
    ),
    Judgement("lookups_change < -1%", note="does not apply: there is no earlier complete run"),
]


def test_each_threshold_in_words(summary: Callable[..., Summary]) -> None:
    lines = list(threshold_lines(summary(thresholds=JUDGED)))
    assert max(map(len, lines)) <= 80
    assert lines[0] == "  thresholds ... positive_rate:sim-swap/check > 2%: crossed, 3.10% seen"
    told = " ".join(" ".join(lines).split())
    for words in (
        "cost > 1000: held, 999.50 seen",
        f"rows_change < -20%: held, +25.00% seen, against run {BEFORE}",
        f"failure_rate_change > 50%: crossed, it was 0, against run {BEFORE}",
        "lookups_change < -1%: does not apply: there is no earlier complete run",
    ):
        assert words in told


def test_those_that_are_crossed(summary: Callable[..., Summary]) -> None:
    found = crossed(summary(thresholds=JUDGED))
    assert [each.split(" ")[0] for each in found] == [
        "positive_rate:sim-swap/check",
        "failure_rate_change",
    ]


def test_without_thresholds_there_is_no_line(summary: Callable[..., Summary]) -> None:
    assert list(threshold_lines(summary())) == []
