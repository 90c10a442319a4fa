from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import batch_screen
from batch_screen.commands.check import check
from batch_screen.config.load import load_settings
from batch_screen.errors import ConfigurationError, InputError, OutputError, Stopped
from batch_screen.job import Job
from batch_screen.profile.facts import CheckReport
from batch_screen.runs.events import CancelToken, RunEvents, Silent

ROWS = ["030 23125001", "+49 30 23125001", "+493023125002", "n/a", ""]


def listed(path: Path, cells: list[str], header: str = "phone,country", more: str = ",DE") -> Path:
    path.write_text("".join(f"{line}\n" for line in (header, *(c + more for c in cells))), "utf-8")
    return path


def job(*paths: Path, **sections: Any) -> Job:
    return Job(inputs=tuple(map(str, paths)), settings=load_settings(sections))


def audited(*paths: Path, **sections: Any) -> CheckReport:
    return check(job(*paths, **sections))


def test_what_a_list_holds(tmp_path: Path) -> None:
    path = listed(tmp_path / "a.csv", ROWS)
    found = audited(path, input={"region_column": "country"})
    assert (found.rows, found.accepted, found.rejected) == (5, 3, 2)
    assert (found.phone_column, found.region_column) == ("phone", "country")
    assert (found.numbers.unique, found.numbers.duplicate_rows) == (2, 1)
    assert {r.reason: r.rows for r in found.rejects} == {"empty": 1, "not_a_number": 1}
    assert {r.name: r.count for r in found.rules} == {"international_plus": 2, "national": 1}
    assert (found.files[0].rows, found.files[0].accepted) == (5, 3)
    assert found.region_advice is None
    assert len(found.fixes) == 2


def test_files_add_up(tmp_path: Path) -> None:
    paths = [listed(tmp_path / f"{name}.csv", ROWS) for name in "ab"]
    found = audited(*paths, input={"default_region": "DE"})
    assert [(f.name, f.rows, f.rejected) for f in found.files] == [("a.csv", 5, 2), ("b.csv", 5, 2)]
    assert (found.numbers.unique, found.numbers.most_rows) == (2, 4)
    places = [(e.source_file, e.source_row) for e in found.rejects[0].examples]
    assert places == [("a.csv", 5), ("b.csv", 5)]


def test_shards_and_batches_do_not_change_what_is_found(tmp_path: Path) -> None:
    path = listed(tmp_path / "a.csv", [*(f"030 23125{i % 1000:03}" for i in range(2_500)), *ROWS])
    whole = audited(path, input={"default_region": "DE"})
    shards = audited(path, input={"default_region": "DE"}, output={"shard_lookups": 1_000})
    assert shards == whole
    assert whole.numbers.unique == 1_000
    assert whole.numbers.most_rows == 5


def test_a_list_without_a_usable_number_is_told_of_all_the_same(tmp_path: Path) -> None:
    found = audited(listed(tmp_path / "a.csv", ["030 23125001", "n/a"]))
    assert (found.rows, found.accepted, found.numbers.unique) == (2, 0, 0)
    assert [r.reason for r in found.rejects] == ["no_region", "not_a_number"]
    assert found.fixes[0].advice.startswith("Add --region-column country:")


def test_rows_that_may_be_shifted(tmp_path: Path) -> None:
    path = listed(tmp_path / "a.csv", ["+493023125001,x", *["+493023125002"] * 5])
    found = audited(path)
    assert [(r.reason, r.rows) for r in found.rejects] == [("ragged_row", 1)]
    assert [(k.name, k.count) for k in found.damage.kinds] == [("shifted_row", 1)]


def test_a_region_is_suggested_from_end_to_end(tmp_path: Path) -> None:
    cells = [*(f"030 23125{i:03}" for i in range(40)), *(f"+49 30 23125{i:03}" for i in range(60))]
    found = audited(listed(tmp_path / "a.csv", cells, "phone", ""))
    assert found.region_advice is not None
    assert found.region_advice.region == "DE"
    assert (found.fixes[0].rows, found.fixes[0].advice[:20]) == (40, "Use --default-region")
    again = audited(tmp_path / "a.csv", input={"default_region": "DE"})
    assert (again.rejected, again.region_advice, again.fixes) == (0, None, [])


def test_columns_that_a_run_would_keep_are_not_read_into_the_report(tmp_path: Path) -> None:
    path = listed(tmp_path / "a.csv", ["+493023125001"])
    assert audited(path, input={"keep_columns": ["country"]}) == audited(path)
    with pytest.raises(InputError, match="no kept column"):
        audited(path, input={"keep_columns": ["nothing"]})


def test_rejects_go_to_a_file(tmp_path: Path) -> None:
    path = listed(tmp_path / "a.csv", ROWS)
    target = tmp_path / "rejects.parquet"
    found = check(job(path, input={"default_region": "DE"}), rejects=target)
    frame = pl.read_parquet(target)
    assert frame.height == found.rejected
    assert frame.select("source_file", "source_row", "column", "reason").rows() == [
        ("a.csv", 4, "phone", "not_a_number"),
        ("a.csv", 5, "phone", "empty"),
    ]


def test_an_input_is_never_written_over(tmp_path: Path) -> None:
    path = listed(tmp_path / "a.csv", ROWS)
    before = path.read_bytes()
    link = tmp_path / "link.csv"
    link.symlink_to(path)
    for target in (path, link):
        with pytest.raises(ConfigurationError, match="would be lost"):
            check(job(path), rejects=target)
    assert path.read_bytes() == before


def test_rejects_do_not_lie_among_the_inputs(tmp_path: Path) -> None:
    listed(tmp_path / "a.csv", ROWS)
    with pytest.raises(ConfigurationError, match="among the inputs"):
        check(job(tmp_path), rejects=tmp_path / "rejects.csv")
    other = tmp_path.parent / "rejects.csv"
    assert check(job(tmp_path), rejects=other).rejected == len(other.read_text().splitlines()) - 1


def test_what_cannot_be_written_is_told_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError):
        check(job(tmp_path / "missing.csv"), rejects=tmp_path / "taken" / "rejects.csv")
    with pytest.raises(InputError, match="no such file"):
        check(job(tmp_path / "missing.csv"), rejects=tmp_path / "rejects.csv")


def test_a_stop_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    stop = CancelToken()
    stop.request(15)
    with pytest.raises(Stopped):
        check(job(listed(tmp_path / "a.csv", ROWS)), RunEvents(Silent(), stop))
    assert [*scratch.iterdir()] == []


def test_it_is_public() -> None:
    assert batch_screen.check is check
    assert batch_screen.CheckReport is CheckReport
