"""Budget of a run over all its sessions: requests, and cost by the contract's prices.

Money is counted in whole units so small that every price and the bound are a number of them:
sums of binary fractions would let one request too many through, or one too few.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from math import inf, lcm

from batch_screen.config import settings as bounds
from batch_screen.engine.guards import Guard
from batch_screen.engine.tasks import Result
from batch_screen.errors import ConfigurationError, Stopped
from batch_screen.model import Endpoint, OutcomeKind, Spent


class SpendGuard(Guard, ABC):
    """What a dispatcher asks before it spends, and tells of what it has spent."""

    counts_accusations = True  # a quota that is used up is a refusal too

    @abstractmethod
    def permits(self, endpoint: Endpoint) -> bool:
        """Whether one more request to this endpoint stays within both bounds."""

    @abstractmethod
    def add(self, endpoint: Endpoint, requests: int, refusals: int) -> None:
        """Books requests, and refusals, which cost nothing; less than none are taken back."""

    def take(self, endpoint: Endpoint) -> None:
        """Books a request that is about to be sent."""
        self.add(endpoint, 1, 0)

    def on_result(self, result: Result) -> float:
        if result.answer.kind is OutcomeKind.RATE_LIMITED:  # it was a request, but costs nothing
            self.add(result.task.lookup.endpoint, 0, 1)
        return 0.0

    def give_back(self, endpoint: Endpoint) -> None:
        """Takes back a booked request for which no connection was made."""
        self.add(endpoint, -1, 0)

    @abstractmethod
    def stop(self) -> Stopped:
        """The exception to raise once a request is not permitted."""


class BudgetGuard(SpendGuard):
    """Counts what is spent; checked before each request, so that no bound is ever exceeded."""

    def __init__(
        self, budget: bounds.Budget, prices: bounds.Prices, earlier: Mapping[Endpoint, Spent]
    ) -> None:
        self._max_requests = budget.max_requests
        self._currency = prices.currency
        exact = {endpoint: _exact(price) for endpoint, price in prices.per_request.items()}
        most = _exact(budget.max_cost)
        self._units = lcm(*(price.denominator for price in (most, *exact.values())))
        self._max_cost = int(most * self._units)
        self._price = Counter({e: int(price * self._units) for e, price in exact.items()})
        self._requests = self._cost = 0
        for endpoint, spent in earlier.items():
            self.add(endpoint, spent.requests, spent.refusals)

    @property
    def requests(self) -> int:
        """Requests sent so far, over all sessions."""
        return self._requests

    @property
    def cost(self) -> Fraction:
        """The most they can cost, exactly: refused requests are not billed."""
        return Fraction(self._cost, self._units)

    @property
    def requests_left(self) -> int | None:
        """How many more may be sent; None: unlimited."""
        return max(0, self._max_requests - self._requests) if self._max_requests else None

    @property
    def cost_left(self) -> Fraction | None:
        """How much more they may cost, exactly; None: unlimited."""
        if not self._max_cost:
            return None
        return Fraction(max(0, self._max_cost - self._cost), self._units)

    def permits(self, endpoint: Endpoint) -> bool:
        can_pay = not self._max_cost or self._cost + self._price[endpoint] <= self._max_cost
        return self._has_requests() and can_pay

    def room(self, booked: int) -> float:
        """How many more requests both bounds permit beside so many, each at the highest price."""
        by_count = self._max_requests - self._requests if self._max_requests else inf
        worst = max(self._price.values(), default=0)
        by_cost = (self._max_cost - self._cost) // worst if self._max_cost and worst else inf
        return max(0, min(by_count, by_cost) - booked)

    def add(self, endpoint: Endpoint, requests: int, refusals: int) -> None:
        self._requests += requests
        self._cost += self._price[endpoint] * (requests - refusals)

    def stop(self) -> Stopped:
        if not self._has_requests():
            bound, option = f"budget.max_requests = {self._max_requests:,}", "--max-requests"
        else:
            most = Fraction(self._max_cost, self._units)
            bound, option = f"budget.max_cost = {self._money(most)}", "--max-cost"
        spent = f"{self._requests:,} requests were made over all starts"
        if self._price:
            spent += f", for at most {self._money(self.cost)}"
        return Stopped(
            f"the budget is used up: {bound}, and {spent}; what was answered is saved: to go on, "
            f"start the same command again with a higher {option}"
        )

    def _has_requests(self) -> bool:
        return self._max_requests == 0 or self._requests < self._max_requests

    def _money(self, amount: Fraction) -> str:
        # Two decimals: more digits would look like a phone number, and be masked.
        return f"{float(amount):,.2f} {self._currency}"


def refuse_unpriced(settings: bounds.Settings) -> None:
    """Raises ``ConfigurationError`` where cost is bounded and an endpoint has no price."""
    if settings.budget.max_cost == 0:
        return
    prices = settings.prices.per_request
    if unpriced := [e.value for e in settings.endpoints if not prices.get(e)]:
        raise ConfigurationError(
            f"budget.max_cost is set, but there is no price for {', '.join(unpriced)}: set it "
            "under [prices.per_request], or bound the run with --max-requests"
        )


def _exact(amount: float) -> Fraction:
    """The amount as it was written: 0.1 is a tenth, and not the float next to it."""
    return Fraction(repr(amount))
