"""``batch-screen report``: writes the HTML report of a run from its files."""

from __future__ import annotations

import click
from msgspec.structs import replace

import batch_screen
from batch_screen.cli.console import print_json, print_text
from batch_screen.cli.progress import watcher
from batch_screen.masking import safe_text
from batch_screen.runs.events import RunEvents


def report(
    *, run: str, out: str | None, run_id: str | None, path: str | None, as_json: bool
) -> None:
    """Writes the report of a run, and prints its path and its headline."""
    if out and run_id:
        raise click.UsageError("--out and --run exclude each other; give one of them")
    folder, wanted = (out, run) if out else (run, run_id)
    with watcher() as progress:
        written = batch_screen.report(folder, wanted, path, RunEvents(progress))
    path = safe_text(written.path)
    if as_json:
        print_json(replace(written, path=path))
    else:
        print_text(f"run {written.run_id} · {written.verdict}\n{path}")
