from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_screen.errors import JournalError, OutputError
from batch_screen.journal import seal as seal_module
from batch_screen.journal.records import Record, SpendCounter
from batch_screen.journal.seal import (
    drop_leftovers,
    is_sealed,
    read_outcomes,
    read_sealed,
    seal,
    seal_path,
    sealed_path,
    sealed_spent,
    write_sealed,
)
from batch_screen.journal.segments import SegmentWriter, segments
from batch_screen.model import Attempt, Endpoint, Intent, LatestChange, Outcome, OutcomeKind, Spent
from batch_screen.schema import INSTANT, LOOKUP, dtypes

RUN = "20261123-c0ffee0000"
CHECK, DATE = Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE


class Place:
    def __init__(self, folder: Path) -> None:
        self.journal, self.sealed = folder / "journal", folder / "sealed"
        for part in (self.journal, self.sealed):
            part.mkdir()

    def write(self, *records: Record, shard: int = 0) -> None:
        writer = SegmentWriter(self.journal, RUN)
        writer.write(shard, records)
        writer.close()

    def seal(self, expected: int, shard: int = 0) -> pl.DataFrame:
        seal(self.journal, self.sealed, RUN, shard, expected=expected)
        return pl.read_parquet(sealed_path(self.sealed, shard))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def number(i: int) -> str:
    return f"+4477009{i:05d}"


def checked(i: int, **values: object) -> Outcome:
    return Outcome(number(i), CHECK, 2400, **{"kind": OutcomeKind.SUCCESS, **values})  # type: ignore[arg-type]


def outcomes_of(*records: Outcome) -> pl.DataFrame:
    rows = [
        {c.name: getattr(r, "kind" if c.name == "outcome" else c.name) for c in LOOKUP}
        for r in records
    ]
    return pl.DataFrame(rows, schema=dtypes(LOOKUP))


def test_one_row_a_lookup_sorted_by_number_endpoint_and_window(place: Place) -> None:
    place.write(
        checked(2),
        Outcome(number(1), DATE, kind=OutcomeKind.NOT_FOUND),
        Intent(number(3), CHECK, 2400),
        Attempt(number(3), CHECK, 2400),
    )
    place.write(checked(1), checked(3))
    sealed = place.seal(4)
    assert sealed.select("e164", "endpoint", "outcome").rows() == [
        (number(1), CHECK.value, "success"),
        (number(1), DATE.value, "not_found"),
        (number(2), CHECK.value, "success"),
        (number(3), CHECK.value, "success"),
    ]


def test_the_columns_are_those_of_the_schema(place: Place) -> None:
    place.write(checked(1))
    assert place.seal(1).schema == dtypes(LOOKUP)


def test_a_shard_without_rows_is_sealed_with_the_same_columns(place: Place) -> None:
    sealed = place.seal(0, shard=5)
    assert sealed.schema == dtypes(LOOKUP)
    assert sealed.height == 0


@pytest.mark.parametrize(
    "instant",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1816, 3, 29, 5, 56, 8, 66277, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2024, 9, 18, 7, 37, 53, 471829, tzinfo=UTC),
        datetime(2262, 4, 11, 23, 47, 16, 854776, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
)
def test_instants_keep_their_microsecond_over_all_years(place: Place, instant: datetime) -> None:
    place.write(
        Outcome(
            number(1),
            DATE,
            kind=OutcomeKind.SUCCESS,
            latest_change=LatestChange.REPORTED,
            latest_change_at=instant,
            responded_at=instant,
        )
    )
    sealed = place.seal(1)
    assert sealed["latest_change_at"].to_list() == [instant]
    assert sealed["responded_at"].to_list() == [instant]
    assert sealed.schema["latest_change_at"] == INSTANT == pl.Datetime("us", "UTC")


def test_every_value_is_kept(place: Place) -> None:
    outcome = checked(
        1,
        reason="closer",
        swapped=False,
        http_status=200,
        code="CODE",
        message="text",
        attempts=3,
        refusals=1,
        latency_ms=12.5,
        correlator="c0ffee",
    )
    place.write(outcome)
    [row] = place.seal(1).rows(named=True)
    renamed = {"outcome": row.pop("outcome")}
    assert renamed == {"outcome": "success"}
    assert row == {name: getattr(outcome, name) for name in row}


def test_the_first_saved_outcome_of_a_lookup_wins(place: Place) -> None:
    place.write(checked(1, swapped=True), checked(2, swapped=False))
    place.write(checked(1, swapped=False), checked(2, swapped=True), checked(1, swapped=None))
    assert place.seal(2)["swapped"].to_list() == [True, False]


def test_other_endpoints_are_other_lookups_but_other_windows_are_not(place: Place) -> None:
    place.write(
        checked(1, swapped=True),
        Outcome(number(1), CHECK, 240, kind=OutcomeKind.SUCCESS, swapped=False),
        Outcome(number(1), DATE),
        Outcome(number(2), DATE),
    )
    sealed = place.seal(3)
    assert sealed["max_age_minutes"].to_list() == [2400, None, None]
    assert sealed["swapped"].to_list() == [True, None, None]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    keys=st.lists(
        st.tuples(
            st.integers(0, 6),
            st.sampled_from([CHECK, DATE, Endpoint.CALL_FORWARDING_CHECK]),
            st.sampled_from([None, 240, 2400]),
        ),
        max_size=40,
    )
)
def test_any_order_of_saving_gives_the_first_of_each_lookup_sorted(
    tmp_path_factory: pytest.TempPathFactory, keys: list[tuple[int, Endpoint, int | None]]
) -> None:
    place = Place(tmp_path_factory.mktemp("seal"))
    outcomes = [
        Outcome(number(i), endpoint, window, attempts=order)
        for order, (i, endpoint, window) in enumerate(keys)
    ]
    place.write(*outcomes)
    first: dict[tuple[str, str], int] = {}
    for o in outcomes:
        first.setdefault((o.e164, o.endpoint.value), o.attempts)
    found = read_outcomes(place.journal, RUN, 0, SpendCounter())
    assert found.select("e164", "endpoint", "attempts").rows() == [
        (*key, order) for key, order in sorted(first.items())
    ]


