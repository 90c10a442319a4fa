from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.errors import JournalError
from batch_screen.model import Endpoint, Lookup, Plan
from batch_screen.planning import shards as plan_module
from batch_screen.planning.shards import (
    lookups,
    make_plan,
    read_plan,
    rejects_path,
    shard_of,
    shard_rows_path,
)
from batch_screen.privacy.ids import NumberIds
from batch_screen.schema import IDENTITY, PHONE_COLUMN, REJECT, dtypes
from batch_screen.storage.partition import HELD_BYTES
from tests.making import batch, batches, number
from tests.thoroughness import examples

ACCEPTED_COLUMNS = [
    "in_id",
    *(c.name for c in (*IDENTITY, PHONE_COLUMN) if c.name != "run_id"),
]


def planned(
    folder: Path,
    cells: Sequence[int | None],
    *,
    shard_rows: int = 1000,
    rows: int = 1000,
    expected_rows: int = 0,
    held_bytes: int = HELD_BYTES,
) -> Plan:
    return make_plan(
        batches(cells, rows),
        folder,
        shard_rows=shard_rows,
        facts={},
        on_rows=lambda _: None,
        expected_rows=expected_rows,
        held_bytes=held_bytes,
    )


def shards(folder: Path, plan: Plan) -> list[pl.DataFrame]:
    return [pl.read_parquet(shard_rows_path(folder, i)) for i in range(len(plan.shards))]


def test_one_shard_keeps_the_inputs_order(tmp_path: Path) -> None:
    cells = [5, 3, None, 5, 1]
    plan = planned(tmp_path / "plan", cells, rows=2)
    [rows] = shards(tmp_path / "plan", plan)
    assert rows.columns == ACCEPTED_COLUMNS
    assert rows["row_index"].to_list() == [0, 1, 3, 4]
    assert rows["e164"].to_list() == [number(i) for i in (5, 3, 5, 1)]
    assert rows["in_id"].to_list() == ["c0", "c1", "c3", "c4"]
    assert (plan.rows, plan.accepted, plan.unique_numbers, plan.duplicates) == (5, 4, 3, 1)
    assert plan.kept == ["in_id"]


def test_a_kept_text_has_no_nul_and_its_cells_are_counted(tmp_path: Path) -> None:
    held = ["x\0y\0", "\0", None, "plain"]
    rows = batch([1, 2, 3, 4]).with_columns(
        in_id=pl.Series(held), in_count=pl.Series([1, 2, 3, 4]), in_none=pl.lit("")
    )
    plan = make_plan(
        [rows, rows], tmp_path / "plan", shard_rows=10, facts={}, on_rows=lambda _: None
    )
    [written] = shards(tmp_path / "plan", plan)
    assert written["in_id"].to_list() == ["xy", "", None, "plain"] * 2
    assert written["in_count"].to_list() == [1, 2, 3, 4] * 2
    assert plan.nul_cells == 4


def test_rejects_are_apart_and_masked(tmp_path: Path) -> None:
    plan = planned(tmp_path / "plan", [1, None, 2, None])
    rejects = pl.read_parquet(rejects_path(tmp_path / "plan"))
    assert rejects.schema == dtypes(REJECT)
    assert rejects["row_index"].to_list() == [1, 3]
    assert rejects["raw_masked"].to_list() == ["07••• ••••••"] * 2
    assert plan.rejected == {"not_a_number": 2}
    assert not any("900abc" in str(cell) for row in rejects.rows() for cell in row)


def test_reasons_are_counted_over_batches_the_commonest_first(tmp_path: Path) -> None:
    parts = [
        batch([None] * 3, 3 * i).with_columns(reject_reason=pl.Series(reasons))
        for i, reasons in enumerate([["too_short", "empty", "empty"], ["too_short", "b", "empty"]])
    ]
    plan = make_plan(parts, tmp_path / "plan", shard_rows=1000, facts={}, on_rows=lambda _: None)
    assert list(plan.rejected.items()) == [("empty", 3), ("too_short", 2), ("b", 1)]
    assert plan.shards == []


