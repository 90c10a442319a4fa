from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import batch_screen
from batch_screen.commands.diff import diff
from batch_screen.config.screening import Cohorts
from batch_screen.errors import InputError, OutputError
from batch_screen.runs.layout import CHANGES, LOOKUPS, RESULTS
from batch_screen.schema import CHANGES as CHANGE_COLUMNS
from batch_screen.schema import dtypes
from tests.thoroughness import in_full
from tests.unit.comparison.two_nights import (
    CHECK,
    DATE,
    FIRST,
    FORWARDING,
    Night,
    negative,
    swapped,
)


def moving(i: int, endpoint: Any) -> dict[str, Any]:
    return swapped(i < 30) if endpoint is CHECK else negative(i, endpoint)


@pytest.fixture
def nights(tmp_path: Path) -> tuple[Night, Night]:
    """Two runs in folders of their own: neither knows of the other."""
    first = Night(tmp_path / "a", day=FIRST, numbers=range(150))
    second = Night(tmp_path / "b", moving, numbers=range(10, 160), endpoints=[CHECK, DATE])
    for night in (first, second):
        assert night.report().changes is None
    return first, second


def test_runs_are_named_by_folder_or_id(nights: tuple[Night, Night], tmp_path: Path) -> None:
    first, second = nights
    found = batch_screen.diff(tmp_path / "a", second.layout.run)
    assert isinstance(found, batch_screen.Diff)
    assert (found.run_id, found.changes.since_run) == (second.run.run_id, first.run.run_id)
    assert found.changes.endpoints[CHECK]["newly_positive"] == 20
    sums = found.changes.numbers_compared, found.changes.numbers_new, found.changes.numbers_gone
    assert sums == (140, 10, 10)
    assert found.not_compared == [DATE]
    assert diff(first.layout.run, second.run.run_id, out=tmp_path / "b") == found
    back = diff(second.layout.run, first.layout.run)
    assert back.changes.endpoints[CHECK]["newly_negative"] == 20


def test_examples_are_masked_and_few(nights: tuple[Night, Night]) -> None:
    found = diff(nights[0].layout.run, nights[1].layout.run)
    assert list(found.examples) == ["newly_positive"]
    assert len(found.examples["newly_positive"]) == 3
    assert all("•••" in each.e164_masked for each in found.examples["newly_positive"])


def test_the_feed_is_written_whole_and_private(nights: tuple[Night, Night], tmp_path: Path) -> None:
    path = tmp_path / "feed.parquet"
    before = sorted((tmp_path / "a").rglob("*"))
    diff(nights[0].layout.run, nights[1].layout.run, write=path)
    frame = pl.read_parquet(path)
    assert frame.schema == dtypes(CHANGE_COLUMNS)
    assert sorted(frame["e164"]) == [f"+4477009{i:05d}" for i in range(10, 30)]
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted((tmp_path / "a").rglob("*")) == before
    with pytest.raises(OutputError, match="there is no folder"):
        diff(nights[0].layout.run, nights[1].layout.run, write=tmp_path / "no" / "x.parquet")


def test_it_tells_what_the_later_run_wrote_itself(tmp_path: Path) -> None:
    first, second = Night(tmp_path, day=FIRST), Night(tmp_path, moving)
    first.report()
    summary = second.report()
    path = tmp_path / "feed.parquet"
    found = diff(first.run.run_id, second.run.run_id, out=tmp_path, write=path)
    assert found.changes == summary.changes
    assert pl.read_parquet(path).equals(second.frame(CHANGES))


def test_other_bounds_of_the_guard(nights: tuple[Night, Night]) -> None:
    first, second = (night.layout.run for night in nights)
    assert diff(first, second).changes.cohorts == []
    assert diff(first, second, cohorts=Cohorts(min_numbers=1)).changes.cohorts == []


@pytest.mark.parametrize(
    "harm",
    [
        "marker",
        "content",
        *(pytest.param(h, marks=in_full) for h in ("lookups", "results", "summary")),
    ],
)
def test_a_run_that_is_not_whole(nights: tuple[Night, Night], harm: str) -> None:
    first, second = (night.layout for night in nights)
    harmed = second if harm == "results" else first
    if harm == "marker":
        harmed.marker.unlink()
    elif harm == "summary":
        harmed.summary.write_bytes(b"{}")
    elif harm == "content":
        part = harmed.parts(LOOKUPS)[0]
        part.write_bytes(part.read_bytes()[:-1] + b"?")
    else:
        harmed.parts(LOOKUPS if harm == "lookups" else RESULTS)[0].unlink()
    with pytest.raises(InputError, match=f"run {harmed.run_id} in .* cannot be compared") as caught:
        diff(first.run, second.run)
    assert caught.value.exit_code == 66


def test_runs_that_are_not_there(nights: tuple[Night, Night], tmp_path: Path) -> None:
    run = nights[0].layout.run
    for since, out, words in [
        (tmp_path / "c", None, "there is no such folder"),
        (tmp_path, None, "no run was completed there"),
        ("20261122-0123456789", tmp_path / "a", "there is no run 20261122-0123456789"),
        ("20261122-0123456789", None, "name it with --out"),
    ]:
        with pytest.raises(InputError, match=words) as caught:
            diff(since, run, out=out)
        assert caught.value.exit_code == 66


def test_runs_without_an_endpoint_in_common(tmp_path: Path) -> None:
    first, second = Night(tmp_path, day=FIRST), Night(tmp_path, endpoints=[FORWARDING])
    for night in (first, second):
        night.report()
    with pytest.raises(InputError, match="asked no endpoint in common") as caught:
        diff(first.layout.run, second.layout.run)
    assert caught.value.exit_code == 65


def test_a_run_whose_folder_was_moved(nights: tuple[Night, Night], tmp_path: Path) -> None:
    shutil.move(tmp_path / "a", tmp_path / "moved")
    assert diff(tmp_path / "moved", tmp_path / "b").changes.numbers_compared == 140
