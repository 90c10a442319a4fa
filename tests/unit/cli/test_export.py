from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import batch_screen
from batch_screen.cli.main import cli
from batch_screen.commands.export import ExportReport

RUN = "20261123-0123456789"
WRITTEN = ExportReport(RUN, "/sheets/+447700900123.csv", 7, 90, {"SIM changed": 7}, 5, 2)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the command asked of the function, whose answer is ``WRITTEN``."""
    calls: list[tuple[Any, ...]] = []

    def export(*given: Any, **named: Any) -> ExportReport:
        calls.append((*given, named["rejected"], named["unknown"], named["masked"], named["state"]))
        return WRITTEN

    monkeypatch.setattr(batch_screen, "export", export, raising=False)
    for name in ("OUTPUT__FOLDER", "CONFIG"):
        monkeypatch.delenv(f"BATCH_SCREEN_{name}", raising=False)
    return calls


def called(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["export", *arguments, "--to", "a.csv"])
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["out"], ("out", None)),
        (["--out", "out"], ("out", None)),
        (["--out", "out", "--run", RUN], ("out", RUN)),
        (["out", "--run", RUN], ("out", RUN)),
        ([RUN, "--out", "out"], ("out", RUN)),
        ([f"out/runs/{RUN}"], (f"out/runs/{RUN}", None)),
    ],
)
def test_which_run_is_meant(
    asked: list[tuple[Any, ...]], arguments: list[str], meant: tuple[str, str | None]
) -> None:
    code, shown = called(*arguments, "--flagged")
    assert code == 0, shown
    [(folder, to, run_id, *rest)] = asked
    assert ((folder, run_id), to) == (meant, Path("a.csv"))
    assert rest == [False, False, False, None]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--flagged and --rejected"),
        (["--flagged", "--rejected"], "--flagged and --rejected"),
        (["--rejected", "--unknown"], "--unknown goes with --flagged"),
        (["--flagged", RUN, "--run", RUN], "names a run already"),
    ],
)
def test_wrong_usage(asked: list[tuple[Any, ...]], arguments: list[str], said: str) -> None:
    code, shown = called(*arguments, "--out", "out")
    assert code == 2
    assert said in shown
    assert not asked


def test_without_a_run_or_a_folder(asked: list[tuple[Any, ...]]) -> None:
    code, shown = called("--flagged")
    assert code == 2
    assert "name a run, or its output folder with --out" in shown


def test_the_lines_say_what_is_not_in_the_sheet(asked: list[tuple[Any, ...]]) -> None:
    _, shown = called("out", "--flagged")
    unknown = "5 more are unknown, which is not safe (2 for want of an answer)"
    lines = [line for line in shown.splitlines() if line]
    assert lines == [
        f"run {RUN} · 7 of 90 rows deserve a look: 7 SIM changed",
        f"{unknown}: they are left out; --unknown adds them",
        "/sheets/+4477••••••23.csv",
    ]


def test_json_holds_counts_and_a_masked_path(asked: list[tuple[Any, ...]]) -> None:
    _, shown = called("out", "--flagged", "--json")
    printed = json.loads(shown)
    assert (printed["rows"], printed["unknown"], printed["unanswered"]) == (7, 5, 2)
    assert printed["path"] == "/sheets/+4477••••••23.csv"
