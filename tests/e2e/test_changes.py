"""Two nights of one list: what changed is told, held against the sandbox's own truth."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from batch_screen.model import Endpoint
from batch_screen.sandbox import server as sandbox_server
from batch_screen.sandbox.answers import Population, World, truth

from .conftest import NOW, NUMBERS, Desk, Output, known, new_sandbox, run_command

ENDPOINTS = (Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE, Endpoint.CALL_FORWARDING_CHECK)
NAMES = ",".join(ENDPOINTS)
LONDON, BERLIN = NUMBERS[:200], NUMBERS[1000:1200]
QUIET = Population(swapped_share=0.01, forwarding_share=0.05, not_found_share=0.05)
MOVED = Population(swapped_share=1.0, not_found_share=0.0)
FIRST = World(seed=0, now=NOW, population=QUIET)
OTHER = World(seed=9, now=NOW, population=Population(not_found_share=0.2, swapped_share=0.01))
MIGRATED = World(seed=0, now=NOW, population=MOVED)
WINDOW = 2400


def second_world(number: str) -> World:
    """Half of London's numbers have a new SIM; one in twelve of Berlin's is another person's."""
    place = int(number[-3:])
    if number in LONDON:
        return MIGRATED if place % 2 else FIRST
    return OTHER if place % 12 == 0 else FIRST


def naive(before: dict[str, Any], after: dict[str, Any]) -> str | None:
    """The rules for two answers of the same moment, whose windows are the same."""

    def positive(values: dict[str, Any]) -> bool:
        return bool(values["swapped"] or values["active"] or values["latest_change_raw"])

    was, is_ = (values["outcome"] == "success" for values in (before, after))
    if was and not is_:
        return "became_unknown"
    if not is_:
        return None
    if positive(after):
        moved = before["latest_change_raw"] != after["latest_change_raw"]
        return ("date_moved" if moved else None) if positive(before) else "newly_positive"
    if not was:
        return "became_known"
    return "newly_negative" if positive(before) else None


