"""Rate limits: which rates the server's refusals leave to the account and to single endpoints.

Decides whose a refusal is: the account's, unless one endpoint has nearly all of them. Makes nobody
wait, and knows attempts by their places in the order of sending, so it may serve several
dispatchers of one contract.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection

from batch_screen.config.settings import Pacing
from batch_screen.engine.adaptive_rate import AdaptiveRate
from batch_screen.engine.scope import SEVERAL, Blame, ShareTest, Streak
from batch_screen.engine.tasks import Places
from batch_screen.masking import masked_logger
from batch_screen.model import Allowance, Endpoint

_log = masked_logger(__name__)

OnOwnRate = Callable[[Endpoint, Callable[[], float]], None]


class RateLimits:
    """The account's adaptive rate, and those of endpoints that refuse alone."""

    def __init__(
        self,
        pacing: Pacing,
        account: AdaptiveRate,
        *,
        clock: Callable[[], float],
        endpoints: Collection[Endpoint] = tuple(Endpoint),
    ) -> None:
        """``endpoints``: those that are asked; a single one cannot be compared with others."""
        self._pacing = pacing
        self._clock = clock
        self.account = account
        self.own: dict[Endpoint, AdaptiveRate] = {}
        """The rates of endpoints that refuse alone."""
        self.on_own_rate: OnOwnRate = lambda _endpoint, _rate: None
        self._is_alone = len(endpoints) < 2
        self._blame = Blame()
        self._sent_at_endpoint: Counter[Endpoint] = Counter()
        self._streaks = {endpoint: Streak() for endpoint in Endpoint}
        self._tests = {endpoint: ShareTest() for endpoint in Endpoint}

    @property
    def refuses_all(self) -> bool:
        """Whether everything is refused just now, or was from the start."""
        return self.account.is_closed or not self.account.has_passed

    def is_probing(self, endpoint: Endpoint) -> bool:
        """Whether the whole endpoint is refused, so that attempts at it probe one at a time."""
        own = self.own.get(endpoint)
        return own is not None and own.is_closed

    def own_refusal(self, endpoint: Endpoint, places: Places) -> float:
        """How far a refusal counts against its own lookup; 0 while the account refuses all."""
        if self.refuses_all or self.is_probing(endpoint):
            return 0.0
        if (own := self.own.get(endpoint)) is not None:
            return own.weight(places.at_endpoint)
        return self.account.weight(places.of_all)

    def refuses(self, endpoint: Endpoint | None, numbers: int) -> bool:
        """Whether so many numbers in a row were refused, at an endpoint or overall."""
        if endpoint is None or self._is_alone:
            return self.account.refuses(numbers)
        return self._streaks[endpoint].holds(numbers)

    def sent(self, endpoint: Endpoint, places: Places) -> None:
        """Records that the attempt with these places goes out."""
        self.account.sent(places.of_all)
        if self._is_alone:
            return
        self._sent_at_endpoint[endpoint] = places.at_endpoint
        if (own := self.own.get(endpoint)) is not None:
            own.sent(places.at_endpoint)
        else:
            self._blame.sent(endpoint)

    def passed(
        self, endpoint: Endpoint, places: Places, sent_at: float, allowance: Allowance | None
    ) -> None:
        """Records an answer that is neither a refusal nor a failure, and its headers."""
        self.account.passed(places.of_all)
        if not self._is_alone:
            self._streaks[endpoint].passed(places.at_endpoint)
            if (own := self.own.get(endpoint)) is not None:
                own.passed(places.at_endpoint)
        self.account.answered(allowance, sent_at=sent_at)

    def refused(  # noqa: PLR0913 (the facts of a refusal)
        self,
        endpoint: Endpoint,
        places: Places,
        e164: str,
        sent_at: float,
        wait: float | None,
        *,
        is_first: bool,
    ) -> None:
        """Records a refusal, for the account's rate or the endpoint's.

        ``e164`` is any text that tells numbers apart, ``wait`` what the server asks for.
        """
        streak = self._streaks[endpoint]
        if is_first and not self._is_alone:
            streak.refused(places.at_endpoint, e164, sent_at)
        if (own := self.own.get(endpoint)) is not None:
            place = places.at_endpoint
            if own.refused(place, e164, sent_at, wait, is_first=is_first):
                own.slow_down(place, sent_at=sent_at)
            return
        place = places.of_all
        is_too_high = self.account.refused(place, e164, sent_at, wait, is_first=is_first)
        if not (self._is_alone or self.account.is_closed) and is_first:
            self._blame.refused(endpoint)
            is_much = self._tests[endpoint].refused(places.at_endpoint)
            is_closed = streak.holds(SEVERAL)
            if (is_too_high or is_much or is_closed) and self._blame.of_one() == endpoint:
                own = self._separate(endpoint)
                if is_closed:
                    own.close(wait)
                return
        # Neither one endpoint's for sure nor spread: the next refusals will show.
        if is_too_high and (self._is_alone or self._blame.is_spread()):
            self.account.slow_down(place, sent_at=sent_at)
            for each, test in self._tests.items():
                test.restart(self._sent_at_endpoint[each])

    def _separate(self, endpoint: Endpoint) -> AdaptiveRate:
        """Gives the endpoint a rate of its own, apart from the account's."""
        pacing, total = self._pacing, self.account
        most = pacing.rate_per_second_by_endpoint.get(endpoint, math.inf) * (1 - pacing.headroom)
        own = AdaptiveRate(
            lambda: min(most, total.ceiling()),
            pacing.model_copy(update={"ramp_up_seconds": 0.0}),
            clock=self._clock,
            whose=endpoint.value,
        )
        own.has_passed = True
        own.sent(self._sent_at_endpoint[endpoint])
        own.forget()
        if delivered := self._blame.delivered(endpoint):
            own.hold(delivered * total.rate())
        self.own[endpoint] = own
        self.on_own_rate(endpoint, own.rate)
        self._blame.clear()
        total.forget()
        _log.warning(
            "%s alone refuses requests: it gets a rate of its own, the others are asked as before",
            endpoint,
        )
        return own
