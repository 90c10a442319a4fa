"""Puts made-up outcomes into a run's state, as if its lookups had been asked.

    python -m benchmarks.stages.answered STATE [--left SHARDS]

Asking for a hundred million numbers takes longer than a benchmark may. What is written is what
asking would have left: each shard's outcomes and their seal. Of the shards that are ``--left``
nine tenths of the lookups are in the journal, unsealed, and the rest is to be asked.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import polars as pl

from batch_screen.journal.seal import drop_leftovers, write_sealed
from batch_screen.journal.segments import SegmentWriter
from batch_screen.model import Endpoint, Outcome, OutcomeKind, Plan, Spent
from batch_screen.planning.shards import lookups, read_plan, read_rows
from batch_screen.runs.state import Run, all_runs
from batch_screen.schema import LOOKUP, conform

ENDPOINT = Endpoint.SIM_SWAP_CHECK
WINDOW = 2_400
_AT_ONCE = 10_000
_POSITIVE_EVERY = 50
_UNKNOWN_EVERY = 100


def sealed(numbers: pl.Series) -> pl.DataFrame:
    """An outcome for each number, with the columns ``schema.LOOKUP``, sorted as they are sealed."""
    row = pl.int_range(pl.len())
    is_known = row % _UNKNOWN_EVERY != 0
    return conform(
        numbers.sort()
        .rename("e164")
        .to_frame()
        .with_columns(
            endpoint=pl.lit(ENDPOINT.value),
            max_age_minutes=pl.lit(WINDOW),
            outcome=pl.when(is_known)
            .then(pl.lit(OutcomeKind.SUCCESS.value))
            .otherwise(pl.lit(OutcomeKind.NOT_FOUND.value)),
            swapped=pl.when(is_known).then(row % _POSITIVE_EVERY == 1),
            http_status=pl.when(is_known).then(200).otherwise(404),
            attempts=pl.lit(1),
            refusals=pl.lit(0),
            latency_ms=40 + (row % 1000) / 10,
            responded_at=pl.lit(datetime.now(UTC)) + pl.duration(milliseconds=row),
            correlator=pl.concat_str(pl.lit("0f4c-"), row.hash().cast(pl.String)),
            unanswered=pl.lit(0),
            source=pl.lit("asked"),
        ),
        LOOKUP,
    )


def answer(run: Run, plan: Plan, left: int) -> None:
    """Seals all shards but the ``left`` last ones, and answers nine tenths of each of those."""
    writer = SegmentWriter(run.journal, run.run_id)
    for shard, planned in enumerate(plan.shards):
        if shard < len(plan.shards) - left:
            numbers = read_rows(run.plan, plan, shard)["e164"].unique()
            spent = {ENDPOINT: Spent(requests=len(numbers))}
            write_sealed(sealed(numbers), run.sealed, run.run_id, shard, spent)
            drop_leftovers(run.journal, run.sealed, run.run_id, shard)
        else:
            waiting = lookups(run.plan, plan, shard, {ENDPOINT: WINDOW}, frozenset())
            outcomes = (
                Outcome(lookup.e164, ENDPOINT, WINDOW, OutcomeKind.SUCCESS, swapped=False)
                for lookup in islice(waiting, planned.unique_numbers * 9 // 10)
            )
            while chunk := list(islice(outcomes, _AT_ONCE)):
                writer.write(shard, chunk)
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state", type=Path)
    parser.add_argument("--left", type=int, default=0, help="shards that are not quite done")
    chosen = parser.parse_args()
    [run] = all_runs(chosen.state)
    plan = read_plan(run.plan)
    if plan is None:
        parser.error("there is no plan yet")
    answer(run, plan, chosen.left)


if __name__ == "__main__":
    main()
