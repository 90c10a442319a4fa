"""``batch-screen upload``: sends a complete run to a bucket."""

from __future__ import annotations

from collections.abc import Iterator

import batch_screen
from batch_screen.cli.console import print_json, print_lines, unwind_on_signals
from batch_screen.cli.progress import watcher
from batch_screen.cli.text import size
from batch_screen.commands.upload import UploadResult
from batch_screen.runs.events import RunEvents


def upload(*, run: str, run_id: str | None, to: str, as_json: bool) -> None:
    """Uploads the run, and prints what was sent and where."""
    unwind_on_signals()
    with watcher() as progress:
        sent = batch_screen.upload(run, to, run_id, RunEvents(progress))
    if as_json:
        print_json(sent)
    else:
        print_lines(_lines(sent))


def _lines(sent: UploadResult) -> Iterator[str]:
    there = sent.objects - sent.sent
    counts = f"{sent.sent:,} sent and read back, {there:,} there before"
    yield f"run {sent.run_id} · {sent.objects:,} objects, {size(sent.bytes)}: {counts}"
    if sent.removed:
        yield f"{sent.removed:,} parts of an earlier version of this run were removed"
    what = "ids in the place of numbers" if sent.id_key else "whole numbers"
    yield (
        f"{sent.to} holds {what} now: who may read them is for the bucket to say, and "
        "purge does not reach there"
    )
    yield f"to check: batch-screen validate {sent.to} --run {sent.run_id}"
