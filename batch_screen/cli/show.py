"""Prints on streams that may be closed, full, or have lost their reader.

What cannot be printed is no reason to end a run, whose results lie in files. All that is
printed passes here, so no number, no key and nothing that steers a terminal gets out.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from typing import Any

import click

from batch_screen.cli.fitting import fitted
from batch_screen.masking import hide_keys, safe_text

# A full disk, a reader that has gone away; ValueError: the stream is closed.
_UNPRINTABLE = (OSError, ValueError)
_MODES = {"stdin": "r", "stdout": "w", "stderr": "w"}


def show(text: str) -> None:
    """Prints on stdout what the command was started for, masked, and fitted to a terminal.

    What a program reads, whose figures have no separators, is masked where it is made.
    """
    masked, columns = safe_text(text), _terminal_columns()
    _print(masked if columns is None else fitted(masked, columns))


def _terminal_columns() -> int | None:
    try:
        return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    except ValueError:  # stdout is closed
        return None


def show_json(text: str) -> None:
    """Prints on stdout what a program reads and whose texts were masked one by one."""
    _print(hide_keys(text))


def _print(text: str) -> None:
    try:
        click.echo(text)
        sys.stdout.flush()
    except _UNPRINTABLE:
        _silence("stdout")


def tell(text: str) -> None:
    """Prints on stderr, masked; what does not get through now may get through later."""
    with suppress(*_UNPRINTABLE):
        click.echo(safe_text(text), err=True)


def tell_json(line: str) -> None:
    """Prints on stderr what a program reads and whose texts were masked one by one."""
    with suppress(*_UNPRINTABLE):
        click.echo(hide_keys(line), err=True)


class Stderr:
    """Whatever ``sys.stderr`` is at the moment, as a stream that never fails.

    A bar steers the cursor, so its characters are left as they are.
    """

    def write(self, text: str) -> int:
        with suppress(*_UNPRINTABLE):
            sys.stderr.write(hide_keys(text))
        return len(text)

    def flush(self) -> None:
        with suppress(*_UNPRINTABLE):
            sys.stderr.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


def open_missing() -> None:
    """Opens streams the command was started without (``>&-``), in the order of their numbers.

    The next file that is opened takes a free number: it must not be the journal that becomes
    stderr.
    """
    for name in _MODES:
        if getattr(sys, name) is None:
            _silence(name)


def settle() -> None:
    """Flushes for the last time; Python would turn what cannot be flushed into exit code 120."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except _UNPRINTABLE:
            _silence(name)


def _silence(name: str) -> None:
    setattr(sys, name, open(os.devnull, _MODES[name]))  # noqa: PTH123, SIM115 (until the very end)
