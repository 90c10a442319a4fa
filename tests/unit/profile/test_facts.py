from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batch_screen.profile.facts import share_of, tallied

COUNTS = st.dictionaries(st.text(max_size=3), st.integers(0, 1_000), max_size=8)


@given(COUNTS)
def test_shares_add_up_and_the_largest_comes_first(counts: dict[str, int]) -> None:
    total = sum(counts.values())
    found = tallied(counts, total)
    assert sum(each.count for each in found) == total
    assert abs(sum(each.share for each in found) - bool(total)) < 0.001 * (len(found) + 1)
    assert [each.count for each in found] == sorted((n for n in counts.values() if n), reverse=True)


def test_of_nothing_the_share_is_nothing() -> None:
    assert share_of(0, 0) == 0
