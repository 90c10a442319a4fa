from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.screening import Numbers, Strictness
from batch_screen.numbers.frame import ADDED_COLUMNS, normalise_frame
from batch_screen.numbers.normalise import Normaliser
from batch_screen.numbers.rules import Accepted
from tests.thoroughness import examples

SCHEMA = {"row": pl.Int64, "raw": pl.String, "raw_region": pl.String}


def frame_of(*pairs: tuple[str | None, str | None]) -> pl.DataFrame:
    rows = [(row, raw, region) for row, (raw, region) in enumerate(pairs)]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def test_judgements_stand_beside_their_rows() -> None:
    frame = frame_of(
        ("0171 3920012", None),
        (None, None),
        ("07400 123456", "GB"),
        ("0171 3920012", None),
        ("442079460000", None),
        (None, None),
    )
    judged = normalise_frame(frame, Normaliser(Numbers(), "DE"))
    assert judged.columns == [*SCHEMA, *ADDED_COLUMNS]
    assert set(judged.select(ADDED_COLUMNS).dtypes) == {pl.String}
    assert judged.select(frame.columns).equals(frame)
    mobile = ("+491713920012", "DE", "mobile", "national", None, None)
    empty = (None, None, None, None, "empty", None)
    assert judged.select(ADDED_COLUMNS).rows() == [
        mobile,
        empty,
        ("+447400123456", "GB", "mobile", "national", None, None),
        mobile,
        (*(None,) * 4, "ambiguous", "national +4944••••••••00, international +4420••••••00"),
        empty,
    ]


def test_an_empty_frame_gets_its_columns_too() -> None:
    judged = normalise_frame(frame_of(), Normaliser(Numbers()))
    assert judged.schema == {**SCHEMA, **dict.fromkeys(ADDED_COLUMNS, pl.String)}


def test_a_column_of_nulls_only_keeps_its_type() -> None:
    judged = normalise_frame(frame_of((None, None)), Normaliser(Numbers()))
    assert judged.schema["e164"] == pl.String


def test_columns_that_exist_already_are_not_overwritten() -> None:
    frame = frame_of(("+491713920012", None)).with_columns(e164=pl.lit("mine"))
    with pytest.raises(pl.exceptions.DuplicateError):
        normalise_frame(frame, Normaliser(Numbers()))


def test_repeats_in_later_frames_come_from_the_cache() -> None:
    normaliser = Normaliser(Numbers(), "DE")
    frame = frame_of(*[("0171 3920012", None)] * 3, ("0171 3920012", "DE"))
    for _ in range(2):
        normalise_frame(frame, normaliser)
    assert normaliser._cached.cache_info().misses == 2


cells = st.sampled_from([None, "", "0171 3920012", "+12125550123", "112", "07400123456", "a,b"])
regions = st.sampled_from([None, "", "DE", "GB", "?"])


@given(st.lists(st.tuples(cells, regions), max_size=30))
@examples(50)
def test_every_row_is_judged_as_if_it_were_alone(
    pairs: list[tuple[str | None, str | None]],
) -> None:
    normaliser = Normaliser(Numbers(), "DE")
    judged = normalise_frame(frame_of(*pairs), normaliser)
    assert judged["row"].to_list() == list(range(len(pairs)))
    for pair, row in zip(pairs, judged.iter_rows(named=True), strict=True):
        result = normaliser.normalise(*pair)
        if isinstance(result, Accepted):
            assert (row["e164"], row["rule"], row["reject_reason"]) == (
                result.e164,
                result.rule,
                None,
            )
        else:
            assert (row["e164"], row["reject_reason"]) == (None, result.reason)
            assert row["reject_detail"] == result.detail


def test_a_possible_number_that_is_another_when_read_again_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Read again its trunk zero goes, and then its country code may be written twice.
    frame = frame_of(("+630063559830059", "PH"))
    normaliser = Normaliser(Numbers(strictness=Strictness.POSSIBLE))
    alone = normalise_frame(frame, normaliser)
    monkeypatch.setattr("batch_screen.numbers.frame._FEW", 0)
    assert normalise_frame(frame, normaliser).equals(alone)
    assert alone["reject_reason"].to_list() == ["not_possible"]
