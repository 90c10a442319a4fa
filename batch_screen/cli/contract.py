"""``batch-screen contract``: prints a data contract."""

from __future__ import annotations

import batch_screen
from batch_screen.cli.console import print_json, print_raw
from batch_screen.commands.contract import as_yaml


def contract(*, folder: str | None, server: str | None, schema: str, as_json: bool) -> None:
    """Prints the contract as YAML, or as JSON, which the tools read as well."""
    made = batch_screen.contract(folder, server, schema=schema)
    if as_json:
        print_json(made)
    else:
        print_raw(as_yaml(made).rstrip("\n"))
