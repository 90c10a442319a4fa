"""Guard chain: passes each attempt and its result to all guards, in order."""

from __future__ import annotations

from collections.abc import Callable

from batch_screen.config.settings import Settings
from batch_screen.engine.budget import SpendGuard
from batch_screen.engine.endpoints import Endpoints
from batch_screen.engine.guards import Guard, Outage, Reachability, Refusals
from batch_screen.engine.lookups import Lookups
from batch_screen.engine.pacer import Pacer
from batch_screen.engine.retry import account_error
from batch_screen.engine.tasks import Delay, Journal, Result, Sent, Task
from batch_screen.engine.verdicts import Verdicts
from batch_screen.engine.withheld import Withheld
from batch_screen.masking import masked_logger
from batch_screen.model import CANNOT_CONNECT, Endpoint

_RECONNECT_SECONDS = 0.2

_log = masked_logger(__name__)


class GuardChain:
    """Passes each attempt and its result to the guards, and applies the longest pause they ask for.

    ``put_later`` takes a task to ask again, the seconds to wait and the reason.
    """

    def __init__(  # noqa: PLR0913 (each is a seam of the dispatcher's)
        self,
        settings: Settings,
        *,
        pacer: Pacer,
        budget: SpendGuard,
        journal: Journal,
        put_later: Callable[[Task, float, Delay], None],
        clock: Callable[[], float],
    ) -> None:
        self._base_url, guards = settings.api.base_url, settings.guards
        self._pacer = pacer
        self._budget = budget
        self._put_later = put_later
        self._reachability = Reachability(self._base_url, guards, clock, on_return=pacer.ramp_up)
        self.endpoints = Endpoints(
            settings,
            clock,
            refuses_all=pacer.is_probing,
            on_given_up=lambda endpoint: self.withheld.leave(endpoint),  # noqa: PLW0108 (made below)
        )
        self.lookups = Lookups(
            settings, journal=journal, endpoints=self.endpoints, put_later=put_later
        )
        self.withheld = Withheld(
            settings, pacer=pacer, endpoints=self.endpoints, lookups=self.lookups
        )
        outage = Outage(self._base_url, guards, clock)
        verdicts = Verdicts(
            settings,
            pacer=pacer,
            outage=outage,
            endpoints=self.endpoints,
            lookups=self.lookups,
            withheld=self.withheld,
        )
        self._in_order: tuple[Guard, ...] = (
            self._reachability,  # any answer shows that the server is there, whatever it says
            pacer,  # with rate and concurrency; the verdict asks it whose a refusal was
            budget,  # a refusal costs nothing: counted before a verdict may end the run
            verdicts,  # saves what came back, so that those below lose nothing when they raise
            self.withheld,  # the answer may decide about earlier ones, which go first
            outage,  # failures of the whole server, and only then of one endpoint
            Refusals(guards, clock, lambda: pacer.refuses_all),  # likewise
            self.endpoints,  # gives up one of them: nothing that concerns all may come after it
        )
        # Asked thousands of times a second, so only those that have something to say.
        self._probing = self._overriding("is_open")
        self._counting = self._overriding("on_sent")

    def _overriding(self, name: str) -> list[Guard]:
        return [g for g in self._in_order if getattr(type(g), name) is not getattr(Guard, name)]

    @property
    def is_open(self) -> bool:
        """Whether to probe, one attempt at a time."""
        for guard in self._probing:  # noqa: SIM110 (asked for each attempt; a generator costs more)
            if guard.is_open:
                return True
        return False

    def known_good(self, endpoint: Endpoint) -> None:
        """An earlier session had answers from this endpoint: guards wait their full time."""
        for guard in self._in_order:
            guard.known_good()
        if (breaker := self.endpoints.breakers.get(endpoint)) is not None:
            breaker.known_good()

    def on_sent(self, endpoint: Endpoint, sent: Sent) -> None:
        """Records that an attempt goes out now."""
        for guard in self._counting:
            guard.on_sent(endpoint, sent)

    def on_result(self, result: Result) -> None:
        """Decides about the task and applies pauses. Raises what ends the run."""
        if result.answer.reason == CANNOT_CONNECT:  # nothing was sent, so nothing is counted
            self.call_off(result.task)
            self._put_later(result.task, _RECONNECT_SECONDS, Delay.NO_CONNECTION)
            if seconds := self._reachability.on_result(result):
                self._pause(seconds, "no connection")
            return
        # Until it is borne out, an accusation says nothing about the server or the endpoint.
        is_accusation = account_error(result.answer) is not None
        for guard in self._in_order:
            counts = not is_accusation or guard.counts_accusations
            if counts and (seconds := guard.on_result(result)):
                self._pause(seconds, "nothing but failures")

    def call_off(self, task: Task) -> None:
        """Takes back a noted request that was not sent."""
        self._budget.give_back(task.lookup.endpoint)
        self.lookups.call_off(task)

    def _pause(self, seconds: float, why: str) -> None:
        _log.warning("%s: %s; next try in %.1f s", self._base_url, why, seconds)
        self._pacer.pause(seconds)
