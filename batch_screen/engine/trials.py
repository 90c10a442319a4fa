"""Trial: cuts the rate for a moment to test whether refusals depend on it.

A server with a limit delivers as much at the lower rate as before and refuses less, as in BBR;
where numbers are refused by chance, the share refused stays. Loss-based control takes every
refusal for the limit: with 1 % of random ones it needed eleven times as long.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from batch_screen.engine.scope import ShareTest

TRIAL_SHARE = 0.6
"""Share of the rate during a trial, low enough for a limit to show."""

_FEWEST_SENDS = 16
_MOST_SENDS = 400
_TELLING_REFUSALS = 6.0
_CHANCE_SHARE = 0.05
_SHORTEST_SECONDS = 0.5
_SECOND_LOOK_SENDS = 200


class Trial(NamedTuple):
    """A cut of the rate, and the share that was refused before it.

    ``share`` of the attempts was refused at the rate before; ``cut`` is the new rate's share of
    it.
    """

    share: float
    cut: float

    @property
    def sends(self) -> int:
        """Attempts until the two explanations differ beyond chance.

        >>> Trial(0.03, 0.6).sends, Trial(0.6, 0.6).sends
        (200, 23)
        """
        apart = max(self.share - self._share_with_limit, 0.01)
        return min(max(_FEWEST_SENDS, math.ceil(_TELLING_REFUSALS / apart)), _MOST_SENDS)

    @property
    def _share_with_limit(self) -> float:
        """The share that a server with a limit would refuse at the cut rate."""
        return max(0.0, 1 - (1 - self.share) / self.cut)

    def has_helped(self, share: float) -> bool:
        """Whether the share refused at the cut rate is that of a server with a limit.

        >>> Trial(0.03, 0.6).has_helped(0.0), Trial(0.03, 0.6).has_helped(0.03)
        (True, False)
        """
        return share < (self.share + self._share_with_limit) / 2

    def is_more(self, share: float) -> bool:
        """Whether a smaller share passes at the full rate again than at the cut one.

        >>> Trial(0.3, 0.6).is_more(0.35), Trial(0.3, 0.6).is_more(0.5)
        (False, True)
        """
        return 1 - share < (1 + self.cut) / 2 * (1 - self.share)

    def has_another_cause(self, share: float) -> bool:
        """Whether far more is refused at the lower rate: something else has changed meanwhile.

        >>> Trial(0.02, 0.6).has_another_cause(0.6), Trial(0.03, 0.6).has_another_cause(0.05)
        (True, False)
        """
        return share > 2 * self.share + _CHANCE_SHARE


class TrialResult(NamedTuple):
    """The result of a trial: a limit, or a share refused whatever the rate."""

    limit_per_second: float | None
    share: float


class Trials:
    """One trial at a time, and a second look at the full rate after one that found no limit.

    ``test`` counts what is refused, ``rate`` is what may be asked now.
    """

    def __init__(
        self, test: ShareTest, rate: Callable[[], float], *, clock: Callable[[], float]
    ) -> None:
        self._test = test
        self._rate = rate
        self._clock = clock
        self._trial: Trial | None = None
        self._no_limit: Trial | None = None
        self._delivered = math.inf
        self._began = -math.inf
        self.most_per_second = math.inf
        """The most attempts per second while a trial runs; infinite otherwise."""

    @property
    def is_open(self) -> bool:
        """Whether a trial is running; refusals count for it and raise no alarm."""
        return self._trial is not None or self._no_limit is not None

    def begin(self, share: float, delivered: float) -> None:
        """Starts a trial: cuts the rate so far that a limit would show.

        ``share`` of the attempts is refused at the full rate, at which the server has
        ``delivered`` so many a second.
        """
        self._trial = Trial(share, TRIAL_SHARE)
        self._delivered, self._began = delivered, self._clock()
        self.most_per_second = TRIAL_SHARE * self._rate()

    def cancel(self) -> None:
        """Ends the trial without a result."""
        self._trial, self.most_per_second = None, math.inf

    def forget(self) -> None:
        """Drops the last trial's result: another level is held now."""
        self._no_limit = None

    def result(self, place: int) -> TrialResult | None:
        """The result, once enough attempts at the cut rate are answered."""
        trial, now = self._trial, self._clock()
        if trial is None or self._test.sends(place) < trial.sends:
            return None
        if now - self._began < _SHORTEST_SECONDS:
            return None  # too early: a bucket's leftover credit would pass for the limit
        share, rate = self._test.share(place), self.most_per_second
        self.cancel()
        delivered = rate * (1 - share)
        # Far more refused at a lower rate is another event: a limit is taken for granted then.
        if trial.has_another_cause(share):
            return TrialResult(delivered, share)
        if not trial.has_helped(share):
            self._no_limit = Trial(share, TRIAL_SHARE)
            return TrialResult(None, max(share, trial.share))
        # What the full rate has delivered, no limit forbids: it may have helped by chance only.
        before = min(self._delivered, rate / trial.cut * (1 - trial.share))
        return TrialResult(max(delivered, before), share)

    def second_look(self, place: int) -> float | None:
        """The limit, if more is refused at the full rate than was at the cut one."""
        no_limit = self._no_limit
        if no_limit is None or self._trial is not None:
            return None
        if self._test.sends(place) < _SECOND_LOOK_SENDS:
            return None
        share, rate = self._test.share(place), self._rate()
        if rate <= 0:  # nothing is asked at this hour
            return None
        self._no_limit = None
        return rate * (1 - share) if no_limit.is_more(share) else None
