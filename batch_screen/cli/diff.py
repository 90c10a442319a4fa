"""``batch-screen diff``: what changed from one complete run to another; sends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batch_screen.cli.console import show, show_json

if TYPE_CHECKING:
    from batch_screen.commands.diff import Diff

_HEARTBEAT_SECONDS = 30.0
_LABEL = 14


def _is_parquet(
    _context: click.Context, _option: click.Parameter, path: Path | None
) -> Path | None:
    if path is not None and path.suffix != ".parquet":
        raise click.BadParameter("must end in .parquet")
    return path


@click.command()
@click.argument("since", metavar="RUN")
@click.argument("run", metavar="RUN")
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Output folder of runs that are named by their ids.",
)
@click.option(
    "--write",
    metavar="FILE",
    type=click.Path(path_type=Path),
    callback=_is_parquet,
    help="Write all changes, with whole numbers, to this .parquet file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def diff(*, since: str, run: str, out: Path | None, write: Path | None, as_json: bool) -> None:
    """Show what changed from the first RUN to the second.

    RUN is a run's id in --out, a run's own folder, OUT/runs/RUN_ID, or an output folder, whose
    latest run is taken. That much changed is no failure: the exit code is 0.
    """
    import msgspec  # noqa: PLC0415

    from batch_screen.cli.console import unwind_on_signals  # noqa: PLC0415
    from batch_screen.cli.progress import watcher  # noqa: PLC0415
    from batch_screen.commands.diff import diff as diff_runs  # noqa: PLC0415 (heavy)
    from batch_screen.runs.events import RunEvents  # noqa: PLC0415

    unwind_on_signals()
    with watcher(_HEARTBEAT_SECONDS) as progress:
        found = diff_runs(since, run, out=out, write=write, watch=RunEvents(progress))
    if as_json:
        show_json(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        show("\n".join(_lines(found, write)))


def _lines(found: Diff, written: Path | None) -> Iterator[str]:
    from batch_screen.cli.diff_block import change_totals, cohort_words, counted_words  # noqa: PLC0415 (heavy)

    changes = found.changes
    yield f"run {found.run_id} since run {changes.since_run} of {changes.since_date}"
    yield ""
    numbers = f"{changes.numbers_compared:,} compared"
    apart = f"{changes.numbers_new:,} new and {changes.numbers_gone:,} gone"
    yield _line("numbers", f"{numbers}, {apart}")
    yield _line("changes", change_totals(changes))
    width = max(len(name) for name in changes.endpoints)
    for name, counts in changes.endpoints.items():
        yield f"    {name:{width}}  {counted_words(counts)}"
    if found.not_compared:
        yield _line("left out", f"{', '.join(found.not_compared)}: asked by one of the two only")
    if changes.cohorts:
        yield _line("likely", f"an operator's migration: {cohort_words(changes.cohorts)}")
    for change, examples in found.examples.items():
        shown = ", ".join(f"{each.e164_masked} {each.endpoint}" for each in examples)
        yield _line("such as", f"{change}: {shown}")
    if written is not None:
        yield _line("written", str(written))


def _line(label: str, text: str) -> str:
    return f"  {label + ' ':.<{_LABEL}} {text}"
