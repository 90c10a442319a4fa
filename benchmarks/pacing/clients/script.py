"""The script people write: asyncio, aiohttp, a semaphore, and a limiter from the index.

It follows the advice that comes up first for "aiohttp rate limit": aiolimiter's own example
(``AsyncLimiter(requests, per_seconds)``), a semaphore of 100 as aiohttp's pool has 100
connections, a task per row, and retries as tenacity's ``wait_random_exponential`` does them.
What such scripts leave out is left out: Retry-After, resuming, memory.

    python script.py customers.csv URL RATE answers.csv
"""

from __future__ import annotations

import asyncio
import csv
import random
import sys
from typing import Any

import aiohttp
from aiolimiter import AsyncLimiter

MAX_CONCURRENT = 100
MAX_ATTEMPTS = 10
MAX_BACKOFF_SECONDS = 30.0
TIMEOUT_SECONDS = 15.0
API_KEY = "sandbox-key"


class Screener:
    def __init__(self, session: aiohttp.ClientSession, url: str, rate: float) -> None:
        self.session = session
        self.url = url
        self.semaphore = asyncio.Semaphore(MAX_CONCURRENT)
        self.limiter = AsyncLimiter(rate, 1)

    async def ask(self, number: str) -> Any:
        async with (
            self.limiter,
            self.session.post(
                self.url, json={"phoneNumber": number, "maxAge": 2400}, headers={"apiKey": API_KEY}
            ) as response,
        ):
            response.raise_for_status()
            return await response.json()

    async def ask_with_retries(self, number: str) -> Any:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return await self.ask(number)
            except (aiohttp.ClientError, TimeoutError):
                if attempt == MAX_ATTEMPTS:
                    raise
                await asyncio.sleep(random.uniform(0, min(MAX_BACKOFF_SECONDS, 2**attempt)))
        raise AssertionError("unreachable")

    async def screen(self, row: dict[str, str]) -> dict[str, str]:
        async with self.semaphore:
            try:
                answer = await self.ask_with_retries(row["phone"])
            except (aiohttp.ClientError, TimeoutError) as error:
                return {**row, "swapped": "", "error": str(error)}
        return {**row, "swapped": answer["swapped"], "error": ""}


async def main(source: str, url: str, rate: float, target: str) -> None:
    with open(source, encoding="utf-8", newline="") as file:  # noqa: PTH123, ASYNC230
        rows = list(csv.DictReader(file))
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        screener = Screener(session, url, rate)
        tasks = [asyncio.create_task(screener.screen(row)) for row in rows]
        with open(target, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123, ASYNC230
            writer = csv.DictWriter(file, [*rows[0], "swapped", "error"])
            writer.writeheader()
            for done in asyncio.as_completed(tasks):
                writer.writerow(await done)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]))
