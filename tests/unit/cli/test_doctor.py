from __future__ import annotations

import json

import pytest

from batch_screen.cli.doctor import _lines, _print
from batch_screen.diagnostics.findings import Diagnosis, failed, not_checked, passed, warning

FOUND = Diagnosis(
    (
        passed("key", "found in the variable X"),
        warning("clock", "7 s behind", "set it"),
        failed("dns", "api.example: " + "no such name " * 9, "check " + "the name " * 12, 69),
        *not_checked(["tls"], "the way ends before"),
    )
)


def test_a_line_each_with_what_to_do_below() -> None:
    lines = [*_lines(FOUND)]
    assert lines[:5] == [
        "doctor: 1 failed, 1 warnings",
        "",
        "  ok           key: found in the variable X",
        "  warning      clock: 7 s behind",
        "               to do: set it",
    ]
    assert lines[5].startswith("  FAILED       dns: api.example: no such name")
    assert lines[-1] == "  not checked  tls: the way ends before"
    assert max(map(len, lines)) <= 80


def test_json_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert _print(FOUND, as_json=True) == 69
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == 69
    assert [f["health"] for f in told["findings"]] == ["ok", "warning", "failed", "not checked"]
