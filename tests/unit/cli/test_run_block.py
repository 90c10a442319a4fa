from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.cli.hints import hints
from batch_screen.cli.run_block import (
    closing_block,
    crossed,
    sparkline,
    this_python,
    threshold_lines,
)
from batch_screen.commands.run import RunResult
from batch_screen.config.sections import Output
from batch_screen.config.settings import Settings
from batch_screen.model import Endpoint, Pace
from batch_screen.reports.words import duration
from batch_screen.runs.layout import TABLES, Layout
from batch_screen.tables.coverage import Changes, Cohort, Coverage, Saved
from batch_screen.tables.summary import Ending, Judgement, Summary

Make = Callable[..., Any]
QUIET = Settings(input={"keep_columns": ("id",)}, prices={"per_request": {"sim-swap/check": 0.01}})


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "it's out", "20261123-0123456789", "2026-11-23")
    swapped = [True, False, None, True]
    flagged = [True, True, None, True]  # the risk view's, which the line leaves out
    frame = pl.DataFrame(
        {"id": [1, 2, 3, 4], "sim_swap_check_swapped": swapped, "risk_forwarding_active": flagged}
    )
    for table in TABLES:
        layout.write_part(table, 0, frame, Output())
    return layout


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (60, "1 min 0 s"),
        (119.6, "2 min 0 s"),
        (3_599.4, "59 min 59 s"),
        (3_600, "1 h 0 min"),
        (359_999, "99 h 59 min"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_closing_block(summary: Make, lookups: Make, layout: Layout) -> None:
    forwarding = lookups(by_outcome={"success": 900, "timeout": 100}, attempts=1_320, refusals=20)
    figures = summary(
        endpoints={"sim-swap/check": lookups(), "call-forwarding/check": forwarding}, cost=1_234.5
    )
    block = closing_block(RunResult(figures, layout), QUIET)
    head, *lines = block.splitlines()
    assert head == "batch-screen 0.1.0 · run 20261123-0123456789 · complete"
    parts = "run_date=2026-11-23/20261123-0123456789-00000.parquet"
    for line in (
        "  rows ......... 1,250 = 1,200 accepted and 50 rejected",
        "    rejected ... empty 50",
        "  numbers ...... 1,000 unique, 200 rows are duplicates",
        "  lookups ...... 2,000 = 1,900 success, 100 timeout",
        "    sim-swap/check         success 1,000 | swapped 7 | ms p50=40 p95=90.5",
        "    call-forwarding/check  success 900, timeout 100 | active 7 | ms p50=40 p95=90.5",
        "  requests ..... 2,320 = lookups, 300 retries and 20 refused (429)",
        "  rate ......... 10.0/s over 1 min 40 s, 10/s allowed",
        "  cost ......... at most 1,234.50 EUR",
        f"  files ........ {layout.folder}",
        *(f"    {table}/{parts}" for table in TABLES),
    ):
        assert line in lines
    assert lines[-1].startswith("  hint: 5.0% of the lookups failed")  # 20 refusals mean nothing


def test_changes_since_the_previous_run(summary: Make, layout: Layout) -> None:
    changes = Changes(
        "20261122-0123456789",
        "2026-11-22",
        {"sim-swap/check": {"newly_positive": 412, "became_unknown": 3}},
        0,
        0,
        1_000,
        [Cohort("block", "+491511…", 400, 340, 0.85, 0.012)],
    )
    block = closing_block(RunResult(summary(changes=changes), layout), QUIET)
    assert (
        "  since ........ run 20261122-0123456789: 412 newly swapped, 3 became unknown\n"
        "    likely migration: +491511… 340 of 400 (1.2% elsewhere)\n"
    ) in block
    assert "  since ....." not in closing_block(RunResult(summary(), layout), QUIET)


def test_closing_block_shows_the_pace(summary: Make, layout: Layout) -> None:
    pace = Pace(1.0, [10] * 90 + [0] * 10, [0] * 40 + [3] * 20 + [0] * 40, [10.0] * 100)
    session = msgspec.structs.replace(summary().session, pace=pace)
    lines = closing_block(RunResult(summary(session=session), layout), QUIET).splitlines()
    at = lines.index("  rate ......... 10.0/s over 1 min 40 s, 10/s allowed")
    assert lines[at + 1 : at + 5] == [
        "  pace ......... " + "█" * 45 + "·" * 5,
        "    refused      " + " " * 20 + "!" * 10,
        "                 a column is 2 s; full height is the limit, 10/s; highest",
        "                 10/s; ! requests were refused; · nothing was asked",
    ]
    short = msgspec.structs.replace(session, asking_seconds=0.9)
    assert "pace .." not in closing_block(RunResult(summary(session=short), layout), QUIET)


def test_a_run_that_was_stopped(summary: Make, lookups: Make, layout: Layout) -> None:
    figures = summary(
        status="stopped",
        stopped=Ending("the account is empty", 4),
        endpoints={
            "sim-swap/check": lookups(by_outcome={"success": 600}, left=400),
            "call-forwarding/check": lookups(by_outcome={}, latency_ms={}, left=1_000),
        },
    )
    block = closing_block(RunResult(figures, layout), QUIET)
    head, *lines = block.splitlines()
    assert head.endswith("· stopped, can be resumed")
    assert "  lookups ...... 600 = 600 success" in lines
    left = "1,400 lookups without an outcome: sim-swap/check 400, call-forwarding/check 1,000"
    assert f"  left ......... {left}" in lines
    assert "    call-forwarding/check  nothing yet" in lines
    assert not [line for line in lines if "parquet" in line or "_SUCCESS" in line]
    assert f"  files ........ {layout.summary}; results come with the end of the run" in lines
    assert lines[-1].startswith("  hint: once the cause is fixed, the same command goes on")
    assert "--run-date 2026-11-23" in lines[-1]


def test_a_run_that_asked_nothing(summary: Make, layout: Layout) -> None:
    plain = summary()
    session = msgspec.structs.replace(plain.session, attempts=0, asking_seconds=0.0)
    rows = msgspec.structs.replace(plain.rows, rejected=0, rejected_by_reason={})
    figures = summary(session=session, rows=rows)
    block = closing_block(RunResult(figures, layout, was_complete=True), QUIET)
    assert block.splitlines()[0].endswith("· was complete already, nothing was asked")
    for absent in ("rate .", "cost .", "  rejected .", "hint:"):
        assert absent not in block


def test_a_run_without_a_single_number(summary: Make, layout: Layout) -> None:
    assert "lookups ...... 0 = " in closing_block(RunResult(summary(endpoints={}), layout), QUIET)


def test_more_parts_are_counted(summary: Make, layout: Layout) -> None:
    for number in (1, 2):
        layout.write_part("results", number, pl.DataFrame({"id": [1]}), Output())
    block = closing_block(RunResult(summary(), layout), QUIET)
    assert "20261123-0123456789-00000.parquet and 2 more" in block


def test_the_line_to_copy_shows_the_positives(
    summary: Make, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    # A later run of the same day and input lies beside it.
    other = Layout(layout.folder, f"{layout.run_id}-2", layout.run_date)
    other.write_part("results", 0, pl.read_parquet(layout.part("results", 0)), Output())
    block = closing_block(RunResult(summary(), layout), QUIET)
    (line,) = (text for text in block.splitlines() if "  look ." in text)
    python, flag, code = shlex.split(line.split(".. ", 1)[1])
    assert (python, flag) == (this_python(), "-c")
    exec(code, {})
    assert "shape: (2, 3)" in capsys.readouterr().out


@pytest.mark.parametrize("endpoint", Endpoint)
def test_positives_are_called_what_they_are(
    summary: Make, lookups: Make, layout: Layout, endpoint: Endpoint
) -> None:
    figures = summary(endpoints={endpoint.value: lookups()})
    block = closing_block(RunResult(figures, layout), QUIET)
    word = {"sim": "swapped", "device": "swapped", "call": "active"}[endpoint.value.split("-")[0]]
    assert f"| {'dated' if endpoint.answers_date else word} 7 |" in block


def test_sandbox_answers_are_not_taken_for_real_ones(summary: Make, layout: Layout) -> None:
    figures = summary(settings={"api.base_url": "sandbox"})
    head = closing_block(RunResult(figures, layout), QUIET).splitlines()[0]
    assert head.endswith("· complete · sandbox answers, not real ones")


def test_parts_that_somebody_moved_on_are_not_listed(summary: Make, layout: Layout) -> None:
    layout.part("results", 0).unlink()
    block = closing_block(RunResult(summary(), layout), QUIET)
    assert "    results/run_date" not in block
    assert "    lookups/run_date" in block


RUN = "20260301-0123456789"


def changed(summary: Summary, **values: Any) -> Summary:
    return msgspec.structs.replace(summary, **values)


def test_a_line_for_what_was_saved_and_one_for_each_checks_coverage(
    summary: Make, tmp_path: Any
) -> None:
    told = changed(
        summary(),
        saved=Saved(1_554, 1_254, 0, 300, 15.54, 40),
        coverage={"sim-swap/check": Coverage(9_000, 7_000, 50, 900, 1_000, 50, 1_920)},
        contradictions={"sim-swap/check": 7},
    )
    block = closing_block(RunResult(told, Layout(tmp_path, RUN, "2026-03-01")), Settings())
    saved = "1,554 requests (derived 1,254, unchanged 300), 15.54 EUR; 40 dates asked as well"
    coverage = (
        "sim-swap/check: 7,000 of 9,000 numbers without a gap, 50 with one of up to 1,920 min, "
        "900 seen first, 1,000 unobserved, 50 not asked"
    )
    assert {f"  saved ........ {saved}", f"  coverage ..... {coverage}"} <= {*block.split("\n")}
    said = " ".join(hints(told, Settings()))
    assert "up to 1,920 minutes of some numbers were not observed (sim-swap/check)" in said
    assert "check and date contradict each other for some numbers (7 at sim-swap/check)" in said


def pace(attempts: list[int], **changes: object) -> Pace:
    count = len(attempts)
    lists = {"refused": [0] * count, "limit_per_second": [10.0] * count, **changes}
    return Pace(1.0, attempts, **lists)  # type: ignore[arg-type]


def test_a_steady_pace_needs_hardly_a_word() -> None:
    assert list(sparkline(pace([10] * 5))) == [
        ("pace", "█████"),
        ("", "a column is 1 s; full height is the limit, 10/s; highest"),
        ("", "10/s"),
    ]


def test_long_runs_are_merged_to_fit() -> None:
    lines = dict(sparkline(pace([10] * 600, refused=[0] * 594 + [1] * 6)))
    assert lines["pace"] == "█" * 60
    assert lines["refused"] == " " * 59 + "!"


def test_marks_stand_below_their_columns() -> None:
    lines = dict(sparkline(pace([10, 5, 0, 2], refused=[0, 1, 0, 3])))
    assert (lines["pace"], lines["refused"]) == ("█▄·▂", " ! !")


def test_a_limit_that_was_lower_at_times_is_told() -> None:
    (_, _), *lines = sparkline(pace([10, 5], limit_per_second=[10.0, 5.0]))
    assert "at times only 5/s were permitted" in " ".join(words for _, words in lines)


@given(
    attempts=st.lists(st.integers(0, 10**6), min_size=1, max_size=600),
    limit=st.floats(0, 1e6),
    lower=st.floats(0, 1),
    every=st.integers(1, 7),
)
def test_every_line_fits_into_eighty_columns(
    attempts: list[int], limit: float, lower: float, every: int
) -> None:
    count = len(attempts)
    limits = [limit * lower if i % every else limit for i in range(count)]
    refused = [i % every == 0 for i in range(count)]
    shown = list(sparkline(pace(attempts, limit_per_second=limits, refused=refused)))
    labels = [label for label, _ in shown]
    assert labels[0] == "pace"
    for label, text in shown:
        assert len(text) <= 60, (label, text)


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


# The interpreter that the line to copy starts.


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The interpreter in use: that of an environment below this folder, not activated."""
    used = environment(tmp_path / ".venv")
    monkeypatch.setattr(sys, "executable", str(used))
    monkeypatch.setenv("PATH", str(environment(tmp_path / "system").parent))
    monkeypatch.chdir(tmp_path)
    return used


def environment(folder: Path) -> Path:
    """An environment's Python: two names for the system's."""
    (folder / "bin").mkdir(parents=True)
    for name in ("python", "python3"):
        (folder / "bin" / name).symlink_to(sys.executable)
    return folder / "bin" / "python3"


@pytest.mark.usefixtures("python")
def test_another_python_is_not_this_one() -> None:
    assert this_python() == ".venv/bin/python3"


def test_the_name_is_enough_in_an_activated_environment(
    python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{python.parent}:/usr/bin")
    assert this_python() == "python"
    (python.parent / "python").unlink()
    assert this_python() == "python3"


def test_from_another_folder_it_is_the_whole_path(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "system")
    assert this_python() == str(python)
    monkeypatch.chdir(python.parent)  # where the bare name would be looked for elsewhere
    assert this_python() == str(python)


def test_a_program_that_has_no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    assert this_python() == "python3"