def test_many_shards_hold_the_input_once_each_number_in_one_of_them(tmp_path: Path) -> None:
    cells = [None if i % 17 == 0 else i * 7 % 1500 for i in range(4000)]
    plan = planned(tmp_path / "plan", cells, shard_rows=1000, rows=333)
    parts = shards(tmp_path / "plan", plan)
    assert len(parts) == 4
    everything = pl.concat(parts).sort("row_index")
    expected = pl.concat(list(batches(cells))).filter(pl.col("e164").is_not_null())
    assert everything.equals(expected.select(ACCEPTED_COLUMNS))
    assert all(part["row_index"].is_sorted() for part in parts)
    assert sum(part["e164"].n_unique() for part in parts) == everything["e164"].n_unique()
    assert [(s.rows, s.unique_numbers) for s in plan.shards] == [
        (part.height, part["e164"].n_unique()) for part in parts
    ]
    assert min(part.height for part in parts) > 500


def test_a_shard_without_rows_has_its_file(tmp_path: Path) -> None:
    plan = planned(tmp_path / "plan", [1] * 3500)
    assert sorted(s.rows for s in plan.shards) == [0, 0, 0, 3500]
    parts = shards(tmp_path / "plan", plan)
    assert all(part.schema == parts[0].schema for part in parts)


@pytest.mark.parametrize("expected_rows", [0, 499, 2_000])
def test_more_shards_than_files_may_be_open_take_two_passes(
    tmp_path: Path, expected_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "MOST_FILES", 8)
    plan = planned(tmp_path / "plan", [*range(500)] * 2, shard_rows=20, expected_rows=expected_rows)
    assert 32 <= len(plan.shards) <= 64
    for index, rows in enumerate(shards(tmp_path / "plan", plan)):
        placed = rows.select(shard_of(pl.col("e164"), len(plan.shards))).to_series()
        assert placed.unique().to_list() in ([index], [])
        assert rows["row_index"].is_sorted()
    assert (plan.accepted, plan.unique_numbers) == (1_000, 500)
    assert {path.suffix for path in (tmp_path / "plan").iterdir()} == {".parquet", ".json"}


def test_there_are_never_more_shards_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "MOST_FILES", 4)
    monkeypatch.setattr(plan_module, "MAX_SHARDS", 16)
    plan = planned(tmp_path / "plan", list(range(500)), shard_rows=1)
    assert len(plan.shards) == 16
    assert plan.unique_numbers == 500


def test_a_good_guess_spares_a_second_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(plan_module, "split_shard")
    plan = planned(tmp_path / "plan", list(range(1_150)), shard_rows=100, expected_rows=1_000)
    assert len(plan.shards) == 16


def test_handing_out_in_many_steps_changes_nothing(tmp_path: Path) -> None:
    cells = [i * 31 % 900 for i in range(3000)]
    at_once = planned(tmp_path / "a", cells, rows=100)
    in_steps = planned(tmp_path / "b", cells, rows=100, held_bytes=1)
    sizes = [(s.rows, s.unique_numbers) for s in at_once.shards]
    assert [(s.rows, s.unique_numbers) for s in in_steps.shards] == sizes
    for a, b in zip(shards(tmp_path / "a", at_once), shards(tmp_path / "b", in_steps), strict=True):
        assert a.equals(b)


def test_where_a_number_lies_is_pinned() -> None:
    # State of an earlier version would be read wrongly if this ever changed.
    numbers = pl.DataFrame({"n": ["+491713920012", "+447700900123", "+12025550123", "+1"]})
    found = {k: numbers.select(shard_of(pl.col("n"), k)).to_series().to_list() for k in (1, 7, 128)}
    assert found == {1: [0, 0, 0, 0], 7: [2, 4, 1, 6], 128: [116, 5, 93, 57]}


