"""What is measured, each as a process of its own that prints what it took as JSON.

*bare*: coroutines that take numbers off a list, post them with an aiohttp session and parse the
answer; nothing is paced, judged or kept. *batch-screen*: everything between plan and sealed
outcomes. Both are held to one core where the system can do that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from batch_screen.config.screening import Input, Screening
from batch_screen.config.sections import Api, Guards
from batch_screen.config.settings import Pacing, Settings
from batch_screen.engine.engine import loop_factory, run_engine
from batch_screen.model import Endpoint
from batch_screen.planning.build import InputFile, plan_inputs
from batch_screen.runs.events import RunEvents
from batch_screen.runs.state import Identity, create_run
from benchmarks.engine.sampling import Sampler
from benchmarks.memory import written
from benchmarks.pacing.contestants import write_numbers

ENDPOINT = Endpoint.SIM_SWAP_CHECK
WINDOW_MINUTES = 2400
KEY = "sandbox-key"
FASTER_THAN_POSSIBLE = 100_000.0


@dataclass(frozen=True)
class Taken:
    """What it took; ``parts`` is the CPU of the event loop's thread by what it was at."""

    attempts: int
    seconds: float
    cpu_seconds: float
    loop_cpu_seconds: float
    journal_cpu_seconds: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    samples: int = 0


def bare(url: str, attempts: int, concurrency: int) -> Taken:
    """A session, as many coroutines as requests may be under way, and a list."""
    numbers = [written(number, 0)[0].replace(" ", "") for number in range(attempts)]
    clock = Clocks()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_bare(f"{url}/{ENDPOINT}", iter(numbers), concurrency))
    return clock.taken(attempts)


async def _bare(url: str, numbers: Iterator[str], concurrency: int) -> None:
    headers = {
        "apiKey": KEY,
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": "bare/1.0",
    }
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=concurrency),
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=15),
    ) as session:

        async def work() -> None:
            for number in numbers:
                body = json.dumps({"phoneNumber": number, "maxAge": WINDOW_MINUTES})
                told = {"x-correlator": "6fa459ea-ee8a-5ca4-894e-db77e160355e"}
                async with session.post(url, data=body.encode(), headers=told) as response:
                    answer = json.loads(await response.read())
                    if response.status != 200 or answer["swapped"]:
                        raise RuntimeError(f"{response.status}: {answer}")

        await asyncio.gather(*(work() for _ in range(concurrency)))


def batch_screen(url: str, attempts: int, concurrency: int, *, is_sampled: bool = False) -> Taken:
    """The engine at a rate that never makes it wait, otherwise as it comes."""
    settings = Settings(
        api=Api(base_url=url),
        input=Input(phone_column="phone"),
        screening=Screening(endpoints=[ENDPOINT], max_age_minutes=WINDOW_MINUTES),
        pacing=Pacing(
            rate_per_second=FASTER_THAN_POSSIBLE, ramp_up_seconds=0, max_concurrency=concurrency
        ),
        guards=Guards(),
    )
    with tempfile.TemporaryDirectory(prefix="batch-screen-engine-") as name:
        folder = Path(name)
        write_numbers(folder, attempts)
        identity = Identity(["made up"], datetime.now(UTC).date().isoformat(), {})
        run = create_run(folder / "state", identity, [], [])
        plan = plan_inputs([InputFile(folder / "customers.csv")], settings, run.plan, RunEvents())
        clock = Clocks()
        with Sampler(is_on=is_sampled) as sampler:
            asked = run_engine(run, plan, settings, KEY, RunEvents())
        if asked.attempts != attempts:
            raise RuntimeError(f"{asked.attempts} attempts instead of {attempts}")
        return clock.taken(attempts, sampler)


class Clocks:
    """Time and CPU from here on."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._cpu, self._loop_cpu = time.process_time(), time.thread_time()

    def taken(self, attempts: int, sampler: Sampler | None = None) -> Taken:
        """What it was until now; what the sampler used is taken off."""
        spent = sampler.cpu_seconds if sampler else 0.0
        return Taken(
            attempts,
            time.perf_counter() - self._began,
            time.process_time() - self._cpu - spent,
            time.thread_time() - self._loop_cpu - spent,
            sampler.journal_cpu_seconds if sampler else 0.0,
            dict(sampler.parts) if sampler else {},
            sampler.samples if sampler else 0,
        )


def hold_to_one_core() -> None:
    """The last of those this process may use; the server has the others."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("client", choices=("bare", "batch-screen"))
    parser.add_argument("url")
    parser.add_argument("--attempts", type=int, default=40_000)
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--sampled", action="store_true", help="batch-screen alone")
    chosen = parser.parse_args()
    hold_to_one_core()
    if chosen.client == "bare":
        taken = bare(chosen.url, chosen.attempts, chosen.concurrency)
    else:
        taken = batch_screen(
            chosen.url, chosen.attempts, chosen.concurrency, is_sampled=chosen.sampled
        )
    print(json.dumps(asdict(taken)))


if __name__ == "__main__":
    main()
