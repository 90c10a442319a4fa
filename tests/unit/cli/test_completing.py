from __future__ import annotations

import click
import pytest

from batch_screen.cli import completing
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
    assert values(completing.endpoints(CONTEXT, OPTION, typed)) == [str(c) for c in completed]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("de", ["DE"]), ("0", ["001"]), ("DE,at", ["DE,AT"]), ("DE,d", ["DE,DJ", "DE,DK"])],
)
def test_regions(typed: str, completed: list[str]) -> None:
    found = values(completing.regions(CONTEXT, OPTION, typed))
    assert set(completed) <= set(found)
    assert "DE,DE" not in found


def test_a_region() -> None:
    [found] = completing.region(CONTEXT, OPTION, "de")
    assert (found.value, found.help) == ("DE", "Germany")