def reference_shard(number: str, shards: int) -> int:
    return (int(number[1:]) * 0x9E3779B97F4A7C15 % 2**64) // 2**32 % shards


@given(digits=st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True), shards=st.integers(1, 128))
def test_where_a_number_lies_is_a_plain_function_of_its_digits(digits: str, shards: int) -> None:
    frame = pl.DataFrame({"n": [f"+{digits}"]}).select(shard_of(pl.col("n"), shards))
    assert frame.item() == reference_shard(f"+{digits}", shards)


@given(number_id=st.from_regex(r"[0-9a-f]{32}", fullmatch=True), power=st.integers(0, 14))
def test_where_an_id_lies_nests_as_numbers_do(number_id: str, power: int) -> None:
    frame = pl.DataFrame({"number_id": [number_id]})
    found = [frame.select(shard_of(pl.col("number_id"), 2**n)).item() for n in (power, 14)]
    assert found == [int(number_id[:15], 16) % 2**n for n in (power, 14)]
    assert found[1] % 2**power == found[0]


def test_with_ids_each_row_lies_where_its_id_does(tmp_path: Path) -> None:
    ids = NumberIds(bytes(32))
    cells = [i % 60 for i in range(90)]
    plan = make_plan(
        batches(cells, 20),
        tmp_path / "plan",
        shard_rows=20,
        facts={},
        on_rows=lambda _: None,
        ids=ids,
    )
    assert len(plan.shards) > 2
    seen: list[str] = []
    for shard, rows in enumerate(shards(tmp_path / "plan", plan)):
        assert ids.of(rows["e164"]).equals(rows["number_id"])
        places = rows.select(shard_of(pl.col("number_id"), len(plan.shards))).to_series()
        assert set(places) <= {shard}
        seen += rows["e164"].to_list()
    assert sorted(seen) == sorted(map(number, cells))
    assert not [*(tmp_path / "plan").glob("*.spool")]


def test_consecutive_numbers_are_spread_evenly() -> None:
    numbers = pl.DataFrame({"n": [number(i) for i in range(10_000)]})
    counts = numbers.select(shard_of(pl.col("n"), 16)).to_series().value_counts()["count"]
    assert counts.min() > 0.9 * 625  # type: ignore[operator]
    assert counts.max() < 1.1 * 625  # type: ignore[operator]


@examples(40)
@given(
    cells=st.lists(st.one_of(st.none(), st.integers(0, 40)), min_size=1, max_size=120),
    shard_rows=st.integers(1, 50),
    rows=st.integers(1, 60),
)
def test_rows_are_accepted_or_rejected_and_planning_twice_is_equal(
    tmp_path_factory: pytest.TempPathFactory,
    cells: list[int | None],
    shard_rows: int,
    rows: int,
) -> None:
    folder = tmp_path_factory.mktemp("plans")
    heard: list[int] = []
    plan = make_plan(
        batches(cells, rows),
        folder / "a",
        shard_rows=shard_rows,
        facts={"a": "b"},
        on_rows=heard.append,
    )
    assert plan.rows == len(cells) == sum(heard)
    assert plan.rows == plan.accepted + sum(plan.rejected.values())
    assert plan.accepted == sum(s.rows for s in plan.shards)
    assert plan.unique_numbers == len({i for i in cells if i is not None})
    again = make_plan(
        batches(cells, rows),
        folder / "b",
        shard_rows=shard_rows,
        facts={"a": "b"},
        on_rows=heard.append,
    )
    assert plan == again == read_plan(folder / "a")
    for name in [p.name for p in (folder / "a").iterdir() if p.suffix == ".parquet"]:
        assert pl.read_parquet(folder / "a" / name).equals(pl.read_parquet(folder / "b" / name))


