from __future__ import annotations

import json
from pathlib import Path

from batch_screen.notify.closing import StageTimes, document
from batch_screen.runs.events import Silent
from batch_screen.runs.layout import Layout

from .ends import NUMBER, RUN_ID, complete, failed


def test_a_complete_run_is_its_summary_and_its_files(tmp_path: Path) -> None:
    layout = Layout(tmp_path, RUN_ID, "2026-11-24")
    part = layout.part("results", 0)
    for path in (part, layout.summary, layout.marker):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    written = json.loads(document(complete(layout=layout)))
    assert (written["status"], written["exit_code"], written["run_id"]) == ("complete", 0, RUN_ID)
    assert written["rows"]["read"] == 1_500
    assert written["folder"] == str(tmp_path)
    assert [tmp_path / name for name in written["files"]] == [part, layout.summary, layout.marker]
    assert written["stage_seconds"]["asking"] == 80.0


def test_texts_are_masked_and_figures_are_not() -> None:
    text = document(complete(stage_seconds={"asking": 1234567.5})).decode()
    assert NUMBER[1:] not in text
    assert '"+4420••••••23"' in text
    assert "1234567.5" in text


def test_a_start_without_a_run_says_why() -> None:
    written = json.loads(document(failed()))
    assert written["status"] == "failed"
    assert written["stopped"] == {
        "cause": "no API key: name a file with --api-key-file",
        "exit_code": 77,
        "endpoints": [],
    }
    assert (written["exit_code"], written["run_id"], written["run_date"]) == (77, "", "2026-11-24")
    assert written["started_at"] < written["ended_at"]


class RecordedProgress(Silent):
    def __init__(self) -> None:
        self.all: list[object] = []

    def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
        self.all.append((name, total, done))

    def advance(self, count: int) -> None:
        self.all.append(count)

    def note(self, message: str) -> None:
        self.all.append(message)

    def close(self) -> None:
        self.all.append("closed")


def test_each_stage_has_its_time_and_all_is_passed_on() -> None:
    times = iter([0.0, 1.0, 4.0, 9.0, 10.0, 12.0])
    stages, recorded = StageTimes(lambda: next(times)), RecordedProgress()
    stages.stage("opting out")  # not passed on yet
    stages.pass_to(recorded)
    stages.stage("asking", total=5, done=2)
    stages.advance(3)
    stages.note("hello")
    stages.stage("opting out")
    assert stages.seconds == {"opting_out": 4.0, "asking": 5.0}
    assert stages.seconds == {"opting_out": 6.0, "asking": 5.0}
    stages.close()
    assert recorded.all == [("asking", 5, 2), 3, "hello", ("opting out", None, 0), "closed"]


def test_before_any_stage_there_is_no_time() -> None:
    assert StageTimes().seconds == {}
