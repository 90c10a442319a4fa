from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config import settings as bounds
from batch_screen.config.screening import Screening
from batch_screen.config.settings import Prices, Settings
from batch_screen.engine.budget import BudgetGuard, refuse_unpriced
from batch_screen.engine.tasks import Result
from batch_screen.errors import ConfigurationError, Stopped
from batch_screen.model import Endpoint, Lookup, OutcomeKind, Spent
from tests.worlds import result

CHECK, DATE, CALLS = (
    Endpoint.SIM_SWAP_CHECK,
    Endpoint.SIM_SWAP_DATE,
    Endpoint.CALL_FORWARDING_CHECK,
)
PRICES = Prices(per_request={CHECK: 0.1, DATE: 0.2, CALLS: 0.007})


def budget(
    earlier: dict[Endpoint, Spent] | None = None, prices: Prices = PRICES, **most: float
) -> BudgetGuard:
    return BudgetGuard(bounds.Budget.model_validate(most), prices, earlier or {})


def refusal(endpoint: Endpoint) -> Result:
    return result(OutcomeKind.RATE_LIMITED, lookup=Lookup("+447700900001", endpoint))


def spend_all(found: BudgetGuard, endpoint: Endpoint, at_most: int = 10_000) -> int:
    """How many requests it permits one after the other."""
    for count in range(at_most):
        if not found.permits(endpoint):
            return count
        found.take(endpoint)
    return at_most


def test_without_bounds_everything_is_permitted() -> None:
    assert spend_all(budget(), CHECK) == 10_000
    assert spend_all(budget(prices=Prices()), CHECK) == 10_000


@pytest.mark.parametrize(
    ("max_cost", "endpoint", "requests"),
    [
        (0.3, CHECK, 3),  # 0.1 + 0.1 + 0.1 is more than 0.3 in floats
        (0.6, DATE, 3),
        (0.8, CHECK, 8),  # and 0.1 eight times less than 0.8
        (0.7, CHECK, 7),
        (0.29, CHECK, 2),
        (7.0, CALLS, 1000),
        (6.999, CALLS, 999),
        (0.05, CHECK, 0),
        (100.0, CHECK, 1000),
    ],
)
def test_money_is_counted_exactly(max_cost: float, endpoint: Endpoint, requests: int) -> None:
    assert spend_all(budget(max_cost=max_cost), endpoint) == requests


def test_earlier_starts_count() -> None:
    earlier = {CHECK: Spent(5, 2), DATE: Spent(1)}
    assert spend_all(budget(earlier, max_requests=10), CHECK) == 4
    assert spend_all(budget(earlier, max_cost=1), CHECK) == 5
    assert spend_all(budget(earlier, max_requests=3), CHECK) == 0, "a bound may be lowered"
    assert spend_all(budget(earlier, max_cost=0.2), CHECK) == 0


def test_what_was_refused_costs_nothing_but_was_a_request() -> None:
    found = budget(max_cost=0.2, max_requests=3)
    assert spend_all(found, CHECK) == 2
    found.on_result(refusal(CHECK))
    assert spend_all(found, CHECK) == 1
    found.on_result(refusal(CHECK))
    assert not found.permits(CHECK)
    assert "max_requests" in str(found.stop())


def test_what_was_not_sent_is_given_back() -> None:
    found = budget(max_cost=0.2, max_requests=2)
    assert spend_all(found, CHECK) == 2
    found.give_back(CHECK)
    assert (found.requests, found.cost) == (1, Fraction(1, 10))
    assert spend_all(found, CHECK) == 1


def test_a_cheaper_request_may_still_be_paid_for() -> None:
    found = budget(max_cost=0.25)
    assert spend_all(found, DATE) == 1
    assert not found.permits(CHECK)
    assert spend_all(found, CALLS) == 7


