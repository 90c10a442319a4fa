"""``batch-screen lookup-id``: prints the ids of numbers from stdin."""

from __future__ import annotations

import sys
from typing import Any

from batch_screen.cli import log
from batch_screen.cli.console import print_json, print_raw
from batch_screen.commands.lookup_id import lookup_id as look_up
from batch_screen.config.settings import Settings
from batch_screen.errors import ExitCode


def lookup_id(*, settings: Settings, as_json: bool, **_: Any) -> int:
    """Prints an id for each line, an empty line where there is none; returns the exit code."""
    found = look_up(sys.stdin.buffer, settings)
    if as_json:
        print_json(found)
    else:
        print_raw("\n".join(each.number_id or "" for each in found))
    unread = [each for each in found if each.number_id is None]
    for each in unread[:_SHOWN] if not as_json else ():
        log.warning(f"line {each.line} is no number: {each.reason}")
    if len(unread) > _SHOWN and not as_json:
        log.warning(f"{len(unread) - _SHOWN:,} more lines are no number")
    return ExitCode.CONTENT if unread else ExitCode.COMPLETE


_SHOWN = 5
