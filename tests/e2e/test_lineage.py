"""A run that is stopped, resumed and loaded, as a lineage server sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batch_screen.notify.lineage import run_uuid
from tests.lineage_events import checked
from tests.unit.notify.listener import Listener, listening

from .conftest import NUMBERS, Desk, run_command

KEY = "lin3age-s3cret"


@pytest.fixture
def server() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


@pytest.fixture
def desk(tmp_path: Path, server: Listener) -> Desk:
    environment = {
        "OPENLINEAGE_URL": server.url(""),
        "OPENLINEAGE_API_KEY": KEY,
        "OPENLINEAGE_NAMESPACE": "bank",
    }
    return Desk(tmp_path, "", NUMBERS[:12], options=("--sandbox",), environment=environment)


def arguments(desk: Desk, *more: object) -> list[object]:
    named = desk.arguments(*more)
    at = named.index("--base-url")
    return [*named[:at], *named[at + 2 :]]


def load(desk: Desk, to: str) -> Any:
    where = ["load", desk.out, "--to", to, "--sandbox"]
    return run_command(*where, environment=desk.environment)


def test_every_start_has_a_begin_and_one_end(desk: Desk, server: Listener) -> None:
    how = {"environment": desk.environment}
    assert run_command(*arguments(desk, "--max-requests", 3), **how).code == 4
    done = run_command(*arguments(desk), **how)
    assert done.code == 0, done.err
    warehouse = f"duckdb:{desk.folder}/warehouse.duckdb"
    assert load(desk, warehouse).code == 0
    assert load(desk, warehouse).code == 0  # nothing new: no load of a run, and no event
    assert load(desk, f"duckdb:{desk.folder}").code != 0

    run = desk.latest
    kept = [*map(json.loads, (run.reports / "openlineage.ndjson").read_text().splitlines())]
    sent = [json.loads(call.body) for call in server.calls]
    assert kept == sent
    assert [checked(event) for event in sent]
    told = [(e["job"]["name"].removeprefix("batch-screen."), e["eventType"]) for e in sent]
    assert told == [
        *[("run", "START"), ("run", "ABORT"), ("run", "START"), ("run", "COMPLETE")],
        *[("load", "START"), ("load", "COMPLETE")],
    ]
    assert {e["job"]["namespace"] for e in sent} == {"bank"}
    first, _, second, written, _, loaded = sent
    assert first["run"]["runId"] == run_uuid(run.run_id)
    assert second["run"]["facets"]["parent"]["run"]["runId"] == first["run"]["runId"]
    # What the run writes is what the load reads: the graph hangs together.
    outputs = {o["name"]: o["outputFacets"]["outputStatistics"] for o in written["outputs"]}
    assert outputs.keys() == {each["name"] for each in loaded["inputs"]}
    assert outputs[f"{desk.out}/lookups"]["rowCount"] == run.frame("lookups").height
    assert {o["name"].split(".")[-1] for o in loaded["outputs"]} == {
        *("results", "lookups", "errors", "changes", "runs")
    }
    flags = written["outputs"][0]["facets"]["dataQualityMetrics"]["columnMetrics"]
    nulls = run.frame("results")["risk_sim_recent"].null_count()
    assert flags["risk_sim_recent"]["nullCount"] == nulls
    text = json.dumps(sent)
    assert [n for n in NUMBERS[:12] if n in text or n[3:] in text] == []
    assert run_command("validate", desk.out).code == 0


def test_without_an_answer_all_goes_on(desk: Desk, server: Listener) -> None:
    server.status = 500
    done = run_command(*arguments(desk), environment=desk.environment)
    assert done.code == 0
    assert done.err.count("the OpenLineage call to 127.0.0.1 failed") == 2
    assert load(desk, f"duckdb:{desk.folder}/warehouse.duckdb").code == 0
    assert KEY not in done.err + done.out
    holders = [p for p in desk.folder.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]
    assert holders == []


def test_a_load_that_fails_says_so_without_a_value(desk: Desk, server: Listener) -> None:
    assert run_command(*arguments(desk), environment=desk.environment).code == 0
    [part] = desk.latest.parts("results")
    part.write_bytes(b"damaged")
    assert load(desk, f"duckdb:{desk.folder}/warehouse.duckdb").code == 65
    *_, begun, failed = [json.loads(call.body) for call in server.calls]
    assert (begun["eventType"], failed["eventType"]) == ("START", "FAIL")
    assert "openlineage" not in failed["run"]["facets"]["errorMessage"]["message"]
    assert failed["outputs"] == []


def test_purge_takes_the_events_too(desk: Desk) -> None:
    assert run_command(*arguments(desk), environment={}).code == 0
    assert (desk.latest.reports / "openlineage.ndjson").exists()
    done = run_command("purge", "--out", desk.out, "--older-than", "1d", "--yes")
    assert done.code == 0, done.err
    assert list((desk.out / "runs").glob("*")) == []
