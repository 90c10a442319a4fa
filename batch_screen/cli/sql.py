"""``batch-screen sql``: prints scripts that load runs."""

from __future__ import annotations

from typing import Any

import click

import batch_screen
from batch_screen.cli.console import print_json, print_raw, print_stderr


def sql(*, folder: str, ddl: bool, no_create: bool, as_json: bool, **given: Any) -> None:
    """Prints the scripts one after the other; what to know before is said on stderr."""
    if ddl and no_create:
        raise click.UsageError("--ddl prints what --no-create leaves out; use one of them")
    scripts = batch_screen.sql(folder, ddl=ddl, creates=not no_create, **given)
    if as_json:
        print_json(scripts)
        return
    print_raw("\n".join(script.sql for script in scripts).rstrip("\n"))
    for script in scripts:
        if script.note:
            print_stderr(script.note)
