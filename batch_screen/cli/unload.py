"""``batch-screen unload``: takes runs out of a warehouse, after showing them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import partial

import click
from msgspec.structs import asdict

import batch_screen
from batch_screen.cli.console import (
    confirmed,
    print_json,
    print_lines,
    print_text,
    unwind_on_signals,
)
from batch_screen.cli.text import labelled
from batch_screen.commands.unload import UnloadReport
from batch_screen.errors import InputError
from batch_screen.reports.words import counted


def unload(
    *,
    to: str,
    run_ids: tuple[str, ...],
    older_than: date | None,
    gone: tuple[str, ...],
    schema: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Prints which runs would be taken out and, once confirmed, takes them out."""
    if not (run_ids or gone or older_than is not None):
        raise click.UsageError("say which runs: --run, --older-than or --gone")
    unwind_on_signals()
    chosen = partial(
        batch_screen.unload, to, run_ids=run_ids, before=older_than, gone=gone, schema=schema
    )
    found = chosen(dry_run=True)
    if not as_json:
        print_lines(_lines(found))
    question = f"Delete {_content(found)} from {found.target}?"
    if any(found.rows.values()) and not dry_run and confirmed(question, yes=yes):
        found = chosen()
        if not as_json:
            print_text(f"deleted {_content(found)}")
    if as_json:
        print_json(asdict(found))
    if found.differing:
        raise InputError(
            f"run {found.differing[0]} was purged with another manifest than it was loaded with: "
            f"{found.target} may have it from another folder, or from before it was written anew; "
            f"take it out with --run {' --run '.join(found.differing)}"
        )


def _content(found: UnloadReport) -> str:
    rows = sum(found.rows.values())
    return f"{counted(len(found.runs), 'run')} with {counted(rows, 'row')}"


def _lines(found: UnloadReport) -> Iterator[str]:
    yield f"unload: {_content(found)} in {found.target}, schema {found.schema}"
    yield from (f"  {run_id}" for run_id in found.runs)
    if rows := ", ".join(f"{table} {count:,}" for table, count in found.rows.items() if count):
        yield from labelled("rows", rows)
    if found.missing:
        yield from labelled("not there", ", ".join(found.missing))
    if found.differing:
        yield from labelled("differing", ", ".join(found.differing))
