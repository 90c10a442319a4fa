from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from batch_screen.config.sections import Metrics, Output, Pings
from batch_screen.config.settings import Settings
from batch_screen.errors import OutputError
from batch_screen.notify.announce import announce_begin, announce_end, check_destinations

from .ends import complete
from .listener import listening


def settings(folder: Path, **pings: str) -> Settings:
    return Settings(
        output=Output(summary_file=str(folder / "last.json")),
        metrics=Metrics(file=str(folder / "last.prom")),
        pings=Pings(**pings),  # type: ignore[arg-type]
    )


def test_files_are_written_and_calls_made(tmp_path: Path) -> None:
    with listening() as listener:
        chosen = settings(tmp_path, start_url=listener.url("/a"), finish_url=listener.url("/b"))
        check_destinations(chosen)
        assert announce_begin(chosen) == []
        assert announce_end(chosen, complete()) == ([], False)
    assert listener.paths == ["/a", "/b"]
    assert json.loads((tmp_path / "last.json").read_bytes())["status"] == "complete"
    assert "batch_screen_exit_code 0.0" in (tmp_path / "last.prom").read_text("utf-8")
    assert (tmp_path / "last.json").stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["last.json", "last.prom"]


def test_nothing_wanted_nothing_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_destinations(Settings())
    assert announce_begin(Settings()) == []
    assert announce_end(Settings(), complete()) == ([], False)
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_written_in_the_end_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        check_destinations(settings(tmp_path / "nowhere"))
    (tmp_path / "last.json").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        check_destinations(settings(tmp_path))
    (tmp_path / "last.json").rmdir()
    os.mkfifo(tmp_path / "last.json")
    with pytest.raises(OutputError, match="it is not a regular file"):
        check_destinations(settings(tmp_path))


def test_a_file_that_cannot_be_written_does_not_keep_the_other_and_the_calls(
    tmp_path: Path,
) -> None:
    (tmp_path / "last.json").mkdir()
    (tmp_path / "last.json" / "x").touch()
    with listening() as listener:
        urls = {"finish_url": listener.url("/b"), "failure_url": listener.url("/c")}
        [warning], lacks_file = announce_end(settings(tmp_path, **urls), complete())
    assert "last.json" in warning
    assert lacks_file
    # All are told what the command exits with.
    assert listener.paths == ["/c"]
    assert "exit_code 73.0" in (tmp_path / "last.prom").read_text("utf-8")


def test_where_no_thread_can_be_started_that_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    chosen = settings(tmp_path, start_url="http://127.0.0.1:9/a", finish_url="http://127.0.0.1:9/b")
    assert announce_begin(chosen) == ["the start call failed: RuntimeError; the run goes on"]
    warnings = ["the last calls failed: RuntimeError; the run goes on"]
    assert announce_end(chosen, complete()) == (warnings, False)
    assert (tmp_path / "last.json").exists()
