"""The generated pages are current, and hold what their lists must hold."""

from __future__ import annotations

import tomllib
from pathlib import Path

import polars as pl
from click.testing import CliRunner

from batch_screen import errors, schema
from batch_screen.cli.main import cli
from batch_screen.errors import BatchScreenError, ExitCode
from batch_screen.schema import Column
from docs.generate.pages import (
    FOLDER,
    OTHERS,
    PAGES,
    TABLES,
    columns_page,
    commands_page,
    exit_codes_page,
    raised_with,
    shared_options,
    split,
)

ROOT = Path(__file__).parents[3]
BY_HAND = {"check-json.md", "files.md", "logs-and-metrics.md", "summary.md"}


def test_every_page_is_what_the_code_says() -> None:
    stale = [n for n, made in PAGES.items() if (FOLDER / n).read_text("utf-8") != made()]
    stale += [n for n, made in OTHERS.items() if (FOLDER.parent / n).read_text("utf-8") != made()]
    assert stale == [], "make docs"
    assert {path.name for path in FOLDER.iterdir()} == {*PAGES, *BY_HAND}


def test_no_wheel_holds_the_generator() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    assert built["targets"]["wheel"]["packages"] == ["batch_screen"]


def test_every_column_of_every_table_is_explained() -> None:
    page = columns_page()
    for _, columns in TABLES.values():
        for column in columns:
            null = "never" if column.required else "may be"
            lines = [line for line in page.splitlines() if line.startswith(f"| `{column.name}` |")]
            assert any(line.endswith(f"| {null} | {column.meaning} |") for line in lines), column
    assert "| `responded_at` | Datetime, UTC | may be | when the last answer arrived |" in page


def test_no_table_is_left_out() -> None:
    """Rows and outcomes are also kept as state, under the same columns."""
    listed = {column.name for _, columns in TABLES.values() for column in columns}
    for name, value in vars(schema).items():
        if isinstance(value, tuple) and value and isinstance(value[0], Column):
            assert {column.name for column in value} <= listed, name
    assert pl.Schema({c.name: c.dtype for c in TABLES["changes"][1]})


def test_every_command_and_option_is_there_and_shared_options_once() -> None:
    page = commands_page()
    shared = shared_options()
    assert {"--config", "--rate", "--out"} <= {option.opts[0] for option in shared}
    for name, command in cli.commands.items():
        chapter = page.split(f"## `batch-screen {name}`")[1].split("\n## ")[0]
        said = CliRunner(env={"COLUMNS": "100"}).invoke(
            cli, [name, "--help"], prog_name="batch-screen", terminal_width=100
        )
        assert f"```text\n{said.output.split('Options:')[0]}" in chapter
        own, others = split(command.params, shared)
        assert [p.opts[0] for p in own if p.opts[0] not in chapter and p.opts[0][0] == "-"] == []
        assert "\nAnd all [options of a list]" in chapter or all(
            f"`{p.opts[0]}`" in chapter for p in others
        ), name
    last = page.split("\n## Options of a list")[1]
    assert [option.opts[0] for option in shared if f"\n  {option.opts[0]}" not in last] == []
    assert page.count("\n  --default-region XX") == 1


def test_every_exit_code_is_explained() -> None:
    page = exit_codes_page()
    for code in ExitCode:
        again = "yes" if code in errors.MAY_PASS else "no"
        assert f"| {int(code)} | {code.meaning} | {code.next_step} | {again} |" in page


def test_every_exception_stands_beside_its_code() -> None:
    ours = {n for n, c in vars(errors).items() if isinstance(c, type) and _is_ours(c)}
    assert {name for code in ExitCode for name in raised_with(code)} == ours
    assert raised_with(ExitCode.STOPPED) == ["QuotaError", "Stopped"]
    assert "    - `QuotaError`: " in exit_codes_page()


def _is_ours(found: type) -> bool:
    return issubclass(found, BatchScreenError)
