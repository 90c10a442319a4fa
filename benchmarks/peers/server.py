"""The till: the judge of pacing, which also fails at times and remembers what was bought.

A lookup is *bought* when its request is answered with 200, whether or not anybody is there to
read the answer. How often that was is counted for every number at every endpoint.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from itertools import cycle
from random import Random
from typing import Any

from aiohttp import web

from benchmarks.pacing.server import JSON, Judge, Ledger, serve
from benchmarks.pacing.timetable import Timetable

BOUGHT_PATH = "/_till/bought"
FAILURES = (500, 502, 503, 504)
_FAILED = json.dumps({"status": 500, "code": "INTERNAL", "message": "Try again."}).encode()
_SEED = 1


class Till(Judge):
    """Answers a share of the accepted requests with a 5xx, each time another one."""

    def __init__(self, ledger: Ledger, latency_seconds: float, failing_share: float) -> None:
        super().__init__(ledger, latency_seconds)
        self._failing_share = failing_share
        self._random = Random(_SEED)
        self._failures = cycle(FAILURES)
        self.bought: Counter[str] = Counter()

    def answer(self, path: str, body: bytes) -> web.Response:
        if self._random.random() < self._failing_share:
            return web.Response(status=next(self._failures), body=_FAILED, headers=JSON)
        self.bought[lookup(path, body)] += 1
        return super().answer(path, body)

    def report(self, path: str) -> bytes:
        if path == BOUGHT_PATH:
            return json.dumps(self.bought).encode()
        return super().report(path)

    def state(self) -> dict[str, Any]:
        return super().state() | {"answered": len(self.bought)}


def lookup(path: str, body: bytes) -> str:
    """The endpoint and the number that a request asks about.

    >>> lookup("/network-signal/v1/sim-swap/check", b'{"phoneNumber": "+447700900000"}')
    'sim-swap/check +447700900000'
    """
    endpoint = "/".join(path.split("/")[-2:])
    return f"{endpoint} {json.loads(body)['phoneNumber']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=Timetable.read, required=True)
    parser.add_argument("--latency-seconds", type=float, required=True)
    parser.add_argument("--failing-share", type=float, required=True)
    chosen = parser.parse_args()
    serve(lambda: Till(Ledger(chosen.limit), chosen.latency_seconds, chosen.failing_share))


if __name__ == "__main__":
    main()