@pytest.mark.parametrize("expected", [0, 1, 3])
def test_a_wrong_count_refuses_and_changes_nothing(place: Place, expected: int) -> None:
    place.write(checked(1), checked(2))
    before = [path.read_bytes() for path in segments(place.journal, 0)]
    with pytest.raises(JournalError, match=f"2 outcomes where {expected} were expected"):
        place.seal(expected)
    assert [path.read_bytes() for path in segments(place.journal, 0)] == before
    assert list(place.sealed.iterdir()) == []


def test_sealing_drops_this_shards_segments_only(place: Place) -> None:
    place.write(checked(1), shard=0)
    place.write(checked(2), shard=0)
    place.write(checked(3), shard=1)
    place.seal(2)
    assert segments(place.journal, 0) == []
    assert len(segments(place.journal, 1)) == 1


def test_a_crash_before_the_rename_leaves_the_segments(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write(checked(1))

    def crash(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(OutputError):
        place.seal(1)
    monkeypatch.undo()
    assert list(place.sealed.iterdir()) == []
    assert place.seal(1).height == 1


def test_what_a_crash_has_left_behind_can_be_dropped(place: Place) -> None:
    place.write(checked(1))
    place.seal(1)
    place.write(checked(1))
    late = sealed_path(place.sealed, 0, 7)
    late.write_bytes(b"of an owner who came too late")
    for _ in range(2):
        drop_leftovers(place.journal, place.sealed, RUN, 0)
        assert list(place.journal.iterdir()) == []
        assert not late.exists()
    assert read_sealed(place.sealed, RUN, 0).height == 1


def test_of_two_owners_the_first_one_has_sealed(place: Place) -> None:
    first, second = outcomes_of(checked(1)), outcomes_of(checked(2))
    write_sealed(first, place.sealed, RUN, 0, {}, epoch=3)
    seal = seal_path(place.sealed, 0).read_bytes()
    write_sealed(second, place.sealed, RUN, 0, {}, epoch=5)
    assert seal_path(place.sealed, 0).read_bytes() == seal
    assert read_sealed(place.sealed, RUN, 0).equals(first)
    drop_leftovers(place.journal, place.sealed, RUN, 0)
    assert sorted(path.name for path in place.sealed.iterdir()) == [
        "00000-00003.parquet",
        "00000.seal",
    ]


def test_the_seal_keeps_what_was_spent(place: Place) -> None:
    refused = Attempt(number(1), CHECK, 2400, kind=OutcomeKind.RATE_LIMITED)
    place.write(Intent(number(1), CHECK, 2400), refused, Intent(number(1), CHECK, 2400, 2))
    place.write(checked(1), Intent(number(1), DATE), Outcome(number(1), DATE))
    place.seal(2)
    assert sealed_spent(place.sealed, RUN, 0) == {CHECK: Spent(2, 1), DATE: Spent(1)}


def test_a_damaged_seal_does_not_say_what_was_spent(place: Place) -> None:
    place.seal(0)
    path = seal_path(place.sealed, 0)
    path.write_bytes(path.read_bytes().replace(b'"spent":{}', b'"spent":{ '))
    with pytest.raises(JournalError, match=r"00000\.seal is missing or not as it was"):
        sealed_spent(place.sealed, RUN, 0)


def test_sealed_files_are_private(place: Place) -> None:
    place.seal(0)
    assert {path.stat().st_mode & 0o777 for path in place.sealed.iterdir()} == {0o600}


def test_a_crash_before_the_seal_leaves_the_segments(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write(checked(1))

    def crash(*_: object, **__: object) -> None:
        raise OutputError("full")

    with monkeypatch.context() as patch:
        patch.setattr(seal_module, "write_record", crash)
        with pytest.raises(OutputError):
            place.seal(1)
    assert not is_sealed(place.sealed, RUN, 0)
    assert place.seal(1).height == 1
    assert is_sealed(place.sealed, RUN, 0)


@pytest.mark.parametrize("at", [0, 200, -1])
def test_a_flipped_bit_is_refused_by_name(place: Place, at: int) -> None:
    place.write(checked(1))
    place.seal(1)
    path = sealed_path(place.sealed, 0)
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)
    for look in (is_sealed, read_sealed):
        with pytest.raises(JournalError, match=r"00000\.parquet is missing or not as it was"):
            look(place.sealed, RUN, 0)


def test_a_sealed_file_that_is_gone_is_refused_by_name(place: Place) -> None:
    place.seal(0)
    sealed_path(place.sealed, 0).unlink()
    with pytest.raises(JournalError, match=r"00000\.parquet is missing"):
        is_sealed(place.sealed, RUN, 0)


def test_another_shards_or_runs_sealed_files_are_refused(place: Place) -> None:
    place.write(checked(1), shard=1)
    place.seal(1, shard=1)
    for path in (sealed_path, seal_path):
        path(place.sealed, 1).rename(path(place.sealed, 0))
    with pytest.raises(JournalError, match=r"00000\.seal belongs to shard 1 of run"):
        read_sealed(place.sealed, RUN, 0)
    with pytest.raises(JournalError, match=r"00000\.seal belongs to"):
        is_sealed(place.sealed, "20261123-0000000000", 0)
