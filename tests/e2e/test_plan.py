"""``plan`` says what ``run`` then does, and sends nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from batch_screen.sandbox.run import SandboxThread

from .conftest import NUMBERS, Desk, run_command

CELLS = [*NUMBERS[:50], *NUMBERS[:5], "n/a"]
PRICES = '[prices]\ncurrency = "CHF"\n[prices.per_request]\n"sim-swap/check" = 0.05\n'
ENDPOINTS = ("--endpoints", "sim-swap/check,call-forwarding/check")


def test_plan_agrees_with_the_run(sandbox: Callable[..., SandboxThread], tmp_path: Path) -> None:
    server = sandbox()
    desk = Desk(tmp_path, server.url, CELLS, PRICES, ENDPOINTS)
    without_key = {"BATCH_SCREEN_API_KEY": None}
    text = run_command(*desk.arguments(command="plan"), environment=without_key)
    plan = desk.plan()
    assert not desk.out.exists()
    assert server.statistics()["requests"] == 0

    assert text.code == 0, text.err
    assert text.out.startswith("plan: nothing was sent\n")
    for words in (
        "phone column . phone",
        "56 = 55 accepted and 1 rejected",
        "50 unique, 5 rows are duplicates",
        "100 to ask, 0 saved",
        "2.50 CHF",
        "0.1 s at 1000/s",
    ):
        assert words in text.out

    assert desk.run().code == 0
    summary = desk.latest.report("summary.json")
    asked = {name: figures["total"] for name, figures in summary["endpoints"].items()}
    assert plan["rows"] == summary["rows"]
    assert plan["lookups"] == plan["to_ask"] == asked
    assert (plan["cost"], plan["currency"]) == (summary["cost"], "CHF") == (2.5, "CHF")
    assert plan["resumes"] is None
    assert sum(plan["to_ask"].values()) == server.statistics()["requests"]

    after = desk.plan()
    assert set(after["to_ask"].values()) == {0}
    assert after["cost"] == 0
    assert server.statistics()["requests"] == 100


def test_plan_of_another_list_knows_nothing_of_this_one(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "http://127.0.0.1:9", NUMBERS[:3])
    plan = desk.plan()
    assert plan["cost"] is None  # no prices are set
    assert plan["to_ask"] == {"sim-swap/check": 3}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.csv", "settings.toml"]
