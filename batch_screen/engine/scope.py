"""Scope of refusals: do they concern one lookup, one endpoint, or the account?

Attempts are known by their number in the order of sending. What was sent after a refused attempt
shows most: where a window is full, much of that is refused too; where it passes, the refusal was
about something else.

There are two findings. A *closed* scope refuses everything, one number after the other. A rate
that is *too high* has part of it refused: a rise of that part is found by CUSUM, the sequential
test for a change (Page 1954), and a trial of ``trials`` is the proof.
"""

from __future__ import annotations

import math
from collections import deque

SEVERAL = 3
"""So many different numbers in a row with the same result concern more than themselves."""

HARMLESS_SHARE = 0.02
"""Refusals below this share cost nothing and are ignored."""

# Found soon is only what is unmistakable: at 3 % that are refused by chance, one refusal in 1,900
# raises an alarm; at 7 %, as of a rate a tenth too high, one in 64; at half, the fifth.
_USUAL_SHARE = 0.05
_TOO_HIGH_SHARE = 0.2
_MOST_SHARE = 0.95
_ALARM = 5.5
_LATER_ALARM = 8.0
_IN_A_ROW_SHARE = 0.9
_CHANCE = 0.003
_NEARLY_ALL = 0.9
_MOST_COUNTED = 200
_ONE_IN_A_MILLION = 1e-6
_MORE = 1.5
_REMEMBERED_NUMBERS = 512
_COUNTED_SENDS = 256


def enough_in_a_row(share: float) -> int:
    """How many refusals in a row are too many for chance where such a share is refused anyway.

    >>> [enough_in_a_row(share) for share in (0.0, 0.02, 0.1, 0.5)]
    [3, 4, 6, 20]
    """
    by_chance = math.log(min(max(share, 0.01), 0.75))
    return max(SEVERAL, math.ceil(math.log(_ONE_IN_A_MILLION) / by_chance))


class ShareTest:
    """CUSUM over attempts: has the refused share risen above the tolerated one?

    Goes by places in the order of sending, from the one it began at: what was sent up to a refused
    attempt and is not refused counts as let pass, for answers that pass often come later.
    """

    def __init__(self) -> None:
        self._score = 0.0
        self._first = self._last = 0
        self.refusals = 0
        self.tolerate(0.0)

    def share(self, place: int) -> float:
        """Refused share of the attempts since the restart, up to ``place``."""
        return self.refusals / max(1, place - self._first)

    def sends(self, place: int) -> int:
        """How many attempts were sent since the restart, up to ``place``."""
        return place - self._first

    def tolerate(self, share: float) -> None:
        """Sets the share that is refused whatever the rate; only more than that counts."""
        self.tolerated = share
        # Between one and a half and four times what is refused anyway lies what may be chance.
        usual = min(max(_USUAL_SHARE, 1.5 * share), _MOST_SHARE - 0.01)
        raised = min(_MOST_SHARE, max(_TOO_HIGH_SHARE, 4 * usual))
        self._up = math.log(raised / usual)
        self._down = math.log((1 - usual) / (1 - raised))

    def restart(self, place: int) -> None:
        """Starts over: attempts up to ``place`` no longer count."""
        self._score = 0.0
        self._first = self._last = place
        self.refusals = 0

    def refused(self, place: int) -> bool:
        """Records that attempt ``place`` was refused; returns whether refusals are now too many."""
        if place <= self._first:
            return False
        # Answers come in any order; places are those of sending, so a late one takes nothing back.
        passed = max(0, place - self._last - 1)
        self._last = max(self._last, place)
        self._score = max(0.0, self._score - passed * self._down) + self._up
        self.refusals += 1
        return self._score >= (_LATER_ALARM if self.tolerated else _ALARM)

    def recount(self, place: int) -> bool:
        """Lowers the tolerated share as refusals fall; returns whether they were too many for long.

        Of a share that CUSUM has never found, because it came little by little.
        """
        share = self.share(place)
        if share > max(HARMLESS_SHARE, _MORE * self.tolerated):
            return True
        if share < self.tolerated / _MORE:
            self.tolerate(share)
        self.restart(place)
        return False


class Lately:
    """Refusals among the last few hundred attempts."""

    def __init__(self) -> None:
        self._first = 0.0
        self.refusals = 0.0

    def sends(self, place: int) -> float:
        """How many attempts up to ``place`` are counted."""
        return max(1.0, place - self._first)

    def share(self, place: int) -> float:
        """Refused share of these."""
        return min(1.0, self.refusals / self.sends(place))

    def restart(self, place: int) -> None:
        """Starts over: attempts up to ``place`` no longer count."""
        self._first, self.refusals = float(place), 0.0

    def refused(self, place: int) -> None:
        """Records that attempt ``place`` was refused."""
        if self.sends(place) > 2 * _COUNTED_SENDS:  # what is older counts half
            self._first = place - self.sends(place) / 2
            self.refusals /= 2
        self.refusals += 1


