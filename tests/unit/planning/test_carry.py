"""A retry's plan: what failed in the chosen ways is open again, all else is carried over."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from batch_screen.commands import parts
from batch_screen.model import NOT_NEEDED, Endpoint, OutcomeKind, Plan
from batch_screen.planning.carry import OBJECTED_SINCE, CarriedRun, drop_objected
from batch_screen.planning.opt_outs import OptOuts, holds_opt_outs
from batch_screen.planning.shards import (
    check_plan,
    growing_plan,
    read_carried,
    read_plan,
    read_rows,
    rejects_path,
)
from batch_screen.runs.events import RunEvents
from batch_screen.schema import LOOKUP, REJECT, dtypes
from tests.thoroughness import examples
from tests.unit.tables.whole_run import ENDPOINTS, WholeRun, answer, new_whole_run

CHECK, DATE, _ = ENDPOINTS
KINDS = tuple(OutcomeKind)
KEY = ["e164", "endpoint"]
KEPT = [
    "outcome",
    "swapped",
    "latest_change",
    "latest_change_at",
    "responded_at",
    "last_observed_at",
]


def varied(i: int, endpoint: Endpoint) -> dict[str, Any]:
    """An outcome of every kind, and each kind at every endpoint."""
    kind = KINDS[(i + 4 * ENDPOINTS.index(endpoint)) % len(KINDS)]
    found = answer(1, endpoint) | answer(i, Endpoint.CALL_FORWARDING_CHECK)
    found |= {"endpoint": endpoint.value, "outcome": kind.value, "attempts": 2}
    if kind is OutcomeKind.SUCCESS:
        return answer(i * 3 + 1, endpoint) | {"e164": found["e164"]}
    if kind is OutcomeKind.SKIPPED:
        reason = NOT_NEEDED if endpoint is DATE else "not_implemented"
        found |= {"reason": reason, "source": None, "attempts": 0}
    empty = ("swapped", "active", "latest_change", "latest_change_at")
    return found | dict.fromkeys(empty)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    """Parts of two shards each, as a large run has them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "MANY_SHARDS", 4)
        patch.setattr(parts, "SHARDS_OF_A_PART", 2)
        return new_whole_run(tmp_path_factory.mktemp("run"), varied)


def carried_run(
    run: WholeRun, outcomes: Collection[OutcomeKind], opt_outs: OptOuts | None = None
) -> CarriedRun:
    return CarriedRun(run.layout, run.manifest()["shards"], outcomes, opt_outs)


def all_of(run: WholeRun, table: str) -> pl.DataFrame:
    return pl.concat(
        pl.read_parquet(path, hive_partitioning=False) for path in run.layout.parts(table)
    )


def planned(folder: Path, plan: Plan) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of a plan, and its carried outcomes."""
    shards = range(len(plan.shards))
    return (
        pl.concat(read_rows(folder, plan, shard) for shard in shards),
        pl.concat(read_carried(folder, plan, shard) for shard in shards),
    )


@examples(20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.sets(st.sampled_from([k for k in KINDS if k is not OutcomeKind.SUCCESS])))
def test_the_chosen_failures_are_asked_again_and_no_others(
    run: WholeRun, tmp_path: Path, chosen: set[OutcomeKind]
) -> None:
    source, folder = carried_run(run, chosen), tmp_path / "plan"
    plan = source.plan(folder, {"phone_column": "x"}, ["phone"], ["first"], 7, [], RunEvents())
    assert read_plan(folder) == plan
    check_plan(folder, plan)
    rows, carried = planned(folder, plan)
    lookups = all_of(run, "lookups")

    is_failure = pl.col("outcome").is_in([*chosen]) & (pl.col("reason") != NOT_NEEDED).fill_null(
        True
    )
    failures = lookups.filter(is_failure)
    assert source.failures().total() == failures.height
    again = lookups.join(carried, on=KEY, how="anti")
    # A date that its check made needless waits for it once more.
    waiting = again.join(failures, on=KEY, how="anti")
    assert set(waiting["reason"]) <= {NOT_NEEDED}
    checks = failures.filter(endpoint=CHECK.value)
    assert waiting["e164"].is_in(checks["e164"].implode()).all()
    assert failures.join(again, on=KEY, how="anti").is_empty()

    assert carried.schema == dtypes(LOOKUP)
    before = lookups.join(carried.select(KEY), on=KEY, how="semi").sort(KEY)
    assert carried.sort(KEY).select(KEPT).equals(before.select(KEPT))
    assert carried["attempts"].sum() == 0
    assert plan.carried == carried.height
    assert (plan.left_out, plan.supersedes) == (7, ["first"])

    one = all_of(run, "results").select(rows.columns).sort("row_index")
    assert rows.sort("row_index").equals(one)
    assert plan.accepted == rows.height
    rejects = pl.read_parquet(rejects_path(folder))
    assert rejects.schema == dtypes(REJECT)
    assert rejects["row_index"].to_list() == sorted(
        all_of(run, "errors").filter(kind="reject")["row_index"]
    )


def test_who_has_objected_is_dropped_wherever_the_plan_comes_from(
    run: WholeRun, tmp_path: Path
) -> None:
    first, both = tmp_path / "first", tmp_path / "both"
    every = carried_run(run, [OutcomeKind.TIMEOUT]).plan(
        first, {}, ["phone"], [], 0, [], RunEvents()
    )
    numbers = all_of(run, "results")["e164"].unique().sort()[::10]
    digits = numbers.str.strip_prefix("+").cast(pl.UInt64).alias("opted_out").sort()
    opt_outs = OptOuts("ab" * 32, digits)
    at_once = carried_run(run, [OutcomeKind.TIMEOUT], opt_outs).plan(
        both, {}, ["phone"], [], 0, [], RunEvents()
    )
    later = drop_objected(first, every, first, opt_outs, RunEvents())
    assert later.objected == numbers.len()
    for folder, plan in ((both, at_once), (first, later)):
        check_plan(folder, plan)
        assert read_plan(folder) == plan
        rows, carried = planned(folder, plan)
        assert not {*numbers} & {*rows["e164"], *carried["e164"]}
        rejects = pl.read_parquet(rejects_path(folder)).filter(detail=OBJECTED_SINCE)
        assert set(rejects["reason"]) == {"opted_out"}
        assert rejects.height == every.accepted - plan.accepted == plan.rejected["opted_out"]
        assert plan.rows == every.rows == plan.accepted + sum(plan.rejected.values())
        assert (plan.opt_out_list, plan.carried) == (opt_outs.sha256, carried.height)
        more, fewer = digits.append(pl.Series([1], dtype=pl.UInt64)).sort(), digits[1:]
        assert holds_opt_outs(folder, plan, more)
        assert not holds_opt_outs(folder, plan, fewer)
    assert later.carried == at_once.carried
    assert later.shards[0].unique_numbers == at_once.shards[0].unique_numbers


def test_the_plan_before_counts_until_another_has_taken_its_place(
    run: WholeRun, tmp_path: Path
) -> None:
    folder = tmp_path / "plan"
    with growing_plan(folder) as growing:
        (growing / "one").touch()

    def fail() -> None:
        with growing_plan(folder) as growing:
            (growing / "two").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [path.name for path in folder.iterdir()] == ["one"]
    # As a kill between the two renames leaves it.
    folder.rename(tmp_path / "plan.before")
    with growing_plan(folder) as growing:
        (growing / "two").touch()
    assert [path.name for path in folder.iterdir()] == ["two"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan"]
