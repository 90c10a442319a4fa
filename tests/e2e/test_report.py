"""The installed command writes a page about a run, whole or stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from batch_screen.sandbox.answers import Population
from batch_screen.tables.results import count_risk
from tests.discretion import secrets_in

from .conftest import ALL, KEY, NUMBERS, Desk, new_sandbox, run_command

LISTED = NUMBERS[:60]


def test_a_run_writes_its_page_and_the_command_the_same(tmp_path: Path) -> None:
    population = Population(not_found_share=0.1, forwarding_share=0.2, swapped_share=0.2)
    with new_sandbox(population=population) as server:
        desk = Desk(tmp_path / "desk", server.url, [*LISTED, *LISTED[:9], "n/a"])
        done = desk.run("--endpoints", ALL)
    assert done.code == 0, done.err
    assert "(report.html, summary.json" in done.out
    out = desk.latest
    own = out.reports / "report.html"
    written = own.read_bytes()
    assert not list(secrets_in(written, KEY, LISTED))
    assert run_command("validate", desk.out).code == 0

    elsewhere = tmp_path / "page.html"
    done = run_command("report", out.run_id, "--out", desk.out, "--write", elsewhere, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert elsewhere.read_bytes() == written
    assert (told["path"], told["bytes"]) == (str(elsewhere), len(written))
    lookups = out.frame("lookups")
    for endpoint, regions in told["breakdown"]["values"].items():
        asked = lookups.filter(lookups["endpoint"] == endpoint)
        counts = [count for values in regions.values() for count in values.values()]
        assert sum(counts) == asked.height == len(LISTED)
        unknown = sum(values.get("unknown", 0) for values in regions.values())
        assert unknown == asked.filter(asked["outcome"] != "success").height
    _assert_as_the_flags_say(told, out.frame("results").unique("e164"))

    own.unlink()
    done = run_command("report", desk.out)
    assert done.code == 0, done.err
    assert done.out.splitlines() == [f"run {out.run_id} · {told['verdict']}", str(own)]
    assert own.read_bytes() == written
    (out.reports / "errors.csv").write_bytes(b"")
    done = run_command("report", out.reports)
    assert done.code == 65
    assert "batch-screen validate" in done.error


def _assert_as_the_flags_say(told: dict[str, Any], numbers: pl.DataFrame) -> None:
    """The page's figures are those that summary.risk would be over numbers in place of rows."""
    risk, signs = count_risk([numbers.lazy()]), told["breakdown"]["signs"]
    yes = {name: values.get("true", 0) for name, values in risk.items()}
    both = yes["risk_sim_and_device_recent"]
    assert signs["sim_and_device"] == both
    assert signs["sim_only"] == yes["risk_sim_recent"] - both
    assert signs["device_only"] == yes["risk_device_recent"] - both
    flags = ("risk_sim_recent", "risk_device_recent", "risk_forwarding_active")
    any_flag = numbers.filter(pl.any_horizontal(*flags)).height
    assert 0 < any_flag < numbers.height
    assert told["verdict"] == f"Complete: {any_flag} of {numbers.height} numbers deserve a look"
    for endpoint, column in (("sim-swap", "sim"), ("device-swap", "device")):
        regions = told["breakdown"]["values"][f"{endpoint}/retrieve-date"].values()
        bands = risk[f"{column}_change_age_band"]
        for band in bands.keys() - {"unknown"}:
            assert sum(values.get(band, 0) for values in regions) == bands[band]


def test_a_stopped_run_has_a_page_when_it_is_asked_for(tmp_path: Path) -> None:
    with new_sandbox() as server:
        desk = Desk(tmp_path, server.url, LISTED)
        assert desk.run("--max-requests", "20").code == 4
        [folder] = (desk.out / "runs").iterdir()
        done = run_command("report", folder)
        assert done.code == 0, done.err
        assert "Stopped: 20 of 60 lookups have an outcome" in done.out
        page = (folder / "report.html").read_text("utf-8")
        assert "start the same command with --run-date" in page
        assert run_command("report", desk.out).code == 66  # none is complete
        assert desk.run("--max-requests", "100").code == 0
    assert "Complete: " in (folder / "report.html").read_text("utf-8")
    assert run_command("validate", desk.out).code == 0
    both = run_command("report", folder.name, "--out", desk.out, "--run", folder.name)
    assert (both.code, "exclude each other" in both.err) == (2, True)
