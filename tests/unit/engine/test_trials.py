from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.engine.trials import Trial
from tests.thoroughness import IS_FULL, examples

SHARES = [i / 100 for i in range(1, 91)]


@pytest.mark.parametrize("cut", [0.5, 0.6, 0.8])
def test_a_cut_shows_a_server_with_a_limit(cut: float) -> None:
    """It delivers as much as before: of the cut rate it refuses less, spread evenly."""
    for share in SHARES:
        trial = Trial(share, cut)
        refused = max(0.0, 1 - (1 - share) / cut)
        for phase in (0.0, 0.3, 0.6, 0.999):
            count = math.floor(refused * trial.sends + phase)
            assert trial.has_helped(count / trial.sends), (share, phase)


def test_a_cut_shows_refusals_whatever_the_rate() -> None:
    """They come by chance, so it errs now and then: to hold back what need not be."""
    runs = 1000 if IS_FULL else 200
    chance = random.Random(5)
    for share in SHARES:
        trial = Trial(share, 0.6)
        wrong = 0
        for _ in range(runs):
            seen = sum(chance.random() < share for _ in range(trial.sends)) / trial.sends
            wrong += trial.has_helped(seen) or trial.has_another_cause(seen)
        assert wrong <= 0.2 * runs, share


@given(share=st.floats(0, 1), seen=st.floats(0, 1))
def test_a_share_that_rises_though_less_is_asked_has_another_cause(
    share: float, seen: float
) -> None:
    trial = Trial(share, 0.6)
    if trial.has_another_cause(seen):
        assert seen > 2 * share
        assert not trial.has_helped(seen)
        assert trial.has_another_cause(min(1.0, 1.1 * seen))
    assert not trial.has_another_cause(share)


@given(share=st.floats(0, 1), cut=st.floats(0.1, 0.9))
def test_a_trial_ends(share: float, cut: float) -> None:
    assert 16 <= Trial(share, cut).sends <= 600


@examples(300)
@given(share=st.floats(0.001, 1), cut=st.floats(0.1, 0.9), seen=st.floats(0, 1))
def test_the_fewer_are_refused_the_more_it_has_helped(
    share: float, cut: float, seen: float
) -> None:
    trial = Trial(share, cut)
    assert not trial.has_helped(share)
    if trial.has_helped(seen):
        assert trial.has_helped(seen / 2)
        assert seen < share
