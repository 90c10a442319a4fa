"""The same bytes through polars alone: what a straight script takes that screens nothing.

    python -m benchmarks.stages.alone plan LIST FOLDER FILES
    python -m benchmarks.stages.alone write RUN RESULTS FOLDER

``plan``: the list with its row numbers into as many files, by a hash of the number, as the plan
has shards. ``write``: the plan's rows and their outcomes joined, in the columns and files that the
run wrote, and its lookups. Compressed as ours; without digests, checks, fsync or a bound on
memory. Prints the seconds, CPU seconds and peak MiB that it took, imports not counted.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import polars as pl

ENDPOINT = "sim-swap/check"
PREFIX = "sim_swap_check_"


def plan(source: str, folder: str, files: str) -> None:
    """Reads, numbers and partitions the list."""
    shard = pl.col("phone").hash() % int(files)
    rows = pl.scan_csv(source, infer_schema=False).with_row_index("row_index")
    target = pl.PartitionBy(folder, key=shard.alias("shard"), include_key=False)
    rows.sink_parquet(target, compression="zstd", statistics=False, mkdir=True)


def write(run: str, written: str, folder: str) -> None:
    """Joins each shard's rows with its outcomes, and writes both tables."""
    tables = {}
    for name in ("results", "lookups"):
        [first, *_] = sorted(Path(written, name).glob("*/*.parquet"))
        tables[name] = pl.read_parquet_schema(first)
        Path(folder, name).mkdir(parents=True)
    for path in sorted(Path(run, "plan").glob("rows-*.parquet")):
        shard = path.stem.removeprefix("rows-")
        sealed = pl.read_parquet(Path(run, "sealed", f"{shard}.parquet"))
        answered, window = pl.col("responded_at"), pl.duration(minutes=pl.col("max_age_minutes"))
        is_known = pl.col("outcome") == "success"
        outcomes = sealed.with_columns(
            window_start=pl.when(is_known).then(answered - window),
            window_end=pl.when(is_known).then(answered),
        )
        answers = outcomes.filter(pl.col("endpoint") == ENDPOINT)
        answers = answers.select("e164", pl.exclude("e164").name.prefix(PREFIX))
        joined = pl.read_parquet(path).join(answers, on="e164", how="left", maintain_order="left")
        for name, frame in (("results", joined), ("lookups", outcomes)):
            columns = [
                pl.col(column) if column in frame.columns else pl.lit(None, dtype).alias(column)
                for column, dtype in tables[name].items()
            ]
            frame.select(columns).with_columns(run_id=pl.lit("a run")).write_parquet(
                Path(folder, name, f"{shard}.parquet"),
                compression="zstd",
                compression_level=1,
                row_group_size=500_000,
            )


def main() -> None:
    stage, *arguments = sys.argv[1:]
    began, cpu_began = time.monotonic(), time.process_time()
    {"plan": plan, "write": write}[stage](*arguments)
    unit = 1 if sys.platform == "darwin" else 1024
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    print(time.monotonic() - began, time.process_time() - cpu_began, peak_mib)


if __name__ == "__main__":
    main()
