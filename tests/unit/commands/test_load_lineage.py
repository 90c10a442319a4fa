"""Events of loads beside a run that is being removed."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batch_screen.commands.load_lineage import LoadLineage
from batch_screen.commands.purge import _remove_outputs
from batch_screen.notify.lineage import read_events
from batch_screen.runs.layout import layout_of_run
from batch_screen.storage.atomic import make_folder
from batch_screen.storage.lock import alone
from batch_screen.warehouse.runs import RunToLoad

RUN = "20250105-0123456789"


@pytest.fixture
def run(tmp_path: Path) -> RunToLoad:
    layout = layout_of_run(tmp_path, RUN)
    make_folder(layout.run)
    layout.manifest.write_text("{}")
    digest = hashlib.sha256(b"{}").hexdigest()
    return RunToLoad(layout, datetime.now(UTC), digest, sandbox=True)


def begin(run: RunToLoad) -> list[str]:
    return LoadLineage("duckdb:w.duckdb", "batch_screen", ["results"], {}).begin(run)


def test_events_are_kept_beside_the_run(run: RunToLoad) -> None:
    assert begin(run) == []
    assert [event["eventType"] for event in read_events(run.layout.lineage)] == ["START"]


def test_no_file_is_left_in_a_run_that_is_being_removed(run: RunToLoad) -> None:
    with alone(run.layout.manifest, f"run {RUN}"):
        [warning] = begin(run)
    assert "is being removed" in warning
    assert not run.layout.lineage.exists()


def test_no_file_is_made_where_the_run_has_gone(run: RunToLoad) -> None:
    run.layout.manifest.unlink()
    assert begin(run) == []
    assert [*run.layout.run.iterdir()] == []


def test_a_file_that_went_meanwhile_does_not_stop_its_removal(run: RunToLoad) -> None:
    begin(run)
    listed = [run.layout.lineage, run.layout.manifest]
    run.layout.lineage.unlink()
    _remove_outputs(run.layout, listed)
    assert not run.layout.run.exists()
