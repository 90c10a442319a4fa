"""The script of a hundred lines, by somebody careful: it paces, retries and can go on.

aiohttp's page "Client Quickstart" asks for one session with timeouts; aiolimiter's "Usage" for
``AsyncLimiter(requests, per_seconds)``; asyncio's page "Coroutines and Tasks" for a task per
lookup in a TaskGroup. A semaphore of 100, as aiohttp's pool has 100 connections. Retries wait as
tenacity's ``wait_random_exponential`` does, and at least for Retry-After. Each outcome is
appended to a file as a line of JSON at once; the next start skips what is answered there.

    python script.py customers.csv URL RATE answers.jsonl
"""

from __future__ import annotations

import asyncio
import csv
import json
import random
import sys
from pathlib import Path
from typing import TextIO

import aiohttp
from aiolimiter import AsyncLimiter

ENDPOINTS = ("sim-swap/check", "device-swap/check")
MAX_CONCURRENT = 100
MAX_ATTEMPTS = 10
MAX_BACKOFF_SECONDS = 30.0
TIMEOUT_SECONDS = 15.0
API_KEY = "sandbox-key"


class Screener:
    def __init__(
        self, session: aiohttp.ClientSession, url: str, rate: float, answers: TextIO
    ) -> None:
        self.session = session
        self.url = url
        self.answers = answers
        self.semaphore = asyncio.Semaphore(MAX_CONCURRENT)
        self.limiter = AsyncLimiter(rate, 1)

    async def screen(self, phone: str, endpoint: str) -> None:
        swapped = await self.ask_with_retries(phone, endpoint)
        line = {"phone": phone, "endpoint": endpoint, "swapped": swapped}
        self.answers.write(json.dumps(line) + "\n")
        self.answers.flush()

    async def ask_with_retries(self, phone: str, endpoint: str) -> bool | None:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                async with self.semaphore:
                    return await self.ask(phone, endpoint)
            except aiohttp.ClientResponseError as error:
                wait = float(error.headers.get("Retry-After", 0)) if error.headers else 0.0
            except (aiohttp.ClientError, TimeoutError):
                wait = 0.0
            backoff = random.uniform(0, min(MAX_BACKOFF_SECONDS, 2**attempt))
            await asyncio.sleep(wait + backoff)
        return None

    async def ask(self, phone: str, endpoint: str) -> bool:
        question = {"phoneNumber": phone, "maxAge": 2400}
        async with (
            self.limiter,
            self.session.post(
                f"{self.url}/{endpoint}", json=question, headers={"apiKey": API_KEY}
            ) as response,
        ):
            response.raise_for_status()
            swapped: bool = (await response.json())["swapped"]
            return swapped


def answered(path: Path) -> set[tuple[str, str]]:
    """What an earlier start has the answers to."""
    found = set()
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        answer = json.loads(line)
        if answer["swapped"] is not None:
            found.add((answer["phone"], answer["endpoint"]))
    return found


async def main(source: Path, url: str, rate: float, target: Path) -> None:
    with source.open(encoding="utf-8", newline="") as file:
        phones = [row["phone"] for row in csv.DictReader(file)]
    done = answered(target)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    with target.open("a", encoding="utf-8") as answers:
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as tasks:
            screener = Screener(session, url, rate, answers)
            for phone in phones:
                for endpoint in ENDPOINTS:
                    if (phone, endpoint) not in done:
                        tasks.create_task(screener.screen(phone, endpoint))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), Path(sys.argv[4])))