def test_an_error_in_the_middle_leaves_no_plan_and_a_later_attempt_succeeds(
    tmp_path: Path,
) -> None:
    def broken() -> Iterator[pl.DataFrame]:
        yield batch([1, 2, None])
        raise KeyboardInterrupt

    folder = tmp_path / "plan"
    with pytest.raises(KeyboardInterrupt):
        make_plan(broken(), folder, shard_rows=1, facts={}, on_rows=lambda _: None)
    assert not folder.exists()
    assert read_plan(folder) is None
    plan = planned(folder, [1, 2, 3])
    assert read_plan(folder) == plan
    assert [p.name for p in tmp_path.iterdir()] == ["plan"]


def test_an_error_at_the_very_end_leaves_no_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(plan_module, "_sync_all", crash)
    with pytest.raises(KeyboardInterrupt):
        planned(tmp_path / "plan", [1, 2])
    monkeypatch.undo()
    assert read_plan(tmp_path / "plan") is None
    assert planned(tmp_path / "plan", [1, 2]).rows == 2


def test_the_plans_files_are_private(tmp_path: Path) -> None:
    planned(tmp_path / "plan", list(range(2500)))
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "plan").iterdir()} == {0o600}
    assert (tmp_path / "plan").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\x00", b'{"rows":"\xff"}', b"[1]"])
def test_a_damaged_plan_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    planned(tmp_path / "plan", [1])
    (tmp_path / "plan" / "plan.json").write_bytes(content)
    with pytest.raises(JournalError, match=r"plan\.json"):
        read_plan(tmp_path / "plan")


# --- lookups ------------------------------------------------------------------------------

ENDPOINTS = [Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE, Endpoint.CALL_FORWARDING_CHECK]
WINDOWS = {e: 2400 if e.takes_max_age else None for e in ENDPOINTS}


def of(i: int) -> list[Lookup]:
    return [Lookup(number(i), e, 2400 if e.takes_max_age else None) for e in ENDPOINTS]


def test_each_number_once_in_order_of_first_appearance_with_its_endpoints(tmp_path: Path) -> None:
    plan = planned(tmp_path / "plan", [5, 3, 5, 1, 3])
    found = lookups(tmp_path / "plan", plan, 0, WINDOWS, frozenset())
    assert list(found) == of(5) + of(3) + of(1)


def test_the_first_numbers_come_from_all_over_the_shard(tmp_path: Path) -> None:
    """Or one operator's block at the head of a sorted list could stop a run for all others."""
    plan = planned(tmp_path / "plan", list(range(300)))
    found = [lookup.e164 for lookup in lookups(tmp_path / "plan", plan, 0, WINDOWS, frozenset())]
    asked = found[:: len(ENDPOINTS)]
    assert sorted(asked) == [number(i) for i in range(300)]
    assert [asked[0], asked[12], asked[23]] == [number(0), number(144), number(276)]
    assert asked[25:] == sorted(asked[25:])


def test_finished_lookups_are_left_out(tmp_path: Path) -> None:
    plan = planned(tmp_path / "plan", [5, 3])
    finished = {of(5)[0].key, of(3)[2].key}
    found = lookups(tmp_path / "plan", plan, 0, WINDOWS, finished)
    assert list(found) == of(5)[1:] + of(3)[:2]
    everything = {lookup.key for lookup in of(5) + of(3)}
    assert list(lookups(tmp_path / "plan", plan, 0, WINDOWS, everything)) == []


@pytest.mark.parametrize("content", [None, b"", b"PAR1 +447700900123 PAR1"])
def test_a_damaged_shard_is_refused_by_name_only(tmp_path: Path, content: bytes | None) -> None:
    plan = planned(tmp_path / "plan", [1])
    path = shard_rows_path(tmp_path / "plan", 0)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        JournalError, match=r"rows-00000\.parquet is missing or not as it was"
    ) as caught:
        list(lookups(tmp_path / "plan", plan, 0, WINDOWS, frozenset()))
    assert "900123" not in str(caught.value)
