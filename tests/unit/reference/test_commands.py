from __future__ import annotations

import pytest
from click.testing import CliRunner

from batch_screen.cli.main import cli
from reference.commands import commands_page, helps


@pytest.mark.parametrize("command", ["", *cli.commands])
def test_each_help_is_what_the_command_says(command: str) -> None:
    arguments = [*([command] if command else []), "--help"]
    runner = CliRunner(env={"COLUMNS": "100"})
    said = runner.invoke(cli, arguments, prog_name="batch-screen", terminal_width=100)
    name = f"batch-screen {command}".strip()
    assert dict(helps())[name] == said.output.rstrip("\n")
    assert f"## `{name}`\n\n```text\n{said.output}" in commands_page()
