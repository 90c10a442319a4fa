"""Output to streams that may be closed or full, or whose reader has gone.

What cannot be printed is no reason to end a run, whose results lie in files; where it is what was
asked for, ``lost_output`` says so for the exit code. All that is printed passes here, so no key
and nothing that steers a terminal gets out. Numbers are masked before, where foreign text enters
a message: here they look like figures.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import textwrap
from contextlib import suppress
from errno import EPIPE
from typing import TYPE_CHECKING, Any, Never

import click

from batch_screen.errors import ExitCode
from batch_screen.masking import hide_keys, mask_text, printable_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import FrameType


# Blocks of text fitted to a terminal: long lines go on below what they say it of.
#
# On a terminal only: in a pipe a line stays a line, and what is to be copied stays whole.

_LEAST_COLUMNS = 40
_HANG_WITHIN = 45
_GAPS = re.compile(r" \.{2,} |(?<=\S) {2,}(?=\S)")
_TO_COPY = re.compile(r"^ *(?:look|resume) \.|batch-screen [a-z]+ |/run_date=")


def fitted(text: str, columns: int) -> str:
    """The text wrapped to a width.

    >>> print(fitted("  rejected ... empty 70, too_short 5, too_long 15", 40))
      rejected ... empty 70, too_short 5,
                   too_long 15
    """
    width = max(_LEAST_COLUMNS, columns)
    return "\n".join(_fitted(line, width) for line in text.split("\n"))


def _fitted(line: str, width: int) -> str:
    if len(line) <= width or _TO_COPY.search(line):
        return line
    # It goes on where its last column begins; else a little further in than the line.
    ends = [gap.end() for gap in _GAPS.finditer(line) if gap.end() <= _HANG_WITHIN]
    hang = ends[-1] if ends else len(line) - len(line.lstrip()) + 2
    return textwrap.fill(
        line,
        width,
        subsequent_indent=" " * hang,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )


# A full disk, a reader that has gone away; ValueError: the stream is closed.
_UNPRINTABLE = (OSError, ValueError)
_lost: list[str] = []
_MODES = {"stdin": "r", "stdout": "w", "stderr": "w"}


def print_text(text: str, *, is_spare: bool = False) -> None:
    """Prints text on stdout, wrapped on a terminal; foreign text in it is masked already.

    ``is_spare``: nothing is lost where it cannot be printed, for files hold it.
    """
    shown, columns = printable_text(text), _terminal_columns()
    _print(shown if columns is None else fitted(shown, columns), is_spare=is_spare)


def print_lines(lines: Iterable[str]) -> None:
    """Prints lines as ``print_text`` does."""
    print_text("\n".join(lines))


def _terminal_columns() -> int | None:
    try:
        return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    except ValueError:  # stdout is closed
        return None


def print_json(value: Any, *, indent: int = 2) -> None:
    """Prints JSON on stdout; its texts were masked one by one, paths here."""
    import msgspec  # noqa: PLC0415 (a tenth of the start, and help prints no JSON)

    content = msgspec.json.encode(value, enc_hook=_path_text)
    print_raw(msgspec.json.format(content, indent=indent).decode())


def _path_text(path: Path) -> str:
    return mask_text(os.fsencode(path).decode(errors="backslashreplace"))


def print_raw(text: str) -> None:
    """Prints text on stdout unchanged, for copying or for programs."""
    _print(hide_keys(text))


def _print(text: str, *, is_spare: bool = False) -> None:
    try:
        click.echo(text)
        sys.stdout.flush()
    except _UNPRINTABLE as error:
        # A reader that has gone, as head does, has seen what it wanted.
        if isinstance(error, OSError) and error.errno != EPIPE and not is_spare:
            _lost.append(error.strerror or type(error).__name__)
        _silence("stdout")


def has_lost_output() -> bool:
    return bool(_lost)


def lost_output() -> str:
    """Why something that was to be printed on stdout is lost; empty if nothing is. Asked once."""
    lost = _lost[0] if _lost else ""
    _lost.clear()
    return lost


def print_stderr(text: str) -> None:
    """As ``print_text``, on stderr; a failed write is dropped, later ones are tried again."""
    with suppress(*_UNPRINTABLE):
        click.echo(printable_text(text), err=True)


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether to do what cannot be undone: asked for, unless ``yes`` says so already."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(
            "there is no terminal to ask on: look with --dry-run, then use --yes"
        )
    if click.confirm(question, err=True):
        return True
    print_stderr("nothing was removed")
    return False


class Stderr:
    """The current ``sys.stderr`` as a stream that never fails.

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
    """Opens standard streams that were closed at the start (``>&-``), in numerical order.

    The next file that is opened takes a free number: it must not be the journal that becomes
    stderr.
    """
    for name in _MODES:
        if getattr(sys, name) is None:
            _silence(name)


def settle() -> None:
    """Flushes for the last time; Python would turn a failed flush into exit code 120."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except _UNPRINTABLE:
            _silence(name)


def _silence(name: str) -> None:
    setattr(sys, name, open(os.devnull, _MODES[name]))  # noqa: PTH123, SIM115 (until the very end)


# SIGTERM and SIGHUP for commands that save nothing: they clear up and exit.


def unwind_on_signals() -> None:
    """Makes SIGTERM and SIGHUP unwind the stack, so that scratch files are removed; works once."""

    def leave(number: int, frame: FrameType | None) -> Never:
        del number, frame
        for each in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(ExitCode.TERMINATED)

    signal.signal(signal.SIGTERM, leave)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, leave)
