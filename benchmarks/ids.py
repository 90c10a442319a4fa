"""Ids a second on one core: python -m benchmarks.ids [NUMBERS]."""

from __future__ import annotations

import os
import sys
import time

import polars as pl

from batch_screen.privacy.ids import KEY_BYTES, NumberIds

_NUMBERS = 1_000_000
_ROUNDS = 5


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else _NUMBERS
    numbers = pl.Series("e164", [f"+4930{n:08}" for n in range(count)])
    ids = NumberIds(os.urandom(KEY_BYTES))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.process_time()  # of this process alone, whatever else the machine does
        made = ids.of(numbers)
        best = min(best, time.process_time() - began)
    assert made.n_unique() == count
    sys.stdout.write(f"{count / best:,.0f} ids/s on one core ({count:,} numbers, best of 5)\n")


if __name__ == "__main__":
    main()
