"""``batch-screen purge``: removes old runs, after showing them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import click
import msgspec

import batch_screen
from batch_screen.cli import log
from batch_screen.cli.console import confirmed, print_json, print_lines, print_text
from batch_screen.cli.text import labelled, size
from batch_screen.commands.purge import Purge, PurgeScope
from batch_screen.config.settings import Settings
from batch_screen.erasure.journal import pending
from batch_screen.job import Job
from batch_screen.reports.words import counted


def purge(
    *,
    settings: Settings,
    older_than: date,
    state_only: bool,
    outputs_only: bool,
    unfinished: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Prints what would be removed and, once confirmed, removes it."""
    if state_only and outputs_only:
        raise click.UsageError("--state-only and --outputs-only exclude each other; use one")
    del options  # they are among the settings
    scope = PurgeScope(
        Path(settings.output.folder) if settings.output.folder else None,
        Job((), settings).state,
        older_than,
        outputs=not state_only,
        states=not outputs_only,
        unfinished=unfinished,
        vault=Path(settings.privacy.id_vault) if settings.privacy.id_vault else None,
        bucket=settings.output.state_bucket,
        trusts_folders=settings.output.trust_folders,
    )
    found = batch_screen.purge(scope, dry_run=True)
    if scope.out and (line := pending(scope.out)):
        log.note(line)
    if not as_json:
        print_lines(_lines(found))
    question = f"Remove {_content(found)}?"
    is_removed = not found.is_empty and not dry_run and confirmed(question, yes=yes)
    if is_removed:
        found = batch_screen.purge(scope)
    if as_json:
        sums = {"removed": is_removed, "files": found.files, "bytes": found.bytes}
        facts = msgspec.structs.asdict(found)
        if not scope.bucket:
            del facts["in_bucket"]
        print_json({**sums, **facts})
    elif is_removed:
        print_text(f"removed {_content(found)}")


def _content(found: Purge) -> str:
    there = f", and the state of {counted(len(found.in_bucket), 'run')} in the bucket"
    here = f"{found.files:,} files of {counted(len(found.runs), 'run')}"
    return here + (there if found.in_bucket else "")


def _lines(found: Purge) -> Iterator[str]:
    runs = f"{counted(len(found.runs), 'run')} dated before {found.before}"
    yield f"purge: {runs}, {found.files:,} files, {size(found.bytes)}"
    yield ""
    for run in found.runs:
        yield (
            f"  {run.run_id}  {len(run.outputs):,} files of output, {len(run.state):,} of state, "
            f"{size(run.bytes)}"
        )
        if run.strangers:
            yield from labelled("stays", f"not batch-screen's: {', '.join(run.strangers)}")
    if found.in_bucket:
        yield from labelled("bucket", f"keeps the state of {', '.join(found.in_bucket)}")
    if found.leftovers:
        yield from labelled("leftovers", f"{found.leftovers:,} states of a purge that was killed")
    if found.unfinished:
        names = ", ".join(found.unfinished)
        yield from labelled("unfinished", f"left as they are, --unfinished takes them: {names}")
    if found.latest:
        yield from labelled("latest.json", f"will name run {found.latest}")
    elif found.latest is not None:
        yield from labelled("latest.json", "will be removed: no complete run is left")