@pytest.mark.parametrize(
    ("most", "prices", "bound", "used"),
    [
        ({"max_requests": 3}, Prices(), "requests = 3", "3 requests"),
        ({"max_requests": 3, "max_cost": 9}, PRICES, "requests = 3", "3 requests"),
        ({"max_cost": 1234.5}, PRICES, "cost = 1,234.50 EUR", "12,345 requests"),
    ],
)
def test_messages_say_what_was_used_and_how_to_go_on(
    most: dict[str, float], prices: Prices, bound: str, used: str
) -> None:
    found = budget(prices=prices, **most)
    spend_all(found, CHECK, 20_000)
    error = found.stop()
    assert isinstance(error, Stopped)
    assert error.exit_code == 4
    money = f", for at most {float(found.cost):,.2f} EUR" if prices.per_request else ""
    assert str(error) == (
        f"the budget is used up: budget.max_{bound}, and {used} were made over all starts{money}; "
        "what was answered is saved: to go on, start the same command again with a higher "
        f"--max-{bound.split(maxsplit=1)[0]}"
    )


AMOUNTS = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.007, 1 / 3, 1e-9, 5.0]) | st.floats(0, 1)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from([CHECK, DATE, CALLS]), st.sampled_from(["send", "refused", "unsent"])
    ),
    max_size=80,
)


@given(
    max_requests=st.integers(0, 30),
    max_cost=AMOUNTS.map(lambda amount: 10 * amount),
    prices=st.fixed_dictionaries({}, optional=dict.fromkeys((CHECK, DATE, CALLS), AMOUNTS)),
    earlier=st.dictionaries(
        st.sampled_from([CHECK, DATE, CALLS]),
        st.integers(0, 9).flatmap(lambda n: st.builds(Spent, st.just(n), st.integers(0, n))),
    ),
    events=EVENTS,
)
def test_no_bound_is_ever_exceeded_and_nothing_within_is_refused(
    max_requests: int,
    max_cost: float,
    prices: dict[Endpoint, float],
    earlier: dict[Endpoint, Spent],
    events: list[tuple[Endpoint, str]],
) -> None:
    found = budget(
        earlier, Prices(per_request=prices), max_requests=max_requests, max_cost=max_cost
    )
    exact = {e: Fraction(repr(price)) for e, price in prices.items()}
    most = Fraction(repr(max_cost))
    requests = sum(spent.requests for spent in earlier.values())
    cost = sum(
        (exact.get(e, Fraction()) * (s.requests - s.refusals) for e, s in earlier.items()),
        Fraction(),
    )
    under_way: Counter[Endpoint] = Counter()
    for endpoint, event in events:
        price = exact.get(endpoint, Fraction())
        within = (not max_requests or requests + 1 <= max_requests) and (
            not most or cost + price <= most
        )
        assert found.permits(endpoint) == within
        if event == "send" and within:
            found.take(endpoint)
            under_way[endpoint] += 1
            requests, cost = requests + 1, cost + price
            assert not max_requests or requests <= max_requests
            assert not most or cost <= most
        elif event != "send" and under_way[endpoint]:
            under_way[endpoint] -= 1
            if event == "refused":
                found.on_result(refusal(endpoint))
            else:
                found.give_back(endpoint)
            requests, cost = requests - (event == "unsent"), cost - price
        assert (found.requests, found.cost) == (requests, cost)


@pytest.mark.parametrize(
    ("prices", "missing"),
    [({}, "sim-swap/check, sim-swap/retrieve-date"), ({CHECK: 0.1}, "sim-swap/retrieve-date")],
)
def test_a_bound_on_cost_needs_prices(prices: dict[Endpoint, float], missing: str) -> None:
    unpriced = Settings(
        screening=Screening(endpoints=(CHECK, DATE)),
        budget=bounds.Budget(max_cost=5),
        prices=Prices(per_request={**prices, CALLS: 1}),
    )
    with pytest.raises(ConfigurationError, match=rf"no price for {missing}: .*--max-requests"):
        refuse_unpriced(unpriced)
    with pytest.raises(ConfigurationError, match=f"no price for {missing}: "):
        refuse_unpriced(
            unpriced.model_copy(update={"prices": Prices(per_request={**prices, DATE: 0})})
        )
    priced = Prices(per_request={CHECK: 0.1, DATE: 0.2})
    refuse_unpriced(unpriced.model_copy(update={"prices": priced}))
    refuse_unpriced(unpriced.model_copy(update={"budget": bounds.Budget(max_requests=5)}))
