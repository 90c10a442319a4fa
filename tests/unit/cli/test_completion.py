from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

from batch_screen.cli import completion
from batch_screen.cli.main import cli
from batch_screen.model import Endpoint

CONTEXT = click.Context(click.Command("x"))
OPTION = click.Option(["--x"])


def values(found: list[click.shell_completion.CompletionItem]) -> list[str]:
    return [item.value for item in found]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("", [*Endpoint, "all"]),
        ("a", ["all"]),
        ("call", ["call-forwarding/check"]),
        ("sim-swap/check,sim", ["sim-swap/check,sim-swap/retrieve-date"]),
        ("sim-swap/check,a", []),
        ("x", []),
    ],
)
def test_endpoints(typed: str, completed: list[str]) -> None:
    assert values(completion.endpoints(CONTEXT, OPTION, typed)) == [str(c) for c in completed]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("de", ["DE"]), ("0", ["001"]), ("DE,at", ["DE,AT"]), ("DE,d", ["DE,DJ", "DE,DK"])],
)
def test_regions(typed: str, completed: list[str]) -> None:
    found = values(completion.regions(CONTEXT, OPTION, typed))
    assert set(completed) <= set(found)
    assert "DE,DE" not in found


def test_a_region() -> None:
    [found] = completion.region(CONTEXT, OPTION, "de")
    assert (found.value, found.help) == ("DE", "Germany")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_scripts(shell: str) -> None:
    plain = CliRunner().invoke(cli, ["completion", shell])
    assert plain.exit_code == 0
    assert f"_BATCH_SCREEN_COMPLETE={shell}_complete" in plain.output
    told = json.loads(CliRunner().invoke(cli, ["completion", shell, "--json"]).output)
    assert told["script"] + "\n" == plain.output


def test_another_shell() -> None:
    assert CliRunner().invoke(cli, ["completion", "tcsh"]).exit_code == 2
