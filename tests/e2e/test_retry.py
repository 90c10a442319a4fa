"""Failed lookups are asked again in a run that supersedes the first: all else is carried over."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import pytest

import batch_screen
from batch_screen.runs.layout import layout_of_run
from batch_screen.sandbox.magic import Behaviour, Fault
from batch_screen.sandbox.profiles import FaultRule
from batch_screen.sandbox.run import SandboxThread
from tests.thoroughness import in_full
from tests.unit.tables.whole_run import WholeRun

from .conftest import CONCURRENCY, NUMBERS, Desk, Finished, Output, new_sandbox, run_command, until

BAD = [FaultRule(Fault(Behaviour.SERVER_ERROR), 0.1), FaultRule(Fault(Behaviour.RESET), 0.1)]
PATCHY = FaultRule(Fault(Behaviour.NOT_FOUND), 0.1)
FAULTS = (*BAD, PATCHY, FaultRule(Fault(Behaviour.FORBIDDEN), 0.05))
TOML = """
[guards]
max_failure_share = 1
max_error_share = 1
max_consecutive_failures = 0
canary_answers = 0
[input]
keep_columns = ["name"]
[prices.per_request]
"sim-swap/check" = 0.5
"sim-swap/retrieve-date" = 0.25
"""
BOTH = ("--endpoints", "sim-swap/check,sim-swap/retrieve-date")
NIGHT = "2026-03-02"
KEY = ["e164", "endpoint"]
HELPED = ("server_error", "unreachable")


CELLS = NUMBERS[:60]


@dataclass
class Place:
    """A list, an output folder, and the server that is asked, with all that it was asked."""

    desk: Desk
    server: SandboxThread
    log: Path

    def asked(self) -> Counter[tuple[str, str]]:
        """(number, endpoint) → requests so far."""
        lines = map(json.loads, self.log.read_text("utf-8").splitlines())
        return Counter((line["number"], line["endpoint"]) for line in lines)

    def arguments(self, *more: object) -> list[object]:
        desk = self.desk
        where = ["--out", desk.out, "--config", desk.configuration, "--base-url", desk.url]
        return ["retry", *more, *where]

    def retry(self, *more: object) -> Finished:
        return run_command(*self.arguments(*more))

    def screened(self, *more: object) -> Output:
        done = self.desk.run(*more)
        assert done.code == 0, done.err
        return self.desk.latest

    def assert_valid(self) -> None:
        runs = [marker.parent.name for marker in self.desk.out.glob("runs/*/_SUCCESS")]
        assert runs
        for run_id in runs:
            found = batch_screen.validate(self.desk.out, run_id)
            assert found.is_whole, found


def write_list(path: Path, numbers: Sequence[str]) -> None:
    rows = [f"{number},customer {n}" for n, number in enumerate(numbers)]
    rows += [f"{numbers[0]},twice", "none of it,bad"]
    path.write_text("phone,name\n" + "".join(f"{row}\n" for row in rows), "utf-8")


Begin = Callable[..., Place]


@pytest.fixture
def place(sandbox: Callable[..., SandboxThread], tmp_path: Path) -> Begin:
    def begin(rules: Sequence[FaultRule] = FAULTS, **options: Any) -> Place:
        log = tmp_path / "requests.jsonl"
        server = sandbox(rules=tuple(rules), journal_path=log)
        how = {"toml": TOML, "options": BOTH, **options}
        desk = Desk(tmp_path, server.url, CELLS, **how)
        write_list(desk.list, CELLS)
        return Place(desk, server, log)

    return begin


def failed_in(run: Output, outcomes: Sequence[str] = HELPED) -> pl.DataFrame:
    return run.frame("lookups").filter(pl.col("outcome").is_in(outcomes)).sort(KEY)


def keys(lookups: pl.DataFrame) -> set[tuple[str, str]]:
    return {*lookups.select(KEY).iter_rows()}


def test_what_failed_is_asked_again_and_nothing_else(place: Begin) -> None:
    night = place()
    desk, first = night.desk, night.screened()
    before, failed = first.frame("lookups").sort(KEY), failed_in(first)
    assert 10 < failed.height < 100
    asked = night.asked()

    # Neither the list nor the state need be there any more.
    desk.list.unlink()
    shutil.rmtree(desk.out / ".state")
    night.server.change(rules=(PATCHY,))
    done = night.retry()
    assert done.code == 0, done.err
    assert f"{failed.height} failed lookups are asked again" in "".join(done.lines)
    second = desk.latest
    assert second.run_id != first.run_id
    carried_over = f"{2 * len(CELLS) - failed.height} outcomes are carried over"
    assert f"supersedes ... run {first.run_id}, {carried_over}" in done.out
    assert night.asked() - asked == Counter(keys(failed))

    summary, manifest = second.report("summary.json"), second.report("manifest.json")
    assert summary["supersedes"] == manifest["supersedes"] == [first.run_id]
    assert summary["rows"] == first.report("summary.json")["rows"]
    after = second.frame("lookups").sort(KEY)
    assert after.select(KEY).equals(before.select(KEY))
    is_asked = after["source"] == "asked"
    assert after.filter(is_asked).select(KEY).equals(failed.select(KEY))
    kept = ["outcome", "swapped", "latest_change_raw", "responded_at", "max_age_minutes"]
    assert after.filter(~is_asked).select(kept).equals(before.filter(~is_asked).select(kept))
    carried = after.filter(~is_asked)
    assert set(carried["source"]) == {"carried"}
    assert set(carried["source_run_id"]) == {first.run_id}
    assert carried["attempts"].sum() == 0
    assert not set(after.filter(is_asked)["outcome"]) & {*HELPED}

    rows = ["in_name", "row_index", "source_file", "source_row", "e164", "region", "rule"]
    one, two = (each.frame("results").select(rows).sort("row_index") for each in (first, second))
    assert one.equals(two)
    rejects = [
        each.frame("errors").filter(kind="reject").drop("run_id") for each in (first, second)
    ]
    assert rejects[0].equals(rejects[1])
    night.assert_valid()
    price = {"sim-swap/check": 0.5, "sim-swap/retrieve-date": 0.25}
    assert summary["cost"] == sum(price[name] for name in failed["endpoint"])


def test_a_second_retry_has_nothing_to_do(place: Begin) -> None:
    night = place()
    desk, first = night.desk, night.screened()
    night.server.change(rules=())
    assert night.retry().code == 0
    second, asked = desk.latest, night.asked()
    metrics, closing = desk.folder / "m.prom", desk.folder / "s.json"
    metrics.write_text("# of the run\n", "utf-8")
    same = night.retry("--metrics-file", metrics, "--summary-file", closing)
    assert json.loads(closing.read_bytes())["status"] == "nothing_to_retry"
    assert metrics.read_text("utf-8") == "# of the run\n"
    assert (same.code, same.out.splitlines()[0][:16]) == (0, "nothing to retry")
    assert desk.latest.run_id == second.run_id
    assert sorted(p.name for p in (desk.out / "runs").iterdir()) == sorted(
        [first.run_id, second.run_id]
    )
    old = night.retry(first.run_id)
    assert old.code == 0
    assert "was complete already" in old.out
    other = night.retry(first.run_id, "--outcomes", "forbidden")
    assert other.code == 2
    assert f"superseded by run {second.run_id}" in other.error
    assert night.asked() == asked


@in_full
def test_a_retry_that_is_killed_goes_on(place: Begin) -> None:
    night = place()
    desk, first = night.desk, night.screened()
    failed, asked = failed_in(first), night.asked()
    night.server.change(rules=())
    with desk.begun(*night.arguments("--rate", 20)) as going:
        until(lambda: (night.asked() - asked).total() > 3)
        going.process.kill()
        going.process.wait()
    assert desk.latest.run_id == first.run_id
    status = json.loads(run_command("status", "--json", "--out", desk.out).out)
    [stopped] = [run for run in status["runs"] if run["state"] == "resumable"]
    assert stopped["resume"].startswith(f"batch-screen retry {first.run_id} --out ")
    assert stopped["lookups"] - failed.height <= stopped["done"] < stopped["lookups"]
    assert stopped["lookups"] == 2 * len(CELLS)

    done = night.retry()
    assert done.code == 0, done.err
    again = night.asked() - asked
    assert set(again) == keys(failed)
    # At most what was under way when it was killed is asked twice.
    assert again.total() - failed.height <= CONCURRENCY
    assert desk.latest.report("summary.json")["supersedes"] == [first.run_id]
    assert failed_in(desk.latest).is_empty()
    night.assert_valid()


def names_server(run: Output, url: str) -> None:
    """Changes the address that the run says it has asked."""
    whole = WholeRun(layout_of_run(run.folder, run.run_id))

    def change(summary: dict[str, Any]) -> None:
        summary["settings"]["api.base_url"] = url

    whole.rewrite_json(whole.layout.summary, change)
    manifest = whole.manifest()
    manifest["api"]["host"] = urlsplit(url).netloc
    whole.write_manifest(manifest)


def swapped(run: Output) -> set[tuple[str, str]]:
    changes = run.frame("changes").filter(pl.col("change").is_in(["newly_positive", "date_moved"]))
    return keys(changes)


def test_a_superseded_run_is_no_second_night(place: Begin) -> None:
    night = place(rules=BAD)
    desk = night.desk
    with new_sandbox(seed=7) as server:  # other answers, before anybody had failed
        desk.options = (*BOTH, "--base-url", server.url)
        one = night.screened("--run-date", "2026-03-01")
    names_server(one, night.server.url)
    desk.options = BOTH
    first = night.screened("--run-date", "2026-03-02")
    assert first.report("summary.json")["changes"]["since_run"] == one.run_id
    night.server.change(rules=())
    assert night.retry().code == 0
    second = night.desk.latest
    summary = second.report("summary.json")
    assert summary["changes"]["since_run"] == one.run_id
    # Nothing that the first had found is lost, and what failed is compared with the night before.
    assert swapped(first) <= swapped(second)
    failed = keys(failed_in(first))
    before, after = (
        {(r["e164"], r["endpoint"]): r for r in each.frame("lookups").iter_rows(named=True)}
        for each in (one, second)
    )
    newly = {key for key in failed if after[key]["swapped"] and not before[key]["swapped"]}
    assert newly
    assert newly <= swapped(second)
    night.assert_valid()

    later = night.screened("--run-date", "2026-03-03")
    summary = later.report("summary.json")
    assert summary["changes"]["since_run"] == second.run_id
    assert later.frame("changes").is_empty()
    # The night after has counted from it, so its answers must stay what they are.
    done = night.retry(second.run_id, "--outcomes", "not_found")
    assert done.code == 2
    assert f"run {later.run_id} has counted its changes from run {second.run_id}" in done.error


def test_who_has_objected_since_is_not_asked_again(place: Begin) -> None:
    night = place()
    first = night.screened()
    failed = failed_in(first)
    gone, fine = failed["e164"][0], first.frame("lookups").filter(outcome="success")["e164"][0]
    listed = night.desk.folder / "opt-outs.txt"
    listed.write_text(f"{gone}\n{fine}\n", "utf-8")
    asked = night.asked()
    night.server.change(rules=())
    done = night.retry("--opt-out", listed)
    assert done.code == 0, done.err
    again = night.asked() - asked
    assert set(again) == {key for key in keys(failed) if key[0] not in (gone, fine)}
    run = night.desk.latest
    for table in ("results", "lookups"):
        assert not {gone, fine} & set(run.frame(table)["e164"])
    rows = first.frame("results").filter(pl.col("e164").is_in([gone, fine]))["row_index"]
    objected = run.frame("errors").filter(reason="opted_out")
    assert sorted(objected["row_index"]) == sorted(rows)
    assert set(objected["detail"]) == {"objected after the run had been planned"}
    night.assert_valid()

    # From now on the list is part of the run: without it somebody else might be asked.
    done = night.retry("--outcomes", "forbidden")
    assert done.code == 2
    assert "name it with --opt-out" in done.error


@in_full
def test_a_retry_goes_on_with_a_longer_opt_out_list(place: Begin) -> None:
    night = place()
    first = night.screened()
    failed, asked = failed_in(first), night.asked()
    night.server.change(rules=())
    assert night.retry("--max-requests", 5).code == 4
    early = set(night.asked() - asked)
    late = min(key for key in keys(failed) - early)
    listed = night.desk.folder / "opt-outs.txt"
    gone = {late[0], min(early)[0]}
    listed.write_text("".join(f"{number}\n" for number in gone), "utf-8")
    done = night.retry("--opt-out", listed)
    assert done.code == 0, done.err
    assert "goes on with an opt-out list that has grown: 2 more numbers" in done.err
    again = night.asked() - asked
    assert set(again) == early | {key for key in keys(failed) if key[0] not in gone}
    assert set(again.values()) == {1}
    assert not gone & set(night.desk.latest.frame("lookups")["e164"])
    night.assert_valid()


@in_full
@pytest.mark.parametrize("how", ["folder", "run", "output"])
def test_the_run_is_named_in_any_way(place: Begin, how: str) -> None:
    night = place()
    desk, first = night.desk, night.screened()
    failed, asked = failed_in(first, ["unreachable"]), night.asked()
    night.server.change(rules=())
    named = {
        "run": [first.run_id, "--out", desk.out],
        "folder": [first.reports],
        "output": [desk.out],
    }
    where = ["--config", desk.configuration, "--base-url", desk.url]
    done = run_command("retry", *named[how], "--outcomes", "unreachable", *where)
    assert done.code == 0, done.err
    assert night.asked() - asked == Counter(keys(failed))
    left = failed_in(desk.latest)
    assert keys(left) == keys(failed_in(first, ["server_error"]))
    assert set(left["source"]) == {"carried"}
    night.assert_valid()


def test_what_is_refused_costs_nothing(place: Begin) -> None:
    night = place()
    desk, first = night.desk, night.screened()
    asked, before = night.asked(), sorted(desk.out.rglob("*"))
    refused = {
        "another server": (["--base-url", "http://127.0.0.1:9/other"], 2, "answers of two servers"),
        "no such outcome": (["--outcomes", "sucess"], 2, "is none: choose among"),
        "success": (["--outcomes", "success"], 2, "is none: choose among"),
        "no such run": (["20260302-0123456789"], 66, "there is no run"),
    }
    for what, (more, code, words) in refused.items():
        done = run_command(*night.arguments(), *more)
        assert done.code == code, what
        assert words in done.err, what
    part = first.parts("lookups")[0]
    content = part.read_bytes()
    part.write_bytes(content[:-1])
    done = night.retry()
    assert (done.code, "is not what was written" in done.error) == (65, True)
    part.write_bytes(content)
    (first.reports / "_SUCCESS").rename(first.reports / "_GONE")
    done = night.retry()
    assert (done.code, "is not complete" in done.error) == (65, True)
    (first.reports / "_GONE").rename(first.reports / "_SUCCESS")
    assert night.asked() == asked
    assert sorted(desk.out.rglob("*")) == before


@in_full
def test_bounds_hold_and_the_rest_is_asked_later(place: Begin) -> None:
    night = place()
    first = night.screened()
    failed, asked = failed_in(first), night.asked()
    night.server.change(rules=())
    done = night.retry("--max-requests", 5)
    assert done.code == 4
    assert "the same command goes on;" in done.out
    assert (night.asked() - asked).total() == 5
    # Other outcomes are another run: this one must be finished first.
    other = night.retry("--outcomes", "not_found")
    assert other.code == 2
    assert "retry.outcomes was" in other.error
    assert night.retry().code == 0
    assert night.asked() - asked == Counter(keys(failed))
    night.assert_valid()


@in_full
def test_windows_reach_back_as_they_did(place: Begin) -> None:
    night = place(
        rules=(), options=("--endpoints", "sim-swap/check", "--max-age", "since-last-run")
    )
    night.screened("--run-date", "2026-03-01")
    night.server.change(rules=tuple(BAD))
    first = night.screened()
    night.server.change(rules=())
    assert night.retry().code == 0
    run = night.desk.latest
    lookups = run.frame("lookups")
    assert lookups.filter(endpoint="sim-swap/check")["last_observed_at"].null_count() == 0
    key = "last_observed_at"
    one, two = (
        each.frame("lookups").filter(endpoint="sim-swap/check").sort("e164")[key].to_list()
        for each in (first, run)
    )
    assert one == two
    [coverage] = run.report("summary.json")["coverage"].values()
    assert (coverage["without_gap"], coverage["first"]) == (len(CELLS), 0)
    night.assert_valid()


@in_full
def test_a_limited_run_stays_one(place: Begin) -> None:
    night = place()
    first = night.screened("--limit", 40)
    failed, asked = failed_in(first), night.asked()
    listed = night.desk.folder / "opt-outs.txt"
    listed.write_text(f"{failed['e164'][0]}\n", "utf-8")
    night.server.change(rules=())
    assert night.retry("--opt-out", listed).code == 0
    assert set(night.asked() - asked) == {k for k in keys(failed) if k[0] != failed["e164"][0]}
    rows, before = (r.report("summary.json")["rows"] for r in (night.desk.latest, first))
    assert rows["left_out"] == before["left_out"] > 0
    assert rows["unique_numbers"] == before["unique_numbers"] - 1 == 39
    night.assert_valid()


def test_a_retry_can_be_retried(place: Begin) -> None:
    night = place()
    first = night.screened()
    failed, asked = failed_in(first), night.asked()
    night.server.change(rules=(FaultRule(Fault(Behaviour.SERVER_ERROR), 0.3),))
    assert night.retry().code == 0
    second = night.desk.latest
    still = failed_in(second)
    assert 0 < still.height < failed.height
    night.server.change(rules=())
    before = night.asked()
    assert night.retry().code == 0
    third = night.desk.latest
    assert night.asked() - before == Counter(keys(still))
    assert third.report("summary.json")["supersedes"] == [second.run_id, first.run_id]
    lookups = third.frame("lookups")
    by_source = {
        run: keys(lookups.filter(pl.col("source_run_id") == run.run_id)) for run in (first, second)
    }
    assert by_source[first] == keys(first.frame("lookups")) - keys(failed)
    assert by_source[second] == keys(failed) - keys(still)
    assert (night.asked() - asked).keys() == keys(failed)
    night.assert_valid()


LESS = """
[planner]
derive_checks = true
only_where_changed = { "device-swap/check" = "sim-swap/check" }
"""


@in_full
def test_what_depends_on_what_failed_is_decided_again(place: Begin) -> None:
    endpoints = "sim-swap/check,sim-swap/retrieve-date,device-swap/check"
    night = place(rules=BAD, toml=TOML + LESS, options=("--endpoints", endpoints))
    first = night.screened()
    failed, asked = failed_in(first), night.asked()
    assert set(failed["endpoint"]) >= {"sim-swap/check", "sim-swap/retrieve-date"}
    night.server.change(rules=())
    assert night.retry().code == 0
    run = night.desk.latest
    again = night.asked() - asked
    # What a date or another signal answers need not be asked for.
    assert set(again) <= keys(failed)
    assert set(again.values()) == {1}
    after = run.frame("lookups")
    asked_now = after.filter(source="asked")
    assert keys(asked_now) == set(again)
    others = keys(failed) - set(again)
    assert keys(after.filter(pl.col("source") == "derived")) >= {
        key for key in others if key[1] == "sim-swap/check"
    }
    assert failed_in(run).is_empty()
    night.assert_valid()


@in_full
def test_a_run_of_the_sandbox_is_retried_there(place: Begin) -> None:
    night = place()
    numbers = ["+46701740650", "+46701740651", "+46701740601", *CELLS]
    write_list(night.desk.list, numbers)
    magic = ["--sandbox", "--endpoints", "sim-swap/check", "--test"]
    done = run_command(
        "run",
        night.desk.list,
        "--out",
        night.desk.out,
        "--config",
        night.desk.configuration,
        *magic[:-1],
    )
    assert done.code == 0, done.err
    first = night.desk.latest
    helped = first.frame("errors").filter("retry_can_help")
    assert helped.height
    without_key = {"BATCH_SCREEN_API_KEY": None}
    done = run_command(
        "retry",
        "--out",
        night.desk.out,
        "--config",
        night.desk.configuration,
        environment=without_key,
    )
    assert done.code == 0, done.err
    assert "sandbox answers, not real ones" in done.out
    run = night.desk.latest
    asked = run.frame("lookups").filter(source="asked")
    assert set(asked["e164"]) == set(helped["e164"])
    night.assert_valid()
