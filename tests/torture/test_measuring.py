"""The suite's own measuring: whatever it counts, it must be able to count."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest

from batch_screen.engine.retry import HELD
from batch_screen.journal.seal import write_sealed
from batch_screen.journal.segments import SegmentWriter
from batch_screen.model import Attempt, Endpoint, Outcome, OutcomeKind, WithheldOutcome
from batch_screen.sandbox.config import SandboxConfig
from batch_screen.sandbox.statistics import RequestLine
from batch_screen.schema import LOOKUP, dtypes
from batch_screen.storage.atomic import make_folder, write_atomically
from tests.e2e.conftest import KEY, NOW, NUMBERS, known
from tests.making import made, number

from .figures import Figures, Measure, combine, table
from .judge import (
    Asked,
    Session,
    State,
    judge_bill,
    judge_lookups,
    judge_purchases,
    read_requests,
    read_state,
)
from .leaks import leaks
from .trial import differences, phase
from .witness import Witness

CHECK = Endpoint.CALL_FORWARDING_CHECK
A, B, C = (Asked(number, CHECK.value) for number in NUMBERS[:3])


def request(lookup: Asked, at: float, status: int | None = 200) -> RequestLine:
    return RequestLine(
        at=at,
        ended_at=at + 0.01,
        number=lookup.number,
        endpoint=lookup.endpoint,
        max_age_minutes=None,
        status=status,
        correlator=None,
        was_sent=status is not None,
        is_clean=status == 200,
    )


def session(
    began: float, ended: float, *saved: Asked, failed: Iterable[Asked] = (), is_killed: bool = True
) -> Session:
    state = State(frozenset(saved), Counter([*saved, *failed]))
    return Session(began, ended, -9 if is_killed else 0, is_killed, state, "asking")


def test_what_was_lost_is_bought_again_and_has_an_age() -> None:
    sessions = [session(0, 1, A), session(5, 6, A, B, C)]
    requests = [request(A, 0.5), request(B, 0.6), request(C, 0.9), request(B, 5.1), request(C, 5.2)]
    purchases = judge_purchases(sessions, requests)
    assert purchases.per_session == [2, 0]
    assert purchases.age_ms == pytest.approx(390)
    assert purchases.after_saved == []


def test_what_was_saved_and_is_asked_again_shows() -> None:
    sessions = [session(0, 1, A), session(5, 6, A)]
    purchases = judge_purchases(sessions, [request(A, 0.5), request(A, 5.1)])
    assert len(purchases.after_saved) == 2  # again in a later start, with one request on record
    purchases = judge_purchases(sessions[:1], [request(A, 0.5), request(A, 0.7)])
    assert purchases.after_saved == [f"…{A.number[-3:]} {CHECK} asked twice in one start"]


def test_a_failure_on_record_is_a_reason_to_ask_again() -> None:
    sessions = [session(0, 1, failed=[A]), session(5, 6, A, failed=[A])]
    purchases = judge_purchases(sessions, [request(A, 0.5, 500), request(A, 5.1)])
    assert (purchases.per_session, purchases.after_saved) == ([0, 0], [])


def test_refusals_are_not_bought() -> None:
    sessions = [session(0, 1), session(5, 6, A)]
    purchases = judge_purchases(sessions, [request(A, 0.5, 429), request(A, 5.1)])
    assert (purchases.per_session, purchases.after_saved) == ([0, 0], [])


def test_a_request_that_arrives_after_the_kill_belongs_to_the_killed() -> None:
    sessions = [session(0, 1), session(5, 6, A)]
    purchases = judge_purchases(sessions, [request(A, 1.5, None), request(A, 5.1)])
    assert (purchases.per_session, purchases.age_ms) == ([1, 0], 0)


def test_state_is_read_from_journal_and_sealed_files(tmp_path: Path) -> None:
    run, _ = made(tmp_path, [1, 2, 3])
    writer = SegmentWriter(run.journal, run.run_id)
    failed = Attempt(number(3), CHECK, kind=OutcomeKind.SERVER_ERROR)
    unsure = Attempt(number(3), CHECK, kind=OutcomeKind.NOT_FOUND, reason=HELD)
    held = WithheldOutcome(Outcome(number(4), CHECK, attempts=1))
    writer.write(0, [Outcome(number(1), CHECK, attempts=2, refusals=1), failed, unsure, held])
    writer.close()
    row = {"e164": number(2), "endpoint": CHECK.value, "attempts": 3, "refusals": 1}
    write_sealed(pl.DataFrame([row]), run.sealed, run.run_id, 1, {})
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    state = read_state(tmp_path)
    one, two, three, four = (Asked(number(i), CHECK.value) for i in (1, 2, 3, 4))
    assert state.saved == {one, two, four}
    assert state.on_record == {one: 1, two: 2, three: 1, four: 1}
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def published(*lookups: Asked) -> pl.DataFrame:
    """What the table says of them if all goes well."""
    world = SandboxConfig(now=NOW).world()
    rows = [
        {"e164": n, "endpoint": e, "attempts": 1, "refusals": 0, "unanswered": 0}
        | known(n, CHECK, None, world)
        for n, e in lookups
    ]
    return pl.DataFrame(rows, schema=dtypes(LOOKUP))


def test_missing_duplicate_and_wrong_lookups_are_counted() -> None:
    world = SandboxConfig(now=NOW).world()
    right = published(A, B)
    assert set(judge_lookups(right, [A, B], world).values()) == {2, 0}
    assert judge_lookups(right, [A, B, C], world)["missing"] == 1
    assert judge_lookups(published(A, B, B), [A, B], world)["duplicates"] == 1
    assert judge_lookups(published(A, B, C), [A, B], world)["wrong"] == 1
    turned = right.with_columns(active=~pl.col("active"))
    assert judge_lookups(turned, [A, B], world)["wrong"] == 2


def test_the_bill_is_what_is_not_on_record() -> None:
    requests = [request(A, 1, None), request(A, 2), request(B, 3)]
    lookups = published(A, B)
    assert judge_bill(lookups, requests) == {"billed_shown": 0, "billed_true": 1}
    told = lookups.with_columns(unanswered=pl.Series([2, 1]))
    assert judge_bill(told, requests) == {"billed_shown": 3, "billed_true": 1}


def test_the_request_log_is_read_in_the_order_of_arrival(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    lines = [request(A, 2), request(B, 1)]
    log.write_text("".join(json.dumps(_plain(line)) + "\n" for line in lines), "utf-8")
    assert read_requests(log) == lines[::-1]


def _plain(line: RequestLine) -> dict[str, object]:
    return {name: getattr(line, name) for name in line.__struct_fields__}


def torn_by(folder: Path, name: str, content: bytes) -> list[str]:
    make_folder((folder / name).parent)
    write_atomically(folder / name, content)
    witness = Witness(folder)
    witness.sweep()
    assert not witness.wrong_modes
    return witness.torn


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("results/a.parquet", b"PAR1 and no more"),
        (".state/runs/r/sealed/00000.parquet", b""),
        (".state/runs/r/sealed/00000.seal", b'{"content": {"sha256": "0"}}'),
        ("latest.json", b'{"run_id": '),
        ("runs/r/errors.csv", b"run_id,kind\r\nr,re"),
        ("runs/r/report.html", b"<!doctype html><html><body>"),
        ("runs/r/_SUCCESS", b"0" * 64),
    ],
)
def test_a_torn_file_is_seen(tmp_path: Path, name: str, content: bytes) -> None:
    assert len(torn_by(tmp_path / "out", name, content)) == 1


@pytest.mark.parametrize(
    "name", ["runs/r/.a.json.12.tmp", ".state/runs/r/plan.growing/a.json", ".state/progress.json"]
)
def test_what_grows_is_not_taken_for_torn(tmp_path: Path, name: str) -> None:
    assert torn_by(tmp_path / "out", name, b"{") == []


def test_a_manifest_that_does_not_match_is_seen(tmp_path: Path) -> None:
    manifest = b'{"files": []}'
    assert torn_by(tmp_path, "runs/r/manifest.json", manifest) == []
    assert torn_by(tmp_path, "runs/r/_SUCCESS", sha256(manifest).hexdigest().encode()) == []
    (torn,) = torn_by(tmp_path, "runs/r/_SUCCESS", b"0" * 64)
    assert "the digest of manifest.json differs" in torn


def test_modes_are_seen(tmp_path: Path) -> None:
    out = make_folder(tmp_path / "out")
    (out / "open-7.json").write_text("{}", "utf-8")
    (out / "open-7.json").chmod(0o644)
    make_folder(out / "folder").chmod(0o755)
    witness = Witness(out)
    witness.sweep()
    assert witness.wrong_modes == {"open-#.json has mode 644", "folder has mode 755"}


def test_the_witness_reads_all_the_time(tmp_path: Path) -> None:
    with Witness(tmp_path) as witness:
        time.sleep(0.1)
    assert witness.sweeps > 1


def test_leaks_are_found(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(f'{{"number": "{NUMBERS[5]}"}}', "utf-8")
    (tmp_path / "00000-00000.journal").write_text(f"{NUMBERS[5]} {KEY}", "utf-8")
    (tmp_path / NUMBERS[6]).touch()
    pl.DataFrame({"e164": NUMBERS[:2], "message": ["", f"no {KEY}"]}).write_parquet(
        tmp_path / "a.parquet", compression="zstd"
    )
    found = set(leaks(tmp_path, [KEY]))
    assert found - {"the key in a.parquet"} == {  # where it was too short to be compressed
        f"a whole number in the name of a file in {tmp_path.name}",
        "a whole number in summary.json",
        "the key in 00000-00000.journal",
        "the key in column message of a.parquet",
    }


@pytest.mark.parametrize(
    ("written", "has_asked", "expected"),
    [
        ([], False, "start-up"),
        ([".state/runs/r/plan.growing/a"], False, "planning"),
        ([".state/runs/r/journal/00000-00000.journal"], True, "asking"),
        ([".state/runs/r/journal/00000-00000.journal", ".state/runs/r/sealed/.t"], True, "sealing"),
        (["runs/r/.a-00000.parquet.1.tmp"], True, "enriching"),
        (["results/run_date=d/a.parquet", "runs/r/summary.json"], True, "finalising"),
        (["runs/r/summary.json", "runs/r/_SUCCESS"], True, "complete"),
    ],
)
def test_phases(tmp_path: Path, written: list[str], has_asked: bool, expected: str) -> None:
    for name in written:
        make_folder((tmp_path / name).parent)
        (tmp_path / name).touch()
    assert phase(tmp_path, time.time() - 60, has_asked=has_asked) == expected
    assert phase(tmp_path, time.time() + 60, has_asked=False) == "start-up"


def test_differences_are_named_but_for_counts_of_requests() -> None:
    one = {"lookups": [{"active": True, "attempts": 1}], "errors": ""}
    assert differences({**one, "lookups": [{"active": True, "attempts": 2}]}, one) == []
    differing = differences({**one, "lookups": [{"active": False, "attempts": 1}]}, one)
    assert differing == ["lookups differ from an undisturbed run's"]


def test_every_miss_counts() -> None:
    assert Figures("fine", (1,), per_kill=32, per_kill_most=32, age_ms=100).misses == []
    bad = Figures("bad", (1,), missing=1, leaks=2, per_kill=1, age_ms=101, dead_key=1)
    assert bad.misses == ["missing 1", "leaks 2", "per_kill 1", "age_ms 101", "dead_key 1"]
    assert Figures("bill", billed_shown=1, billed_true=2).misses == ["billed_shown 1 of 2"]
    assert Figures("bill", billed_shown=2, billed_true=1).misses == ["billed_shown 2 of 1"]
    noted = Figures("bill", faults=1, per_kill_most=32, billed_shown=2, billed_true=1)
    assert noted.misses == []
    assert Figures("cannot know", billed_shown=None, billed_true=2).misses == []
    assert Figures("slow", measures=(Measure("exit after", 11, 10, "s"),)).misses


def test_the_table_fits_and_tells_who_missed() -> None:
    fine = Figures("a scenario with a name", (1,), 103, 120, 22_000, per_kill=31, per_kill_most=32)
    bad = Figures("bad", (1, 2), torn=1, billed_shown=400, billed_true=512, dead_key_most=16)
    lines = table([bad, fine, combine("bad", [bad, fine])]).splitlines()
    assert all(len(line) <= 120 for line in lines)
    *_, first, second, both, targets = lines
    assert [line.rsplit(" ", 1)[-1] for line in (first, second, both)] == ["PASS", "MISS", "MISS"]
    assert targets.startswith("target ")
    assert {"seeds 1, 2", "bad: MISS: torn 2"} <= {*lines}


def test_scenarios_run_without_a_umask() -> None:
    before = os.umask(0)
    os.umask(before)
    assert before == 0
