"""The judge: a server that keeps a strict limit and remembers every request.

It speaks as much of the API as a run needs and shares no code with what it judges. A request is
accepted only if fewer than the limit were accepted in the second before it; a refused one counts
against nobody. The second slides and is exact, which no real gateway is, so whoever passes here
passes there; ``--window`` counts as gateways do, and ``--odd`` gives single requests odd answers.

The instant of a request is taken when its bytes are read from the socket, before they are
parsed and before any other request is answered. Instants are of ``time.monotonic``, which on
Linux all processes share.

Run it as a process: it prints its port, and ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import sys
import time
from array import array
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from benchmarks.pacing import oddities
from benchmarks.pacing.oddities import ECHO, REFUSAL, USUAL, Encounter, Oddity
from benchmarks.pacing.timetable import Timetable
from benchmarks.pacing.windows import WINDOWS, Sliding, Window

ANSWERED_PATH = "/_judge/answered"
ARRIVALS_PATH = "/_judge/arrivals"
STATE_PATH = "/_judge/state"
_BACKLOG = 4096
_BEAT_SECONDS = 0.01
_SILENT = logging.getLogger("silent")
JSON = {"Content-Type": "application/json"}
_SWAP = json.dumps({"swapped": False}).encode()
_DATE = json.dumps({"latestSimChange": None}).encode()
_SAID = {
    "sim-swap/check": _SWAP,
    "sim-swap/retrieve-date": _DATE,
    "device-swap/check": _SWAP,
    "device-swap/retrieve-date": _DATE,
    "call-forwarding/check": json.dumps({"active": False}).encode(),
}
_REFUSED = 429


class Ledger:
    """Decides about every request and remembers it."""

    def __init__(self, limit: Timetable, window: Window | None = None) -> None:
        self._limit = limit
        self._window = window or Sliding()
        self.instants = array("d")
        self.verdicts = array("b")

    def accepts(self, now: float, *, is_refused: bool = False) -> bool:
        """Whether the request that came now is accepted; it is written down either way.

        ``is_refused`` says that it is not, whatever the limit.
        """
        # Two that were read in the same turn may be answered in either order.
        now = max(now, self.instants[-1]) if self.instants else now
        self.instants.append(now)
        limit = self._limit.at(self.since_first(now))
        is_accepted = not is_refused and self._window.takes(now, limit)
        self.verdicts.append(is_accepted)
        return is_accepted

    def since_first(self, now: float) -> float:
        """Seconds since the first request; 0 before it."""
        return now - self.instants[0] if self.instants else 0.0


class Connection(web.RequestHandler):
    """aiohttp's connection, which notes when it was last read from."""

    __slots__ = ("read_at",)

    def data_received(self, data: bytes) -> None:
        self.read_at = time.monotonic()
        super().data_received(data)


class Listener(web.Server):
    """aiohttp's low-level server, with such connections."""

    def __call__(self) -> Connection:
        return Connection(self, loop=asyncio.get_running_loop(), access_log=_SILENT)


