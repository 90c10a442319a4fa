from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from batch_screen.cli import log
from batch_screen.cli.progress import ProgressLines
from batch_screen.config.sections import LogFormat
from batch_screen.config.settings import Settings
from batch_screen.masking import hide
from batch_screen.masking.keys import forget_keys

NUMBER, KEY = "+491713920012", "distinctive-5up3r"
STEERING = f"\x1b[31m{NUMBER}\r\n{KEY}"


@pytest.fixture(autouse=True)
def _as_at_the_start() -> Iterator[None]:
    hide(KEY)
    yield
    forget_keys()
    log.choose_early([], {})


@pytest.fixture
def heard(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """The JSON lines since the last look."""
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "environment", "is_terminal", "is_json"),
    [
        (["run", "x"], {}, False, True),
        (["run", "x"], {}, True, False),
        (["--help", "run"], {}, False, True),
        (["run", "x", "--log-format", "text"], {}, False, False),
        (["run", "x", "--log-format=json"], {}, True, True),
        (["run", "x"], {"BATCH_SCREEN_LOGGING__FORMAT": "text"}, False, False),
        (
            ["run", "--log-format", "json"],
            {"BATCH_SCREEN_LOGGING__FORMAT": "text"},
            False,
            True,
        ),
        (["run", "x", "--log-format"], {}, False, True),
        (["plan", "x"], {}, False, False),
        (["check", "x"], {"BATCH_SCREEN_LOGGING__FORMAT": "json"}, False, False),
        ([], {}, False, False),
    ],
)
def test_the_form_is_known_before_the_settings(
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environment: dict[str, str],
    is_terminal: bool,
    is_json: bool,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    log.choose_early(arguments, environment)
    assert log.is_json() == is_json


def test_the_forms_are_those_of_the_settings() -> None:
    assert set(log.FORMATS) == set(LogFormat)
    assert Settings().logging.format == log.AUTO


def test_json_lines(heard: Callable[[], list[dict[str, Any]]]) -> None:
    log.choose(log.JSON)
    log.note("hello")
    log.name_run("20261124-0123456789")
    log.warning("careful")
    log.error("no key; name a file", 77)
    log.error("stopped by SIGTERM", 143)
    log.bug("please report it")
    lines = heard()
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    whose = {"run_id": "20261124-0123456789"}
    ends = {"exit_code": 77, "may_pass": False, "message": "no key; name a file"}
    stops = {"exit_code": 143, "may_pass": True, "message": "stopped by SIGTERM"}
    assert lines == [
        {"level": "info", "event": "note", "message": "hello"},
        {"level": "warning", "event": "warning", **whose, "message": "careful"},
        {"level": "error", "event": "error", **whose, **ends},
        {"level": "warning", "event": "stopped", **whose, **stops},
        {"level": "error", "event": "error", **whose, "message": "please report it"},
    ]


@pytest.mark.parametrize("form", [log.TEXT, log.JSON])
def test_every_line_is_masked_and_plain(capsys: pytest.CaptureFixture[str], form: str) -> None:
    log.choose(form)
    for say in (log.note, log.warning, log.bug, lambda text: log.error(text, 2)):
        say(STEERING)
    said = capsys.readouterr().err
    assert said.count("\n") == 4
    assert said.count("+4917••••••12") == 4
    assert said.count("[key]") == 4
    assert "\x1b" not in said
    assert "\r" not in said


def test_text_lines(capsys: pytest.CaptureFixture[str]) -> None:
    log.choose(log.TEXT)
    log.note("hello")
    log.warning("careful")
    log.warning("lost", kind="error")
    log.error("no key", 77)
    assert capsys.readouterr().err == "hello\nwarning: careful\nerror: lost\nError: no key\n"


@pytest.mark.parametrize(
    ("form", "expected"), [(log.TEXT, r"\nstopping: wait\n"), (log.JSON, r"\{.*\}\n")]
)
def test_a_shout_from_a_signal_handler_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch, form: str, expected: str
) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(os, "write", lambda _, line: written.append(line))
    log.choose(form)
    log.shout("stopping: wait")
    [line] = written
    assert re.fullmatch(expected, line.decode())
    if form == log.JSON:
        assert json.loads(line)["event"] == "stopping"


def test_a_shout_that_nobody_hears_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(os, "write", fail)
    log.shout("stopping")


def test_heartbeats_are_figures_without_separators(
    heard: Callable[[], list[dict[str, Any]]],
) -> None:
    now = [0.0]
    log.choose(log.JSON)
    heartbeat = ProgressLines(30, lambda: now[0])
    heartbeat.stage("asking", total=10_000_000, done=5_000_000)
    heartbeat.advance(3_100)
    now[0] = 31.0
    heartbeat.beat()
    heartbeat.close()
    began, beat = heard()
    assert began["event"] == "stage"
    assert "per_second" not in began
    assert (beat["event"], beat["done"], beat["total"]) == ("heartbeat", 5_003_100, 10_000_000)
    assert beat["per_second"] == pytest.approx(100)
    assert beat["seconds_left"] == pytest.approx(49_969)