@dataclass
class Nights:
    desk: Desk
    first: Output
    second: Output
    said: str
    expected: dict[tuple[str, str], str]


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Lists that differ a little, partitioned into different numbers of shards."""
    folder = tmp_path_factory.mktemp("changes")
    before, after = [*LONDON, *BERLIN[:-10]], [*LONDON, *BERLIN[10:]]
    with new_sandbox(population=QUIET) as server, pytest.MonkeyPatch.context() as patch:
        toml = "[output]\nshard_lookups = {}\n"
        how = {"options": ("--endpoints", NAMES)}
        desk = Desk(folder, server.url, before, toml.format(1000), **how)  # type: ignore[arg-type]
        assert desk.run().code in (0, 3)
        first = desk.latest
        assert first.report("summary.json")["changes"] is None
        patch.setattr(
            sandbox_server, "truth", lambda n, e, w, _world: truth(n, e, w, second_world(n))
        )
        desk = Desk(folder, server.url, after, toml.format(2000), **how)  # type: ignore[arg-type]
        done = desk.run("--run-date", "2026-03-03")
        assert done.code in (0, 3), done.err
    expected = {
        (number, endpoint.value): change
        for number in set(before) & set(after)
        for endpoint in ENDPOINTS
        if (
            change := naive(
                known(number, endpoint, WINDOW, FIRST),
                known(number, endpoint, WINDOW, second_world(number)),
            )
        )
    }
    return Nights(desk, first, desk.latest, done.out, expected)


def test_every_change_is_told_and_no_other(nights: Nights) -> None:
    found = nights.second.frame("changes")
    rows = {(r["e164"], r["endpoint"]): r["change"] for r in found.iter_rows(named=True)}
    assert rows == nights.expected
    assert len(set(rows.values())) == 5  # in every direction
    assert set(found["since_run_id"]) == {nights.first.run_id}
    assert len(nights.first.parts("lookups")) != len(nights.second.parts("lookups"))
    changes = nights.second.report("summary.json")["changes"]
    counts = Counter((endpoint, change) for (_, endpoint), change in nights.expected.items())
    told = {
        (e, c): n for e, by_change in changes["endpoints"].items() for c, n in by_change.items()
    }
    assert {key: n for key, n in told.items() if n} == counts
    assert (changes["since_run"], changes["since_date"]) == (nights.first.run_id, "2026-03-02")
    assert [changes[f"numbers_{n}"] for n in ("new", "gone", "compared")] == [10, 10, 380]


def test_the_migration_of_a_block_is_marked_and_nothing_is_removed(nights: Nights) -> None:
    cohorts = nights.second.report("summary.json")["changes"]["cohorts"]
    assert {(c["level"], c["name"]) for c in cohorts} == {("country", "GB"), ("block", "+442079…")}
    new = {
        n
        for (n, endpoint), change in nights.expected.items()
        if endpoint == Endpoint.SIM_SWAP_CHECK and change == "newly_positive" and n in LONDON
    }
    assert all((c["numbers"], c["newly_positive"]) >= (200, len(new)) for c in cohorts)
    feed = nights.second.frame("changes")
    marked = feed.filter("likely_migration")
    assert set(marked["cohort"]) == {"+442079…"}
    assert new <= set(marked["e164"]) <= set(LONDON)
    assert feed.filter(pl.col("e164").is_in(BERLIN))["cohort"].null_count() > 0
    line = next(line for line in nights.said.splitlines() if "likely migration: " in line)
    assert "+442079… " in line
    assert " of 200 (" in line
    assert f"since ........ run {nights.first.run_id}: " in nights.said


def test_both_nights_are_whole_and_diff_says_the_same(nights: Nights, tmp_path: Path) -> None:
    done = run_command("validate", nights.desk.out, "--all")
    assert done.code == 0, done.out
    assert "recounted from the lookups of run" in done.out
    feed = tmp_path / "feed.parquet"
    named = [nights.first.run_id, nights.second.run_id, "--out", nights.desk.out]
    told = run_command("diff", *named, "--json", "--write", feed)
    assert told.code == 0, told.err
    changes = nights.second.report("summary.json")["changes"]
    assert json.loads(told.out)["changes"] == changes
    frame = pl.read_parquet(feed)
    assert frame.equals(nights.second.frame("changes"))
    shown = run_command("diff", nights.first.reports, nights.desk.out)
    assert shown.code == 0
    assert "380 compared, 10 new and 10 gone" in shown.out
    assert "likely ....... an operator's migration: " in shown.out
    same = run_command("diff", nights.desk.out, nights.second.reports)
    assert "changes ...... nothing changed" in same.out


def test_a_report_that_is_written_again_has_the_same_changes(nights: Nights) -> None:
    parts = nights.second.parts("changes")
    before = [part.read_bytes() for part in parts]
    (nights.second.reports / "_SUCCESS").unlink()
    assert nights.desk.run("--run-date", "2026-03-03").code in (0, 3)
    assert [part.read_bytes() for part in parts] == before


def test_the_risk_is_counted_over_all_rows(nights: Nights) -> None:
    results = nights.second.frame("results")
    risk = nights.second.report("summary.json")["risk"]
    assert {sum(values.values()) for values in risk.values()} == {results.height}
    recent = results.filter("risk_sim_recent")
    assert risk["risk_sim_recent"]["true"] == recent.height > 90
    assert recent.select((pl.col("sim_swap_check_swapped")).all()).item()


def test_an_earlier_run_that_is_gone(nights: Nights, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(nights.desk.out, out, ignore=shutil.ignore_patterns(".state"))
    for part in nights.first.parts("lookups"):
        (out / part.relative_to(nights.desk.out)).unlink()
    assert run_command("validate", out).code == 0
    done = run_command("diff", out / "runs" / nights.first.run_id, out)
    assert done.code == 66
    assert f"run {nights.first.run_id} in {out} cannot be compared" in done.error
    shutil.rmtree(out / "runs" / nights.first.run_id)
    assert run_command("validate", out).code == 0
    assert run_command("diff", nights.first.run_id, out, "--out", out).code == 66
