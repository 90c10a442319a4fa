"""How a plan's lookups are spread over contracts, and how long each takes at its own rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import polars as pl

from batch_screen.config.settings import OTHERS, Settings
from batch_screen.engine.resume import History
from batch_screen.journal.seal import seal_path
from batch_screen.journal.segments import shards_with_segments
from batch_screen.model import Endpoint, Plan
from batch_screen.planning.shards import read_carried, shard_rows_path
from batch_screen.runs.state import Run
from batch_screen.storage.records import read_frame


class ContractEstimate(msgspec.Struct, frozen=True):
    """The numbers under one contract, what is to ask about them, and how long it takes."""

    rate_per_second: float
    numbers: int
    to_ask: int
    seconds: float


Seconds = Callable[[Settings, Mapping[Endpoint, int]], float]


def estimate_contracts(  # noqa: PLR0913, PLR0917 (a plan, how far it is, and how it is timed)
    settings: Settings,
    plan: Plan,
    folder: Path,
    run: Run | None,
    to_ask: Mapping[Endpoint, int],
    seconds: Seconds,
) -> dict[str, ContractEstimate]:
    """The estimate of each contract; ``to_ask`` is that of all together.

    Shares of what is ``to_ask`` go by the lookups that are left under each contract.
    """
    rates = settings.contracts
    numbers, left = _counted(settings, plan, folder, run)
    every = max(1, left.total())
    found = {}
    for name, rate in rates.items():
        share = {endpoint: round(n * left[name] / every) for endpoint, n in to_ask.items()}
        pacing = settings.pacing.model_copy(update={"rate_per_second": rate})
        own = settings.model_copy(update={"pacing": pacing})
        asked = sum(share.values())
        found[name] = ContractEstimate(rate, numbers[name], asked, round(seconds(own, share), 1))
    return found


def _counted(
    settings: Settings, plan: Plan, folder: Path, run: Run | None
) -> tuple[Counter[str], Counter[str]]:
    """By contract: its numbers, and its lookups without an outcome."""
    numbers, left = Counter[str](), Counter[str]()
    begun = set(shards_with_segments(run.journal)) if run else set()
    is_named = pl.col("region").is_in([*settings.contracts])
    contract = pl.when(is_named).then(pl.col("region")).otherwise(pl.lit(OTHERS))
    for shard, planned in enumerate(plan.shards):
        path = shard_rows_path(folder, shard)
        rows = read_frame(path, planned.sha256, columns=["e164", "region"])
        named = rows.unique("e164", keep="first", maintain_order=True)
        named = named.select("e164", contract=contract)
        counted = _by_contract(named)
        numbers += counted
        if run and seal_path(run.sealed, shard).exists():
            continue
        for name, count in counted.items():
            left[name] += count * len(settings.endpoints)
        if run and (shard in begun or planned.carried):
            carried = read_carried(folder, plan, shard)
            finished = History(run, shard, carried=carried, only=named["e164"]).finished
            e164 = pl.Series("e164", [number for number, _ in finished], pl.String)
            left.subtract(_by_contract(e164.to_frame().join(named, on="e164")))
    return numbers, left


def _by_contract(named: pl.DataFrame) -> Counter[str]:
    return Counter(dict(named.group_by("contract").len().iter_rows()))
