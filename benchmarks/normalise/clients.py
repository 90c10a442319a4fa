"""Each contestant reads a list twice and writes it with its numbers normalised, as Parquet.

    python -m benchmarks.normalise.clients NAME LIST TARGET

Prints the seconds from the start of the process to the end of the first pass, and those of the
second pass, in JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

OURS, LIBRARY, RUST = "batch-screen", "phonenumbers", "rphonenumbers"
NAMES = (OURS, LIBRARY, RUST)
REPEATED = ("region", "number_type", "reject_reason")
"""Columns in which few values come again and again; the others would only fill a dictionary."""


def ours(source: Path, target: Path) -> None:
    """The project's own line, up to where the plan would be written."""
    import polars as pl  # noqa: PLC0415 (its import counts)
    import pyarrow.parquet as pq  # noqa: PLC0415

    from batch_screen.config.screening import Input, Numbers  # noqa: PLC0415
    from batch_screen.input.table import open_table  # noqa: PLC0415
    from batch_screen.numbers.frame import normalise_frame  # noqa: PLC0415
    from batch_screen.numbers.normalise import Normaliser  # noqa: PLC0415
    from batch_screen.storage.prefetch import ordered_map  # noqa: PLC0415

    columns = Input(phone_column="phone", region_column="country", keep_columns=("customer_id",))
    table = open_table([source], columns)
    normaliser = Normaliser(Numbers(), "", table.kinds[0])
    writer = None
    judge = partial(normalise_frame, normaliser=normaliser)
    with ordered_map(judge, table.batches()) as frames:
        for frame in frames:
            kept = frame.select("in_customer_id", "e164", "region", "number_type", "reject_reason")
            arrow = kept.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pq.ParquetWriter(
                target, arrow.schema, compression="zstd", use_dictionary=list(REPEATED)
            )
            writer.write_table(arrow)
    if writer is not None:
        writer.close()


def library(name: str) -> Callable[[Path, Path], None]:
    """A loop over the rows with the functions that the library's README shows."""

    def normalise(source: Path, target: Path) -> None:
        import polars as pl  # noqa: PLC0415 (its import counts)

        phonenumbers = import_module(name)
        types = {v: k.lower() for k, v in vars(phonenumbers.PhoneNumberType).items() if k.isupper()}

        def one(phone: str, region: str) -> tuple[str | None, str | None, str | None, str | None]:
            try:
                number = phonenumbers.parse(phone, region)
            except phonenumbers.NumberParseException as error:
                return None, None, None, str(error)
            if not phonenumbers.is_valid_number(number):
                return None, None, None, "not valid"
            form: Any = phonenumbers.PhoneNumberFormat.E164
            return (
                phonenumbers.format_number(number, form),
                phonenumbers.region_code_for_number(number),
                types.get(phonenumbers.number_type(number)),
                None,
            )

        rows = pl.read_csv(source, infer_schema=False)
        found = [one(*cells) for cells in rows.select("phone", "country").iter_rows()]
        names = dict.fromkeys(("e164", "region", "number_type", "reason"), pl.String)
        result = pl.DataFrame(found, schema=names, orient="row")
        rows.select("customer_id").hstack(result).write_parquet(target)

    return normalise


def main() -> None:
    name, source, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    normalise = ours if name == OURS else library(name)
    passes = []
    # Linux counts a process's time from its start, so imports are in the first pass.
    began = time.monotonic() - _running_seconds()
    for _ in range(2):
        normalise(source, target)
        now = time.monotonic()
        passes.append(now - began)
        began = now
    print(json.dumps(passes))


def _running_seconds() -> float:
    """How long this process has existed."""
    import os  # noqa: PLC0415

    ticks = int(Path("/proc/self/stat").read_text("ascii").rsplit(")", 1)[1].split()[19])
    uptime = float(Path("/proc/uptime").read_text("ascii").split()[0])
    return uptime - ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