class Judge:
    """Answers requests, and is away for a while if it has to be."""

    def __init__(
        self, ledger: Ledger, latency_seconds: float, outage: tuple[float, float] = (0.0, 0.0)
    ) -> None:
        self._ledger = ledger
        self._latency_seconds = latency_seconds
        self._outage_at, self._outage_seconds = outage
        self._listener = Listener(self._handle)
        self._runner = web.ServerRunner(self._listener)
        self._site: web.TCPSite | None = None
        self._outage: asyncio.TimerHandle | None = None
        self._return: asyncio.Task[None] | None = None
        self._stalled_seconds = 0.0

    async def listen(self, port: int = 0) -> int:
        """Begins to listen; returns the port."""
        if not port:
            await self._runner.setup()
        # SO_REUSEADDR, because an outage leaves connections behind that linger.
        self._site = web.TCPSite(
            self._runner, "127.0.0.1", port, backlog=_BACKLOG, reuse_address=True
        )
        await self._site.start()
        return int(self._runner.addresses[0][1])

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection: Any = request.protocol
        if request.method != "POST":
            return web.Response(body=self.report(request.path), headers=JSON)
        if self._outage is None and self._outage_seconds:
            loop = asyncio.get_running_loop()
            self._outage = loop.call_later(self._outage_at, self._leave)
        return await self.decide(request, connection.read_at)

    async def decide(self, request: web.BaseRequest, read_at: float) -> web.Response:
        """The answer to a request that was read at the instant."""
        is_accepted = self._ledger.accepts(read_at)
        body = await request.read()
        if not is_accepted:
            return odd_answer(REFUSAL)
        await asyncio.sleep(self._latency_seconds)
        return self.answer(request.path, body)

    def answer(self, path: str, _body: bytes) -> web.Response:
        """What an accepted request is told."""
        return web.Response(body=_SAID.get(endpoint_of(path), _SWAP), headers=JSON)

    def report(self, path: str) -> bytes:
        """What was seen so far."""
        ledger = self._ledger
        if path == ARRIVALS_PATH:
            # All instants, eight bytes each, then all verdicts, one byte each.
            return ledger.instants.tobytes() + ledger.verdicts.tobytes()
        return json.dumps(self.state()).encode()

    def state(self) -> dict[str, Any]:
        """What may be asked for again and again."""
        first = self._ledger.instants[:1].tolist()
        return {"first": first, "stalled_seconds": self._stalled_seconds}

    async def watch_itself(self) -> None:
        """Notes the longest time in which nothing could be read, from the first request on."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(_BEAT_SECONDS)
            if self._ledger.instants:
                late = time.monotonic() - before - _BEAT_SECONDS
                self._stalled_seconds = max(self._stalled_seconds, late)

    def _leave(self) -> None:
        self._return = asyncio.create_task(self._be_away())

    async def _be_away(self) -> None:
        if self._site is None:
            return
        port = self._runner.addresses[0][1]
        await self._site.stop()
        for connection in self._listener.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(self._outage_seconds)
        await self.listen(port)


class OddJudge(Judge):
    """Gives odd answers, and remembers when each lookup was first answered with 200.

    Refusals come at once and count against nobody. All else counts and takes the latency, and
    more where it says so.
    """

    def __init__(
        self, ledger: Ledger, latency_seconds: float, oddities: Iterable[Oddity] = ()
    ) -> None:
        super().__init__(ledger, latency_seconds)
        self._encounters = [Encounter(oddity) for oddity in oddities]
        self._answered: dict[str, float] = {}

    async def decide(self, request: web.BaseRequest, read_at: float) -> web.Response:
        body = await request.read()
        lookup = f"{endpoint_of(request.path)} {json.loads(body)['phoneNumber']}"
        seconds = self._ledger.since_first(read_at)
        met = (each.oddity for each in self._encounters if each.meets(lookup, seconds))
        oddity = next(met, USUAL)
        is_refused = oddity.status == _REFUSED
        if not self._ledger.accepts(read_at, is_refused=is_refused):
            return odd_answer(oddity if is_refused else REFUSAL)
        await asyncio.sleep(self._latency_seconds + oddity.wait_seconds)
        if oddity.status != USUAL.status:
            return odd_answer(oddity)
        self._answered.setdefault(lookup, self._ledger.since_first(time.monotonic()))
        response = self.answer(request.path, body)
        correlator = request.headers.get("x-correlator", "")
        response.headers.update({n: v.replace(ECHO, correlator) for n, v in oddity.headers})
        return response

    def report(self, path: str) -> bytes:
        if path == ANSWERED_PATH:
            return json.dumps(self._answered).encode()
        return super().report(path)


def odd_answer(oddity: Oddity) -> web.Response:
    """The error that an oddity says."""
    return web.Response(status=oddity.status, body=oddity.body, headers=JSON | dict(oddity.headers))


def endpoint_of(path: str) -> str:
    """The endpoint that a request is for.

    >>> endpoint_of("/network-signal/v1/sim-swap/check")
    'sim-swap/check'
    """
    return "/".join(path.split("/")[-2:])


async def _serve(make: Callable[[], Judge]) -> None:
    judge = make()
    print(await judge.listen(), flush=True)
    # What is there now stays, so the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    watching = asyncio.create_task(judge.watch_itself())
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    watching.cancel()


def serve(make: Callable[[], Judge]) -> None:
    """Serves until standard input ends, as it does with the process that holds it."""
    try:
        import uvloop  # noqa: PLC0415 (an extra)
    except ImportError:
        asyncio.run(_serve(make))
    else:
        uvloop.run(_serve(make))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=Timetable.read, required=True, help="200,40:100,80:200")
    parser.add_argument("--latency-seconds", type=float, default=0.02)
    parser.add_argument("--outage-at", type=float, default=0.0, help="after the first request")
    parser.add_argument("--outage-seconds", type=float, default=0.0)
    parser.add_argument("--window", choices=WINDOWS, default="sliding")
    parser.add_argument("--odd", type=oddities.from_text, help="odd answers, in JSON")
    chosen = parser.parse_args()

    def make() -> Judge:
        ledger = Ledger(chosen.limit, WINDOWS[chosen.window]())
        if chosen.odd is not None:
            return OddJudge(ledger, chosen.latency_seconds, chosen.odd)
        outage = chosen.outage_at, chosen.outage_seconds
        return Judge(ledger, chosen.latency_seconds, outage)

    serve(make)


if __name__ == "__main__":
    main()