class Streak:
    """Consecutive refusals in the order of sending."""

    def __init__(self) -> None:
        self._first = self._last = -1
        self._count = 0
        self._numbers: set[str] = set()
        self.since = 0.0
        """When its first attempt was sent."""

    @property
    def count(self) -> int:
        """How many attempts in a row were refused."""
        return self._count

    def holds(self, numbers: int) -> bool:
        """Whether at least so many different numbers in a row were refused."""
        if len(self._numbers) < numbers:
            return False
        # Not all: some of what was sent meanwhile has no answer yet.
        return self._count >= _IN_A_ROW_SHARE * (self._last - self._first + 1)

    def refused(self, place: int, e164: str, sent_at: float = 0.0) -> None:
        """Records that attempt ``place`` in the order of sending was refused."""
        if not self._count:
            self._first, self.since = place, sent_at
        self._first = min(self._first, place)
        self._last = max(self._last, place)
        self._count += 1
        if len(self._numbers) < _REMEMBERED_NUMBERS:
            self._numbers.add(e164)

    def passed(self, place: int) -> bool:
        """Records an attempt that passed; returns whether it ends the streak."""
        if not self._count or place <= self._first:
            return False
        self._count = 0
        self._numbers.clear()
        return True


class Recent:
    """Recently refused numbers: a repeated refusal says little about other numbers."""

    def __init__(self) -> None:
        self._order: deque[str] = deque()
        self._numbers: set[str] = set()

    def is_new(self, e164: str) -> bool:
        """Adds the number; returns whether it is new."""
        if e164 in self._numbers:
            return False
        self._numbers.add(e164)
        self._order.append(e164)
        if len(self._order) > _REMEMBERED_NUMBERS:
            self._numbers.discard(self._order.popleft())
        return True

    def clear(self) -> None:
        """Forgets them: the refusals concerned everybody."""
        self._order.clear()
        self._numbers.clear()


class Blame:
    """Recent attempts and refusals per part: an endpoint, say."""

    def __init__(self) -> None:
        self._sends: dict[str, float] = {}
        self._refusals: dict[str, float] = {}
        self._since = 0

    def sent(self, part: str) -> None:
        """Records an attempt of the part."""
        self._sends[part] = self._sends.get(part, 0.0) + 1.0
        self._since += 1
        if self._since >= _COUNTED_SENDS:
            self._since = 0
            for counts in (self._sends, self._refusals):  # what is older counts half
                for each in counts:
                    counts[each] /= 2

    def refused(self, part: str) -> None:
        """Records a refusal of the part."""
        self._refusals[part] = self._refusals.get(part, 0.0) + 1.0

    def of_one(self) -> str | None:
        """The part with nearly all refusals, more than chance explains.

        None: they are spread, or so few that chance would do it: if refusals fell on parts as
        attempts do, so many would fall on this one in more than one case of 300.
        """
        refused = sum(self._refusals.values())
        if not refused:
            return None
        worst = max(self._refusals, key=lambda part: self._refusals[part])
        of_worst = self._refusals[worst]
        share = self._sends.get(worst, 0.0) / max(1.0, sum(self._sends.values()))
        if of_worst < _NEARLY_ALL * refused or not 0 < share < 1:
            return None
        return worst if _at_least(round(of_worst), round(refused), share) <= _CHANCE else None

    def delivered(self, part: str) -> float:
        """The part's share of recent attempts, its refusals not counted."""
        passed = self._sends.get(part, 0.0) - self._refusals.get(part, 0.0)
        return max(0.0, passed) / max(1.0, sum(self._sends.values()))

    def is_spread(self) -> bool:
        """Whether the refusals clearly concern several parts, or all there is."""
        refused = sum(self._refusals.values())
        if not refused:
            return False
        worst = max(self._refusals, key=lambda part: self._refusals[part])
        if self._refusals[worst] < _NEARLY_ALL * refused:
            return True
        # A part that sends nearly everything is nearly all there is.
        return self._sends.get(worst, 0.0) >= _NEARLY_ALL * sum(self._sends.values())

    def clear(self) -> None:
        """Starts over."""
        self._sends.clear()
        self._refusals.clear()
        self._since = 0


def _at_least(some: int, of: int, share: float) -> float:
    """The probability that at least so many of all fall into a share.

    >>> round(_at_least(4, 5, 0.2), 5)
    0.00672
    """
    if of > _MOST_COUNTED:  # as a share, so many say as much
        some, of = round(some * _MOST_COUNTED / of), _MOST_COUNTED
    return math.fsum(
        math.comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(some, of + 1)
    )
