"""A table of changes that says something else than its run's lookups, summary or earlier run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from batch_screen.commands import parts
from batch_screen.config.screening import Cohorts
from batch_screen.config.settings import Settings
from batch_screen.runs.layout import CHANGES, LOOKUPS, RESULTS
from batch_screen.tables.integrity import VerifyCheck
from tests.thoroughness import in_full
from tests.unit.comparison.two_nights import (
    CHECK,
    FIRST,
    FORWARDING,
    UNKNOWN,
    Night,
    negative,
    swapped,
)
from tests.unit.tables.whole_run import WholeRun, differing


def moving(i: int, endpoint: Any) -> dict[str, Any]:
    """A block of new swaps; some numbers became unknown, some forward their calls."""
    if i % 11 == 5:
        return UNKNOWN
    if endpoint is FORWARDING:
        return {"active": i % 13 == 0}
    return swapped(i < 60)


def two_nights(folder: Path, shard_rows: int) -> tuple[Night, Night]:
    settings = Settings(cohorts=Cohorts(min_numbers=20))
    how = {"endpoints": (CHECK, FORWARDING), "settings": settings, "shard_rows": shard_rows}
    numbers = [*range(120), *range(60_000, 60_100)]
    first = Night(folder, negative, day=FIRST, numbers=numbers, **how)  # type: ignore[arg-type]
    first.report()
    second = Night(folder, moving, numbers=numbers, **how)  # type: ignore[arg-type]
    second.report()
    return first, second


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[WholeRun, Path]:
    """The later run, and where the earlier one lies in the same folder."""
    first, second = two_nights(tmp_path_factory.mktemp("nights"), 120)
    return WholeRun(second.layout), first.layout.run


@pytest.fixture
def run(original: tuple[WholeRun, Path], tmp_path: Path) -> WholeRun:
    return original[0].copy(tmp_path / "out")


def without_the_earlier_run(run: WholeRun) -> WholeRun:
    for path in (run.layout.folder / "runs").iterdir():
        if path != run.layout.run:
            shutil.rmtree(path)
    return run


def check_of(run: WholeRun) -> VerifyCheck:
    return next(check for check in run.validate().checks if check.name == "changes")


def test_the_changes_of_a_whole_run_are_recounted(run: WholeRun) -> None:
    assert run.validate().is_whole
    check = check_of(run)
    rows = sum(pl.read_parquet(p).height for p in run.layout.parts(CHANGES))
    assert check.examined == rows > 60
    assert "recounted from the lookups of run 20261122-" in check.claim
    changes = json.loads(run.layout.summary.read_bytes())["changes"]
    assert [(c["level"], c["name"]) for c in changes["cohorts"]] == [("block", "+447700…")]
    assert len(run.layout.parts(CHANGES)) > 1


def test_without_the_earlier_run_they_are_held_against_their_own(run: WholeRun) -> None:
    assert without_the_earlier_run(run).validate().is_whole
    assert "the earlier run: it no longer exists" in check_of(run).claim


def test_a_damaged_earlier_run_is_no_fault_of_the_later_one(run: WholeRun) -> None:
    [part, *_] = (run.layout.folder / LOOKUPS / f"run_date={FIRST}").iterdir()
    part.write_bytes(b"PAR1")
    assert run.validate().is_whole
    assert f"{part.name}: 4 bytes" in check_of(run).claim


def first_row(**values: Any) -> Callable[[pl.DataFrame], pl.DataFrame]:
    is_first = pl.int_range(pl.len()) == 0
    return lambda frame: frame.with_columns(
        pl.when(is_first).then(pl.lit(value)).otherwise(name).cast(frame.schema[name]).alias(name)
        for name, value in values.items()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (first_row(change=None), "1 rows lack a required value"),
        (first_row(run_id="20261123-0000000000"), "1 rows name another run"),
        (first_row(since_run_id="20261122-0000000000"), "1 rows name another earlier run"),
        (first_row(change="rich"), "1 rows have a change that their outcomes do not allow"),
        (first_row(cohort="+4930…"), "1 rows name a cohort that summary.json does not mark"),
        (
            first_row(cohort=None, likely_migration=True),
            "1 rows are a likely migration without a cohort",
        ),
        (first_row(after_outcome="server_error"), "1 rows differ from lookups"),
        (lambda f: pl.concat([f, f.head(1)]), "lookups are listed twice"),
        (lambda f: f.head(f.height - 1), "the rows do not add up to the counts of summary.json"),
    ],
)
def test_a_row_that_is_not_right(
    run: WholeRun, change: Callable[[pl.DataFrame], pl.DataFrame], message: str
) -> None:
    without_the_earlier_run(run).rewrite(CHANGES, change)
    found = differing(run.validate())
    assert set(found) == {"changes"}
    assert message in found["changes"]


def test_what_only_the_earlier_run_can_tell(run: WholeRun) -> None:
    run.rewrite(CHANGES, first_row(before_swapped=True))
    assert "the changes of shard 0 differ from the recount" in differing(run.validate())["changes"]
    assert without_the_earlier_run(run).validate().is_whole


def test_figures_of_the_summary_are_recounted(run: WholeRun) -> None:
    run.rewrite_json(run.layout.summary, lambda s: s["changes"].update(numbers_gone=7))
    assert "its changes differ from those of the lookups" in differing(run.validate())["changes"]


def test_a_table_that_the_summary_does_not_know(run: WholeRun) -> None:
    run.rewrite_json(run.layout.summary, lambda s: s.update(changes=None))
    assert "summary.json lists no changes" in differing(run.validate())["changes"]


def test_a_damaged_part_is_not_read(run: WholeRun) -> None:
    part = run.layout.part(CHANGES, 0)
    part.write_bytes(b"PAR1" + part.read_bytes()[4:])
    part.write_bytes(part.read_bytes()[:-9] + b"x" * 9)
    assert set(differing(run.validate())) == {"files"}
    assert "1 of the parts of changes differ" in check_of(run).unchecked


def test_the_risk_is_recomputed(run: WholeRun) -> None:
    run.rewrite(RESULTS, first_row(risk_forwarding_active=True))
    found = differing(run.validate())
    assert set(found) == {"risk", "summary"}
    assert "risk_forwarding_active does not follow from its columns in 1 rows" in found["risk"]
    assert "risk risk_forwarding_active: {" in found["summary"]


@in_full
def test_parts_of_several_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MANY_SHARDS", 4)
    monkeypatch.setattr(parts, "SHARDS_OF_A_PART", 4)
    first, second = two_nights(tmp_path, 40)
    shards = len(second.plan.shards)
    assert shards % 4 == 0
    whole = WholeRun(second.layout)
    assert [len(second.layout.parts(t)) for t in (CHANGES, LOOKUPS)] == [shards // 4] * 2
    assert whole.validate().is_whole
    assert "recounted" in check_of(whole).claim
    whole.rewrite(CHANGES, lambda f: f.head(f.height - 1))
    assert not whole.validate().is_whole
    assert WholeRun(first.layout).validate().is_whole
