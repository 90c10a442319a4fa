from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from batch_screen.config.lineage import LineageServer, lineage_server
from batch_screen.config.sections import Pings
from batch_screen.masking import mask_text
from batch_screen.notify.lineage import (
    RunLineage,
    StartLineage,
    append_events,
    file_dataset,
    kind_of,
    read_events,
    run_uuid,
)
from batch_screen.notify.pings import Caller
from batch_screen.runs.layout import Layout
from tests.lineage_events import checked

from .ends import NUMBER, RUN_ID, complete, failed
from .listener import listening

KEY = "k3y-of-lineage"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "out", RUN_ID, "2026-11-24")


def lineage(server: LineageServer | None = None) -> RunLineage:
    return RunLineage("run", server or LineageServer(), Caller(Pings(timeout_seconds=2)))


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["eventType"] for event in events]


def test_until_a_run_has_a_folder_its_events_are_in_its_state(layout: Layout, state: Path) -> None:
    start = lineage()
    assert start.begin(layout, state, ["list.csv"]) == []
    waiting = state / "openlineage.ndjson"
    assert kinds(read_events(waiting)) == ["START"]
    assert not layout.folder.exists()
    stopped = failed(exit_code=69, run_id=RUN_ID)
    assert start.end(stopped, was_complete=False) == []
    assert kinds(read_events(waiting)) == ["START", "FAIL"]

    layout.run.mkdir(parents=True)
    again = lineage()
    again.begin(layout, state, ["list.csv"])
    again.end(complete(layout=layout), was_complete=False)
    assert not waiting.exists()
    events = read_events(layout.lineage)
    assert kinds(events) == ["START", "FAIL", "START", "COMPLETE"]
    assert [checked(event).eventType.value for event in events] == kinds(events)
    first, _, second, _ = (event["run"] for event in events)
    assert first["runId"] == run_uuid(RUN_ID) != second["runId"]
    assert second["facets"]["parent"]["run"]["runId"] == first["runId"]
    assert "parent" not in first["facets"]


def test_a_start_that_was_killed_is_ended_by_the_next_one(layout: Layout, state: Path) -> None:
    lineage().begin(layout, state, [])
    lineage().begin(layout, state, [])
    events = read_events(state / "openlineage.ndjson")
    assert kinds(events) == ["START", "ABORT", "START"]
    assert events[1]["run"]["runId"] == events[0]["run"]["runId"]
    assert "killed" in events[1]["run"]["facets"]["errorMessage"]["message"]
    assert [checked(event) for event in events]


def test_a_start_that_finds_the_run_complete_changes_nothing(layout: Layout, state: Path) -> None:
    layout.run.mkdir(parents=True)
    for was_complete in (False, True):
        start = lineage()
        start.begin(layout, state, [])
        start.end(complete(layout=layout), was_complete=was_complete)
    assert kinds(read_events(layout.lineage)) == ["START", "COMPLETE"]
    layout.lineage.unlink()  # as where it was written anew
    start = lineage()
    start.begin(layout, state, [])
    start.end(complete(layout=layout), was_complete=True)
    assert kinds(read_events(layout.lineage)) == ["START", "COMPLETE"]


def test_a_start_without_a_run_is_told_of_all_the_same(tmp_path: Path) -> None:
    with listening() as listener:
        server = lineage_server({"OPENLINEAGE_URL": listener.url("")})
        assert lineage(server).end(failed(), was_complete=False) == []
    events = [json.loads(call.body) for call in listener.calls]
    assert kinds(events) == ["START", "FAIL"]
    assert [checked(event) for event in events]
    assert listener.paths == ["/api/v1/lineage"] * 2
    assert {call.kind for call in listener.calls} == {"application/json"}


def test_complete_says_columns_and_counts_and_no_number(layout: Layout, state: Path) -> None:
    layout.run.mkdir(parents=True)
    start = lineage()
    start.begin(layout, state, [f"/lists/{NUMBER}.csv"])
    start.end(complete(layout=layout), was_complete=False)
    text = layout.lineage.read_text()
    assert NUMBER not in text
    [event] = [e for e in read_events(layout.lineage) if e["eventType"] == "COMPLETE"]
    [read] = event["inputs"]
    assert read["inputFacets"]["dataQualityMetrics"]["rowCount"] == 1_500
    assert read["name"].startswith("/lists/+4420")
    names = [output["name"] for output in event["outputs"]]
    assert names == [f"{layout.folder}/{t}" for t in ("results", "lookups", "errors", "changes")]


def test_a_server_that_fails_is_a_warning_without_its_key(layout: Layout, state: Path) -> None:
    with listening(status=401) as listener:
        where = {"OPENLINEAGE_URL": listener.url("/base/"), "OPENLINEAGE_API_KEY": KEY}
        start = lineage(lineage_server(where))
        [warning] = start.begin(layout, state, [])
    assert warning.startswith("the OpenLineage call to 127.0.0.1 failed: it answered with status 4")
    assert listener.paths == ["/base/api/v1/lineage"]
    assert KEY not in mask_text(f"the key is {KEY}")
    assert KEY not in (state / "openlineage.ndjson").read_text()


def test_no_key_travels_unencrypted(layout: Layout, state: Path) -> None:
    server = LineageServer("http://lineage.example/api", SecretStr(KEY))
    [warning] = lineage(server).begin(layout, state, [])
    assert "https://" in warning
    assert KEY not in warning


def test_variables_of_the_clients() -> None:
    assert not lineage_server({}).url
    url = {"OPENLINEAGE_URL": "https://lineage.example"}
    assert not lineage_server({**url, "OPENLINEAGE_DISABLED": "true"}).url
    more = {"OPENLINEAGE_ENDPOINT": "/v2", "OPENLINEAGE_NAMESPACE": "bank"}
    found = lineage_server({**url, **more})
    assert (found.url, found.namespace) == ("https://lineage.example/v2", "bank")
    assert lineage_server({"OPENLINEAGE_API_KEY": KEY}).headers == {
        "Authorization": f"Bearer {KEY}"
    }


@pytest.mark.parametrize(
    ("exit_code", "kind"), [(4, "ABORT"), (130, "ABORT"), (143, "ABORT"), (69, "FAIL"), (1, "FAIL")]
)
def test_what_is_meant_to_be_resumed_is_no_failure(exit_code: int, kind: str) -> None:
    assert kind_of(exit_code, is_complete=False) == kind


def test_datasets_have_the_names_that_others_use() -> None:
    assert file_dataset("s3://lists/a/b.csv") == {"namespace": "s3://lists", "name": "a/b.csv"}
    assert file_dataset("-") == {"namespace": "file", "name": "stdin"}
    assert file_dataset("/srv/list.csv")["namespace"] == "file"


def test_a_file_of_others_is_read_as_none(tmp_path: Path) -> None:
    path = tmp_path / "openlineage.ndjson"
    assert read_events(path) == []
    path.write_text("not ours\n")
    assert read_events(path) == []
    events, _ = StartLineage("load", LineageServer(), Caller(Pings())).begin("x", None, [])
    append_events(path, events, 0o600)
    append_events(path, [], 0o600)
    assert kinds(read_events(path)) == ["START"]
