"""Tells all who want to know how a start goes, each in its own way, and nobody twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from batch_screen.config.settings import Settings
from batch_screen.errors import BatchScreenError, OutputError
from batch_screen.files import check_writable, write_whole
from batch_screen.notify.closing import Closing, document
from batch_screen.notify.pings import Caller


def check_told(settings: Settings) -> None:
    """Raises ``OutputError`` if a file for others could not be written in the end."""
    for path in filter(None, (settings.output.summary_file, settings.metrics.file)):
        folder = Path(path).parent
        if not folder.is_dir():
            raise OutputError(f"cannot write {path}: there is no folder {folder}; make it first")
        if Path(path).is_dir():
            raise OutputError(f"cannot write {path}: it is a folder; name a file")
        check_writable(folder)


def tell_begun(settings: Settings) -> list[str]:
    """Tells that a start begins; returns warnings."""
    return Caller(settings.pings, settings.api.ca_file).begun()


def tell_ended(settings: Settings, closing: Closing) -> list[str]:
    """Tells how the start ended; returns warnings, for none of this may change how it did."""
    return [
        *_files(settings, closing),
        *Caller(settings.pings, settings.api.ca_file).ended(closing),
    ]


def _files(settings: Settings, closing: Closing) -> Iterator[str]:
    try:
        if settings.output.summary_file:
            write_whole(Path(settings.output.summary_file), document(closing))
    except BatchScreenError as error:
        yield str(error)
    try:
        if settings.metrics.file:
            from batch_screen.notify.metrics import write_metrics  # noqa: PLC0415 (heavy)

            write_metrics(Path(settings.metrics.file), closing)
    except BatchScreenError as error:
        yield str(error)
