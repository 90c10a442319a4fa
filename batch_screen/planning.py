"""Read → normalise → plan: from files of raw numbers to a plan folder."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa

from batch_screen.config.settings import Settings
from batch_screen.errors import InputError
from batch_screen.masking import plain
from batch_screen.model import Plan
from batch_screen.numbers.frame import normalise_frame
from batch_screen.numbers.normalise import Normaliser, metadata_version
from batch_screen.numbers.rules import REMEDY, RejectReason
from batch_screen.plan import make_plan
from batch_screen.reading.inputs import Stdin, refuse_changed, spool
from batch_screen.reading.read import Table, open_table
from batch_screen.watch import Watch


class Source(NamedTuple):
    """An input file, and what to call it if not by its own name."""

    path: Path
    name: str | None = None


@contextmanager
def on_disk(sources: list[Path | Stdin], folder: Path, watch: Watch) -> Iterator[list[Source]]:
    """The sources as files; stdin can be read only once, so it is spooled meanwhile."""
    spooled: dict[Stdin, Path] = {}
    try:
        for source in sources:
            if isinstance(source, Stdin):
                with watch.stop.interrupting():
                    spooled[source] = spool(sys.stdin.buffer, folder)
        yield [Source(spooled[s], s.name) if isinstance(s, Stdin) else Source(s) for s in sources]
    finally:
        for path in spooled.values():
            with suppress(OSError):  # the next start clears it; what ended this one is told
                path.unlink()


def full_paths(files: list[Source]) -> list[str]:
    """What tells a file that has changed from another one."""
    return [file.name or str(file.path.resolve()) for file in files]


def plan_inputs(
    sources: Sequence[Source],
    settings: Settings,
    folder: Path,
    watch: Watch,
    digests: Sequence[str] = (),
) -> Plan:
    """Writes the plan of the sources into ``folder``.

    Raises ``InputError`` where nothing can be read, no row holds a usable number, or a source
    no longer has the content of its digest at the end, if there are ``digests``. Raises
    ``Stopped`` between two batches if the watcher wants that.
    """
    table, normaliser = opened(sources, settings)
    plan = make_plan(
        (judged(batch, normaliser) for batch in _unchanged(table, sources, digests)),
        folder,
        shard_rows=max(1, settings.output.shard_lookups // len(settings.screening.endpoints)),
        facts={"phone_column": table.phone_column, "number_metadata": metadata_version()},
        on_rows=watch.advance,
    )
    pa.default_memory_pool().release_unused()  # 70 MiB after a million rows
    if plan.accepted == 0:
        shutil.rmtree(folder)
        raise InputError(_nothing_usable(plan))
    return plan


def opened(sources: Sequence[Source], settings: Settings) -> tuple[Table, Normaliser]:
    """The sources as one table, and who judges the cells of its phone column."""
    named = any(source.name for source in sources)
    names = [source.name or source.path.name for source in sources] if named else None
    table = open_table([source.path for source in sources], settings.input, names)
    return table, Normaliser(settings.numbers, settings.input.default_region, table.column_kind)


def _unchanged(
    table: Table, sources: Sequence[Source], digests: Sequence[str]
) -> Iterator[pl.DataFrame]:
    """The table's rows; ends with an error, and so with no plan, if a file changed meanwhile."""
    yield from table.batches()
    for source, expected in zip(sources, digests, strict=bool(digests)):
        refuse_changed(source.path, expected)


def judged(batch: pl.DataFrame, normaliser: Normaliser) -> pl.DataFrame:
    """The batch with its numbers judged; a row whose cells may be shifted is turned down."""
    numbers = normalise_frame(batch, normaliser)
    if not batch["ragged"].any():
        return numbers
    is_whole = ~pl.col("ragged")
    answers = ["e164", "region", "number_type", "rule", "reject_detail"]
    return numbers.with_columns(
        *(pl.when(is_whole).then(pl.col(name)) for name in answers),
        reject_reason=pl.when(is_whole)
        .then(pl.col("reject_reason"))
        .otherwise(pl.lit(RejectReason.RAGGED_ROW.value)),
    )


def _nothing_usable(plan: Plan) -> str:
    if not plan.rejected:
        return "the input holds no rows"
    counts = ", ".join(f"{reason} {rows}" for reason, rows in list(plan.rejected.items())[:3])
    main = RejectReason(next(iter(plan.rejected)))
    return (
        f"none of the {plan.rows} rows holds a usable number in column "
        f"'{plain(plan.facts['phone_column'], 60)}' ({counts}); {REMEDY[main]}"
    )
