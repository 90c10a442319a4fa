"""Ray Data with a checkpoint, by its documentation.

"CheckpointConfig" (docs.ray.io, Ray Data API, "Checkpoint API") says how a job is resumed: with
an id column whose values are unique and kept to the end, a path for the checkpoint, and the same
reading and writing again; a row is skipped when the block it was written in is there. "Stateful
Transforms" and ``Dataset.map_batches``: a class for what is made once, here the session and the
limiter; one actor of it, because a limit for all needs one limiter. Its ``__call__`` is an
asynchronous generator with an aiohttp session, as Ray's own stage for HTTP requests is.
``max_concurrent_calls_per_actor`` lets the next blocks begin while the last answers of one are
awaited. "Performance Tips and Tuning": one small file would be one block, so the number of
blocks is set, here to about a second of the budget each, and a batch is a block. "Resources":
CPUs are logical; an actor that waits for a network needs little of one, and the filter of a
resumed job, reading and writing want one each, more than two cores have.

    python ray_data.py customers.csv URL RATE answers
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pyarrow as pa
import ray
from aiolimiter import AsyncLimiter
from pyarrow.csv import ConvertOptions
from ray.data import ActorPoolStrategy, DataContext
from ray.data.checkpoint import CheckpointConfig

COLUMNS = {"sim_swap": "sim-swap/check", "device_swap": "device-swap/check"}
MAX_CONCURRENT = 100
MAX_ATTEMPTS = 10
MAX_BACKOFF_SECONDS = 30.0
TIMEOUT_SECONDS = 15.0
LOGICAL_CPUS = 8
CALLS = 4


class Screener:
    def __init__(self, url: str, rate: float) -> None:
        self.url, self.rate, self.is_open = url, rate, False

    def open(self) -> None:
        # Not in the constructor, where no event loop runs.
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        self.session = aiohttp.ClientSession(timeout=timeout)
        self.semaphore = asyncio.Semaphore(MAX_CONCURRENT)
        self.limiter = AsyncLimiter(self.rate, 1)
        self.is_open = True

    async def __call__(self, batch: pa.Table) -> AsyncIterator[pa.Table]:
        if not self.is_open:
            self.open()
        phones = batch["phone"].to_pylist()
        asked = [self.ask_with_retries(p, e) for e in COLUMNS.values() for p in phones]
        answers = await asyncio.gather(*asked)
        for turn, column in enumerate(COLUMNS):
            values = answers[turn * len(phones) : (turn + 1) * len(phones)]
            batch = batch.append_column(column, pa.array(values, pa.bool_()))
        yield batch

    async def ask_with_retries(self, phone: str, endpoint: str) -> bool | None:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                async with self.semaphore:
                    return await self.ask(phone, endpoint)
            except aiohttp.ClientResponseError as error:
                wait = float(error.headers.get("Retry-After", 0)) if error.headers else 0.0
            except (aiohttp.ClientError, TimeoutError):
                wait = 0.0
            await asyncio.sleep(wait + random.uniform(0, min(MAX_BACKOFF_SECONDS, 2**attempt)))
        return None

    async def ask(self, phone: str, endpoint: str) -> bool:
        question = {"phoneNumber": phone, "maxAge": 2400}
        key = {"apiKey": "sandbox-key"}
        address = f"{self.url}/{endpoint}"
        async with (
            self.limiter,
            self.session.post(address, json=question, headers=key) as response,
        ):
            response.raise_for_status()
            swapped: bool = (await response.json())["swapped"]
            return swapped


def main(source: str, url: str, rate: float, target: str) -> None:
    ray.init(
        num_cpus=LOGICAL_CPUS,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
    )
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.checkpoint_config = CheckpointConfig(
        id_column="phone", checkpoint_path=str(Path(target).with_name("checkpoint"))
    )
    with open(source, encoding="utf-8") as file:  # noqa: PTH123
        rows = sum(1 for _ in file) - 1
    block_rows = int(rate) // len(COLUMNS)
    numbers = ray.data.read_csv(
        source,
        override_num_blocks=-(-rows // block_rows),
        convert_options=ConvertOptions(column_types={"phone": pa.string()}),
    )
    answers = numbers.map_batches(
        Screener,
        fn_constructor_args=(url, rate),
        batch_size=block_rows,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=1, max_concurrent_calls_per_actor=CALLS),
        num_cpus=0.5,
    )
    answers.write_parquet(target)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4])
