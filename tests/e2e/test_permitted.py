"""Who objected, and whose region is out of bounds, is never asked about; and what is said then."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from batch_screen.sandbox.run import SandboxThread
from tests.thoroughness import in_full

from .conftest import CONCURRENCY, NUMBERS, Desk, run_command, until, write_csv

GERMAN = [n for n in NUMBERS if n.startswith("+49")][:20]
BRITISH = [n for n in NUMBERS if n.startswith("+44")][:20]
FRENCH = [f"+331990012{i:02}" for i in range(5)]
SOME = NUMBERS[400:1600]
"""Enough for two shards."""
OBJECTED = [GERMAN[3], GERMAN[7], BRITISH[2]]
# As others write them: nationally, with 00, in brackets.
WRITTEN = [f"0{GERMAN[3][3:5]}/{GERMAN[3][5:]}", f"00{GERMAN[7][1:]}", f"({BRITISH[2]})"]
DE = ("--default-region", "DE")


def asked(log: Path) -> set[str]:
    return {json.loads(line)["number"] for line in log.read_text("utf-8").splitlines()}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "requests.jsonl"


def national(number: str) -> str:
    return f"0{number[3:]}" if number.startswith("+49") else number


@pytest.mark.parametrize("kind", ["txt", "csv", pytest.param("parquet", marks=in_full)])
def test_who_objected_is_never_asked(
    sandbox: Callable[..., SandboxThread], tmp_path: Path, log: Path, kind: str
) -> None:
    server = sandbox(journal_path=log)
    no = tmp_path / f"no.{kind}"
    if kind == "txt":
        no.write_text("\n".join(WRITTEN), "utf-8")
    elif kind == "csv":
        lines = [f'"Zoë";{written};2026-01-02' for written in WRITTEN]
        no.write_text("\n".join(["Name;Telefon;seit", *lines]), "utf-8")
    else:
        pl.DataFrame({"id": [1, 2, 3, 4], "msisdn": [*WRITTEN, None]}).write_parquet(no)
    cells = [*map(national, GERMAN), *BRITISH, OBJECTED[0]]
    desk = Desk(tmp_path, server.url, cells, options=(*DE, "--opt-out", str(no)))

    plan = desk.plan()
    assert plan["rows"]["rejected_by_reason"] == {"opted_out": 4}
    assert plan["to_ask"] == {"sim-swap/check": 37}
    assert server.statistics()["requests"] == 0

    done = desk.run()
    assert done.code == 0, done.err
    assert "rejected ... opted_out 4" in done.out
    assert server.statistics()["requests"] == 37
    assert asked(log) == {*GERMAN, *BRITISH} - {*OBJECTED}

    output = desk.latest
    errors = output.frame("errors")
    assert errors["reason"].to_list() == ["opted_out"] * 4
    assert set(errors["remedy"]) == {
        "Leave the row out: the number is on the opt-out list (numbers.opt_out_file)."
    }
    assert errors["e164"].null_count() == errors["detail"].null_count() == 4
    for table in ("results", "lookups"):
        assert not {*output.frame(table)["e164"]} & {*OBJECTED}
    for path in (desk.out / "runs").rglob("*"):
        if path.is_file():
            assert not [n for n in OBJECTED if n[3:].encode() in path.read_bytes()], path
    assert run_command("validate", desk.out).code == 0


def test_regions(sandbox: Callable[..., SandboxThread], tmp_path: Path, log: Path) -> None:
    server = sandbox(journal_path=log)
    cells = [*GERMAN, *BRITISH, *FRENCH, "+80012345678"]
    desk = Desk(tmp_path, server.url, cells, '[numbers]\ndenied_regions = ["FR"]\n')
    assert desk.plan()["rows"]["rejected_by_reason"] == {"region_denied": 5}
    done = desk.run("--allow-regions", "de,UK")
    assert done.code == 0, done.err
    assert "region_denied 5, region_not_allowed 1" in done.out
    server.statistics()
    assert asked(log) == {*GERMAN, *BRITISH}
    errors = desk.latest.frame("errors")
    assert errors.select("reason", "detail").unique(maintain_order=True).rows() == [
        ("region_denied", "region FR"),
        ("region_not_allowed", "region 001"),
    ]


def test_an_objection_while_a_run_is_unfinished(
    sandbox: Callable[..., SandboxThread], tmp_path: Path, log: Path
) -> None:
    server = sandbox(journal_path=log)
    no = write_csv(tmp_path / "no.csv", OBJECTED[:1])
    desk = Desk(tmp_path, server.url, NUMBERS[:60], options=("--opt-out", str(no)))
    with desk.started("--rate", "60") as running:
        until(lambda: server.statistics()["requests"] >= 20)
        assert running.end(signal.SIGTERM).code == 143
    before = server.statistics()["requests"]
    early, late = min(asked(log)), next(n for n in NUMBERS[59::-1] if n not in asked(log))

    # A list that has lost somebody may be the wrong one.
    for other in ([late], [*OBJECTED[1:2], late], ["+493023125999"]):
        write_csv(no, other)
        for refused in (desk.run(), run_command(*desk.arguments(command="plan"))):
            assert refused.code == 2
            assert "is unfinished and was begun with another opt-out list" in refused.error
            assert "people who have objected since" in refused.error
            assert "--new-run" in refused.error
    without = Desk(tmp_path, server.url, NUMBERS[:60])
    assert without.run().code == 2  # to forget the list is to change it
    moved = no.rename(tmp_path / "moved.csv")
    assert desk.run().code == 66
    assert server.statistics()["requests"] == before

    # One that has grown lets it go on, without those who have joined it.
    desk.options = ("--opt-out", str(moved))
    write_csv(moved, [late, early, *OBJECTED[:1]])
    planned, left = desk.plan(), 60 - len(asked(log)) - 1
    assert planned["resumes"] is not None
    assert planned["rows"]["rejected_by_reason"] == {"opted_out": 2}
    assert (planned["lookups"], planned["to_ask"]) == (
        {"sim-swap/check": 58},
        {"sim-swap/check": left},
    )
    done = desk.run()
    assert done.code == 0, done.err
    assert "goes on with an opt-out list that has grown: 2 more numbers are left out" in done.err
    server.statistics()
    assert asked(log) == {*NUMBERS[:60]} - {late}
    assert server.statistics()["requests"] <= 59 + CONCURRENCY
    run = desk.latest
    assert not {early, late} & {*run.frame("results")["e164"], *run.frame("lookups")["e164"]}
    rejects = run.frame("errors").filter(kind="reject").sort("row_index")
    assert rejects["reason"].to_list() == ["opted_out"] * 2
    assert set(rejects["detail"]) == {"objected after the run had been planned"}
    assert rejects["row_index"].to_list() == sorted(NUMBERS.index(n) for n in (early, late))
    assert run.report("summary.json")["rows"]["rejected_by_reason"] == {"opted_out": 2}
    assert run_command("validate", desk.out).code == 0

    # The run is that of the new list from now on.
    before = server.statistics()["requests"]
    again = desk.run()
    assert "was complete already" in again.out
    assert server.statistics()["requests"] == before


@in_full
def test_an_objection_after_shards_were_sealed(
    sandbox: Callable[..., SandboxThread], tmp_path: Path, log: Path
) -> None:
    server = sandbox(journal_path=log)
    no = write_csv(tmp_path / "no.csv", [])
    toml = "[output]\nshard_lookups = 1000\n"
    desk = Desk(tmp_path, server.url, SOME, toml)
    with desk.started("--rate", "500") as running:
        until(lambda: next(desk.out.glob(".state/runs/*/sealed/*.seal"), None))
        running.process.kill()
        running.process.wait()
    first = asked(log)
    assert 500 <= len(first) < len(SOME)
    early = sorted(first)[::50]
    late = sorted({*SOME} - first)[::50]
    write_csv(no, [*early, *late])
    desk.options = ("--opt-out", str(no))  # from none at all
    with desk.started() as running:
        until(lambda: len(asked(log)) > len(first) + 50)
        running.process.kill()
        running.process.wait()
    done = desk.run("--rate", "2000")
    assert done.code == 0, done.err
    assert not {*late} & asked(log)
    assert server.statistics()["repeats"] <= 2 * CONCURRENCY
    run = desk.latest
    assert set(run.frame("lookups")["e164"]) == {*SOME} - {*early, *late}
    assert run_command("validate", desk.out).code == 0
    rows = run.report("summary.json")["rows"]
    assert rows["rejected_by_reason"] == {"opted_out": len(early) + len(late)}
    assert rows["read"] == len(SOME)


def test_the_list_is_no_input_of_the_folder_it_lies_in(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    write_csv(folder / "a.csv", GERMAN)
    no = write_csv(folder / "no.csv", GERMAN[:2])
    desk = Desk(tmp_path, sandbox().url)
    done = desk.run(folder, "--opt-out", no)
    assert done.code == 0, done.err
    assert desk.latest.report("summary.json")["rows"]["read"] == 20
