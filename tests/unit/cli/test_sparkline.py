from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batch_screen.cli.sparkline import sparkline
from batch_screen.model import Pace


def pace(attempts: list[int], **changes: object) -> Pace:
    count = len(attempts)
    lists = {"refused": [0] * count, "limit_per_second": [10.0] * count, **changes}
    return Pace(1.0, attempts, **lists)  # type: ignore[arg-type]


def test_a_steady_pace_needs_hardly_a_word() -> None:
    assert list(sparkline(pace([10] * 5))) == [
        ("pace", "█████"),
        ("", "a column is 1 s; full height is the limit, 10/s; highest"),
        ("", "10/s"),
    ]


def test_long_runs_are_merged_to_fit() -> None:
    lines = dict(sparkline(pace([10] * 600, refused=[0] * 594 + [1] * 6)))
    assert lines["pace"] == "█" * 60
    assert lines["refused"] == " " * 59 + "!"


def test_marks_stand_below_their_columns() -> None:
    lines = dict(sparkline(pace([10, 5, 0, 2], refused=[0, 1, 0, 3])))
    assert (lines["pace"], lines["refused"]) == ("█▄·▂", " ! !")


def test_a_limit_that_was_lower_at_times_is_told() -> None:
    (_, _), *lines = sparkline(pace([10, 5], limit_per_second=[10.0, 5.0]))
    assert "at times only 5/s were permitted" in " ".join(words for _, words in lines)


@given(
    attempts=st.lists(st.integers(0, 10**6), min_size=1, max_size=600),
    limit=st.floats(0, 1e6),
    lower=st.floats(0, 1),
    every=st.integers(1, 7),
)
def test_every_line_fits_into_eighty_columns(
    attempts: list[int], limit: float, lower: float, every: int
) -> None:
    count = len(attempts)
    limits = [limit * lower if i % every else limit for i in range(count)]
    refused = [i % every == 0 for i in range(count)]
    shown = list(sparkline(pace(attempts, limit_per_second=limits, refused=refused)))
    labels = [label for label, _ in shown]
    assert labels[0] == "pace"
    for label, text in shown:
        assert len(text) <= 60, (label, text)
