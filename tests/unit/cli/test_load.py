from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from batch_screen.cli.main import cli
from batch_screen.warehouse.runs import complete_runs
from tests.thoroughness import IS_FULL


def called(*arguments: Any, answer: str = "") -> Any:
    return CliRunner().invoke(cli, [*map(str, arguments)], input=answer)


@pytest.fixture
def to(tmp_path: Path) -> str:
    return f"duckdb:{tmp_path / 'warehouse.duckdb'}"


def test_a_line_for_each_run_and_their_sum(six_nights: Path, to: str) -> None:
    said = called("load", six_nights, "--to", to, "--sandbox")
    assert said.exit_code == 0
    first = complete_runs(six_nights)[0].run_id
    lines = said.stdout.splitlines()
    assert lines[0].startswith(f"run {first}: loaded: results ")
    assert lines[-1] == f"6 runs new, 0 runs already there: {to}, schema batch_screen"
    again = called("load", six_nights, "--to", to, "--sandbox")
    assert again.stdout == f"nothing new for {to}, schema batch_screen: 6 runs already there\n"
    assert again.exit_code == 0


def test_json(six_nights: Path, to: str) -> None:
    shown = called("load", six_nights, "--to", to, "--sandbox", "--dry-run", "--json").stdout
    told = json.loads(shown)
    assert (told["dry_run"], told["already"], len(told["runs"])) == (True, 0, 6)
    assert told["runs"][0]["makes"][0] == "schema batch_screen"
    shown = called("load", six_nights, "--to", to, "--sandbox", "--json").stdout
    assert {run["state"] for run in json.loads(shown)["runs"]} == {"loaded"}
    shown = called("unload", "--to", to, "--older-than", "0d", "--yes", "--json").stdout
    assert json.loads(shown)["removed"] is True


def test_dry_run(six_nights: Path, to: str) -> None:
    said = called("load", six_nights, "--to", to, "--sandbox", "--dry-run").stdout
    assert "  first makes table batch_screen.results\n" in said
    assert said.splitlines()[-1].startswith("6 runs would be loaded, 0 runs already there")


def test_wrong_tables(six_nights: Path, to: str) -> None:
    said = called("load", six_nights, "--to", to, "--tables", "results,lookup")
    assert (said.exit_code, "'lookup' is none" in said.stderr) == (2, True)


def test_unload_asks_first(six_nights: Path, to: str) -> None:
    called("load", six_nights, "--to", to, "--sandbox")
    first = complete_runs(six_nights)[0].run_id
    said = called("unload", "--to", to, "--run", first)
    assert (said.exit_code, "no terminal to ask on" in said.stderr) == (2, True)
    said = called("unload", "--to", to, "--run", first, "--dry-run")
    assert said.stdout.startswith("unload: 1 run with ")
    assert "deleted" not in said.stdout
    said = called("unload", "--to", to, "--run", first, "--yes")
    assert "deleted 1 run with " in said.stdout
    said = called("unload", "--to", to, "--run", first, "--yes")
    assert f"not there .... {first}" in said.stdout
    assert called("unload", "--to", to).exit_code == 2
    assert called("unload", "--to", to, "--run", "x").exit_code != 0


def test_help_imports_no_driver() -> None:
    script = (
        "import sys; from batch_screen.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('psycopg', 'duckdb', 'deltalake', 'pyiceberg', 'polars') "
        "if m in sys.modules])"
    )
    for command in ("load", "unload"):
        done = subprocess.run(
            [sys.executable, "-c", script, command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == "[]"


def test_the_command_exits_with_the_code(six_nights: Path, to: str) -> None:
    """No secret that was typed comes back, and a failure is one line."""
    command = [sys.executable, "-m", "batch_screen", "load", six_nights, "--to"]
    cases: list[tuple[str, list[str], int]] = [
        ("postgresql://me:hunter2@db/wh", ["--sandbox"], 2),
        (to, ["--sandbox", "--run", "20200101-0123456789"], 66),
        ("postgresql://127.0.0.1:1/wh", ["--sandbox"], 69),
        (to, [], 2),
    ]
    for target, more, code in cases if IS_FULL else cases[:2]:
        done = subprocess.run(
            [*command, target, *more], capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
        assert "hunter2" not in done.stdout + done.stderr
