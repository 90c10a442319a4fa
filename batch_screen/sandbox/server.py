"""The sandbox's HTTP server: answers as the API would, strictly by its page.

Order of the checks, as a gateway has it: path, method, key, entitlement, rate and quota, media
type, body; then the answer, and last what a fault makes of it. Built on aiohttp's low-level
server, for every error body is the API's own. Logs nothing: no number, no key.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from batch_screen.errors import ConfigurationError
from batch_screen.model import Endpoint
from batch_screen.sandbox import contract
from batch_screen.sandbox.answers import draws, truth
from batch_screen.sandbox.config import BASE_PATH, SandboxConfig
from batch_screen.sandbox.contract import Problem, Question, paths, read_question
from batch_screen.sandbox.exchange import Exchange
from batch_screen.sandbox.faults import (
    REDIRECT_TARGET,
    SandboxReply,
    disturbed,
    honest_reply,
    problem_reply,
)
from batch_screen.sandbox.gate import Gate
from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.magic import Behaviour, Fault
from batch_screen.sandbox.profiles import FaultChoice, Outages
from batch_screen.sandbox.statistics import RequestLine, RequestLog, Statistics

CONTROL_PATH = "/_sandbox/"

_HEADERS = {
    contract.METHOD_NOT_ALLOWED: (("Allow", "POST"),),
    # No limit stays full for longer.
    contract.TOO_MANY_REQUESTS: (("Retry-After", "1"),),
}


class SandboxServer:
    """The stand-in for the API; aiohttp calls ``handle`` for each request."""

    def __init__(self, config: SandboxConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self.world = config.world()
        """The facts as of its start."""
        self.go_offline: Callable[[float], None] = lambda _seconds: None
        """Stops listening for so many seconds; set by ``RunningSandbox``, which owns the port."""
        self._clock = clock
        self._paths = {BASE_PATH + path: e for path, e in paths(config.dialect).items()}
        self._log = RequestLog(config.journal_path)
        self._gate = Gate(config)
        self._statistics = Statistics()
        self._behave(config)

    def reset(self) -> None:
        """Resets statistics, quota, revocation and faults that occur ``once``."""
        self._gate = Gate(self._config)
        self._statistics = Statistics()
        self._outages = Outages(self._config.all_outages())

    def change(self, **settings: Any) -> None:
        """Changes the settings for later requests; outages count afresh, all other counts stay.

        ConfigurationError for what would make another world: answers stay as they are.
        """
        if fixed := sorted(_OF_THE_WORLD & settings.keys()):
            raise ConfigurationError(f"a running sandbox keeps its {fixed[0]}; start another one")
        config = msgspec.structs.replace(self._config, **settings)
        self._gate.change(config)
        self._behave(config)

    def _behave(self, config: SandboxConfig) -> None:
        self._config = config
        self._choice = FaultChoice(config.seed, config.all_rules())
        self._outages = Outages(config.all_outages())
        self._latency = config.effective_latency()

    def statistics(self, *, detail: bool = False) -> dict[str, Any]:
        """The counts that GET /_sandbox/statistics answers."""
        return self._statistics.snapshot(self._gate, detail=detail)

    def close(self) -> None:
        self._log.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith(CONTROL_PATH):
            return self._control(request)
        arrived = self._clock()
        endpoint = self._paths.get(request.path)
        # By a name of its own: after a reset in between, this request is none of the new counts.
        statistics = self._statistics
        statistics.arrive(arrived, endpoint)
        exchange = Exchange(request)
        question: Question | Problem = contract.NOT_FOUND
        try:
            # Read before the gate decides, so that the log can name what was refused.
            question = await self._question(request, endpoint)
            admitted = self._objection(request, endpoint, arrived) or question
            if isinstance(admitted, Question):
                reply = self._answer(admitted)
            else:
                headers = _HEADERS.get(admitted, ())
                reply = problem_reply(admitted, self._config.dialect, *headers)
            return await exchange.deliver(reply)
        finally:
            statistics.depart(exchange.status)
            asked = question if isinstance(question, Question) else None
            if asked and exchange.was_clean:
                statistics.answer_cleanly(asked)
            line = RequestLine(
                at=arrived,
                ended_at=self._clock(),
                number=asked.number if asked else None,
                endpoint=endpoint,
                max_age_minutes=asked.max_age_minutes if asked else None,
                status=exchange.status,
                correlator=exchange.correlator,
                was_sent=exchange.was_sent,
                is_clean=exchange.was_clean,
            )
            self._log.write(line)

    async def _question(
        self, request: web.BaseRequest, endpoint: Endpoint | None
    ) -> Question | Problem:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return contract.TOO_LARGE
        if endpoint is None:
            return contract.NOT_FOUND
        strict = self._config.strict_body
        return read_question(body, endpoint, self._config.dialect, strict=strict)

    def _objection(
        self, request: web.BaseRequest, endpoint: Endpoint | None, arrived: float
    ) -> Problem | None:
        """The error for a request, its body aside."""
        if endpoint is None:
            return contract.NOT_FOUND
        if request.method != "POST":
            return contract.METHOD_NOT_ALLOWED
        refusal = self._gate.admit(request.headers.get("apiKey"), arrived, endpoint)
        if refusal is None and request.content_type != "application/json":
            return contract.UNSUPPORTED_MEDIA_TYPE
        # The page has no query parameters: there, a number would end up in access logs.
        if refusal is None and request.query_string:
            return contract.INVALID_ARGUMENT
        return refusal

    def _answer(self, question: Question) -> SandboxReply:
        times_asked = self._statistics.ask(question)
        config, world = self._config, self.world
        # A date that stays and a window that moves on: a check derived from its date by the clock
        # equals the one that is asked.
        if config.now is None:
            world = msgspec.structs.replace(world, now=datetime.now(UTC) + config.ahead)
        answer = truth(question.number, question.endpoint, question.max_age_minutes, world)
        reply = honest_reply(answer, config.dialect)
        if self._latency != _AT_ONCE:
            text = f"{question.endpoint} {question.number} {times_asked}"
            chance = draws(config.seed, "latency", text)[0]
            reply = msgspec.structs.replace(reply, delay_seconds=self._latency.draw(chance))
        fault = self._choice.fault(question, times_asked)
        if met := self._outages.meet(self._clock()):
            outage, left_seconds = met
            if outage.behaviour is None:
                self.go_offline(left_seconds)
            fault = Fault(outage.behaviour or Behaviour.RESET)
        if fault is None:
            return reply
        return disturbed(fault, reply, question, config, datetime.now(UTC))

    def _control(self, request: web.BaseRequest) -> web.Response:
        """The sandbox's own pages, which are not counted."""
        match request.method, request.path.removeprefix(CONTROL_PATH):
            case "GET", "statistics":
                return _json(200, self.statistics(detail=request.query.get("detail") == "1"))
            case "POST", "reset":
                self.reset()
                return _json(200, {})
            case _ if request.path == REDIRECT_TARGET:
                self._statistics.redirects_followed += 1
        return _json(404, contract.NOT_FOUND)


def _json(status: int, value: object) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json"
    )


_AT_ONCE = Latency()
_OF_THE_WORLD = frozenset(
    {"seed", "now", "ahead", "since", "dialect", "population", "journal_path"}
)
