"""The order in which guards get a result, and what each of them makes of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from batch_screen.config.sections import Guards
from batch_screen.config.settings import Pacing, Settings
from batch_screen.engine.adaptive_rate import AdaptiveRate
from batch_screen.engine.budget import BudgetGuard
from batch_screen.engine.guard_chain import GuardChain
from batch_screen.engine.pacer import local_pacer
from batch_screen.engine.tasks import Delay, Result, Task
from batch_screen.errors import AuthenticationError
from batch_screen.model import CANNOT_CONNECT, Answer, Attempt, Endpoint, Outcome, OutcomeKind
from tests import virtual_time
from tests.scripted import DEAD_KEY, DOWN, ERROR_500, OK, Memory
from tests.worlds import refused, result

CHECK = Endpoint.SIM_SWAP_CHECK


class Chain:
    """A chain over which results are sent, with its journal and what is asked later."""

    def __init__(self, failures: int = 0) -> None:
        settings = Settings(
            screening={"endpoints": (CHECK,)},  # type: ignore[arg-type]
            pacing=Pacing(headroom=0),
            guards=Guards(canary_answers=0, max_consecutive_failures=failures),
        )
        adaptive = AdaptiveRate(lambda: 100.0, settings.pacing, clock=lambda: 0.0)
        self.pacer = local_pacer(settings.pacing, adaptive, clock=lambda: 0.0, endpoints=(CHECK,))
        self.budget = BudgetGuard(settings.budget, settings.prices, {})
        self.journal = Memory()
        self.later: list[tuple[Task, float, Delay]] = []
        self.guards = GuardChain(
            settings,
            pacer=self.pacer,
            budget=self.budget,
            journal=self.journal,
            put_later=lambda *later: self.later.append(later),
            clock=lambda: 0.0,
        )

    def ask(self, answer: Answer, place: int = 1) -> Result:
        found = result(answer, place)
        self.budget.take(CHECK)
        self.guards.on_sent(CHECK, found.sent)
        self.guards.on_result(found)
        return found

    @property
    def kept(self) -> list[object]:
        return [record for _, _, record in self.journal.records]


def in_loop(test: Callable[[], None]) -> None:
    async def main() -> None:
        test()

    virtual_time.run(main())


def test_without_a_connection_nothing_was_spent_and_it_is_asked_again() -> None:
    def test() -> None:
        chain = Chain()
        task = chain.ask(DOWN).task
        assert chain.budget.requests == 0
        assert [(each, why) for each, _, why in chain.later] == [(task, Delay.NO_CONNECTION)]
        assert [r.reason for r in chain.kept if isinstance(r, Attempt)] == [CANNOT_CONNECT]
        assert chain.guards.is_open, "a server that never answered may be a wrong address"

    in_loop(test)


def test_a_failure_counts_and_a_refusal_costs_nothing() -> None:
    def test() -> None:
        chain = Chain(failures=1)
        chain.ask(refused(1.0))
        assert not chain.guards.is_open
        chain.ask(ERROR_500, 2)
        assert chain.guards.is_open
        assert [why for _, _, why in chain.later] == [Delay.REFUSED, Delay.FAILED]
        chain.ask(OK, 3)
        assert not chain.guards.is_open
        assert [r.kind for r in chain.kept if isinstance(r, Outcome)] == [OutcomeKind.SUCCESS]

    in_loop(test)


def test_an_accusation_is_no_failure_of_the_endpoint_until_it_is_borne_out() -> None:
    def test() -> None:
        chain = Chain(failures=1)
        chain.ask(DEAD_KEY)
        assert chain.guards.is_open, "only witnesses are asked"
        assert not chain.guards.endpoints.breakers[CHECK].is_open
        assert not chain.kept
        with pytest.raises(AuthenticationError):
            chain.ask(DEAD_KEY, 2)

    in_loop(test)
