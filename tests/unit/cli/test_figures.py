"""No figure of ours is masked, however long: only foreign text is, where it enters a message."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from batch_screen.cli.console import print_text
from batch_screen.cli.diff import _lines
from batch_screen.cli.plan import plan_block
from batch_screen.cli.progress import ProgressLines
from batch_screen.cli.run_block import closing_block, crossed
from batch_screen.cli.status import status_block
from batch_screen.cli.validate import _block
from batch_screen.commands.diff import Diff, Example
from batch_screen.commands.plan import PlanResult, Saving, Windows
from batch_screen.commands.run import RunResult
from batch_screen.commands.status import RunStatus, State, Status
from batch_screen.config.settings import Settings
from batch_screen.notify.closing import Closing, document
from batch_screen.reports.page import page
from batch_screen.runs.heartbeat import Heartbeat
from batch_screen.runs.layout import Layout
from batch_screen.storage.lock import Holder
from batch_screen.tables.coverage import Coverage, Saved
from batch_screen.tables.integrity import Difference, Validation, VerifyCheck
from batch_screen.tables.summary import Judgement, Summary
from tests.thoroughness import in_full
from tests.unit.reports.materials import largest

RUN = "20261123-0123456789"
NOW = datetime(2026, 11, 23, tzinfo=UTC)
T = TypeVar("T")
# What is no count: exit codes, and what the bars of the pace are drawn from.
_KEPT = {"exit_code", "session", "starts", "settings", "max_failure_share"}


@pytest.fixture(params=[7, *(pytest.param(n, marks=in_full) for n in range(8, 13))])
def figure(request: pytest.FixtureRequest) -> int:
    """A figure of 7 to 12 digits."""
    return int("447700900123"[: request.param])


def enlarged(value: T, figure: int) -> T:
    """The record with this figure for every count in it."""

    def large(of: Any) -> Any:
        if isinstance(of, dict):
            return {name: each if name in _KEPT else large(each) for name, each in of.items()}
        if isinstance(of, list):
            return [large(each) for each in of]
        return figure if type(of) is int else of

    return msgspec.convert(large(msgspec.to_builtins(value)), type(value))


@cache  # for all tests of the figure
def summed_up(figure: int) -> Summary:
    return msgspec.structs.replace(
        enlarged(largest().summary, figure),
        run_id=RUN,
        cost=figure + 0.25,
        saved=Saved(figure, figure, figure, figure, figure, figure),
        coverage={"sim-swap/check": Coverage(*[figure] * 7)},
        thresholds=[
            Judgement(f"rows < {figure}", float(figure)),
            Judgement(f"cost > {figure}", float(figure), crossed=True),
        ],
    )


@cache
def plain_page() -> str:
    return page(largest()).decode()


def printed(block: str, capsys: pytest.CaptureFixture[str]) -> str:
    print_text(block)
    said = capsys.readouterr().out
    assert "•" not in said
    assert said == f"{block}\n"
    return said


def test_the_closing_block(figure: int, capsys: pytest.CaptureFixture[str]) -> None:
    summary, layout = summed_up(figure), Layout(Path("out"), RUN, "2026-11-23")
    said = printed(closing_block(RunResult(summary, layout), Settings()), capsys)
    assert f"{figure:,} = {figure:,} accepted and {figure:,} rejected" in said
    assert f"rows < {figure}: held, {figure:,} seen" in said
    assert crossed(summary) == [f"cost > {figure}: crossed, {figure:,}.00 seen"]


def test_json(figure: int) -> None:
    summary, layout = summed_up(figure), Layout(Path("out"), RUN, "2026-11-23")
    closing = Closing(NOW, NOW, 0, {}, RUN, "2026-11-23", None, summary, layout)
    said = document(closing).decode()
    assert "•" not in said.replace("+4915••", "")
    assert json.loads(said)["thresholds"][0]["expr"] == f"rows < {figure}"
    assert json.loads(said)["rows"]["read"] == figure


def test_the_page_of_a_report(figure: int) -> None:
    plain = largest()
    assert plain.breakdown is not None
    material = plain._replace(
        summary=summed_up(figure), breakdown=enlarged(plain.breakdown, figure)
    )
    said, before = page(material).decode(), plain_page()
    assert f"{figure:,}" in said
    assert f"rows &lt; {figure}" in said
    assert said.count("•") == before.count("•"), "only the masked examples have bullets"


def test_status(figure: int, capsys: pytest.CaptureFixture[str]) -> None:
    counted = {"inputs": ["list.csv"], "rows": figure, "lookups": figure + 1, "done": figure}
    runs = [RunStatus(RUN, "2026-11-23", state, **counted) for state in State]  # type: ignore[arg-type]
    beat = Heartbeat(71, NOW, "asking", figure, figure + 1, 12.5, RUN)
    holder = Holder(71, NOW.isoformat(), "here", is_alive=True)
    said = printed(status_block(Status("out/.state", runs, holder, beat, 1.0), {}), capsys)
    assert f"asking: {figure:,} of {figure + 1:,}" in said


def test_diff(figure: int, capsys: pytest.CaptureFixture[str]) -> None:
    changes = summed_up(figure).changes
    assert changes is not None
    found = Diff(RUN, "2026-11-23", changes, [], {"newly_positive": [Example("+4477", "x")]})
    said = printed("\n".join(_lines(found, None)), capsys)
    assert f"{figure:,} compared, {figure:,} new and {figure:,} gone" in said


def test_validate(figure: int, capsys: pytest.CaptureFixture[str]) -> None:
    differs = Difference("summary.json", f"rows read: {figure} in summary.json, 1 in the parts")
    found = Validation(RUN, "out", (VerifyCheck("rows", "counted", figure, (differs,)),))
    assert f"{figure:,}" in printed(_block(found), capsys)


def test_plan(
    figure: int, summary: Callable[..., Summary], capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"sim-swap/check": figure}
    found = PlanResult(
        rows=enlarged(summary().rows, figure),
        lookups=counts,
        already_answered=counts,
        to_ask=counts,
        cost=figure + 0.25,
        currency="EUR",
        rate_per_second=10.0,
        seconds=60.0,
        requests_left=figure,
        cost_left=figure + 0.25,
        resumes=None,
        facts={"phone_column": "phone"},
        savings=[Saving("reuse", "sim-swap/check", is_on=True, at_least=0, at_most=figure)],
        windows={"sim-swap/check": Windows(figure, figure, figure)},
        likely_requests=figure,
    )
    assert f"{figure:,} to ask, {figure:,} saved" in printed(plan_block(found), capsys)


def test_progress(figure: int, capsys: pytest.CaptureFixture[str]) -> None:
    shown = ProgressLines(30.0)
    shown.stage("asking", total=figure, done=figure)
    shown.close()
    assert capsys.readouterr().err == f"asking: {figure:,} of {figure:,} lookups\n"
