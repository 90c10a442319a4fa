from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from batch_screen.cli.main import cli


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_scripts(shell: str) -> None:
    plain = CliRunner().invoke(cli, ["completion", shell])
    assert plain.exit_code == 0
    assert f"_BATCH_SCREEN_COMPLETE={shell}_complete" in plain.output
    told = json.loads(CliRunner().invoke(cli, ["completion", shell, "--json"]).output)
    assert told["script"] + "\n" == plain.output


def test_another_shell() -> None:
    assert CliRunner().invoke(cli, ["completion", "tcsh"]).exit_code == 2
