"""Announces a session's begin and end: pings, lineage, the summary file, the metrics file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from batch_screen.config.lineage import lineage_server
from batch_screen.config.sections import Mode
from batch_screen.config.settings import Settings
from batch_screen.errors import BatchScreenError, OutputError
from batch_screen.notify.closing import NOTHING_TO_RETRY, Closing, document
from batch_screen.notify.lineage import RunLineage
from batch_screen.notify.pings import Caller
from batch_screen.runs.layout import layout_of_run
from batch_screen.storage.atomic import FILE_MODE, GROUP_FILE_MODE, check_writable, write_atomically


def check_destinations(settings: Settings) -> None:
    """Raises ``OutputError`` if the summary or metrics file could not be written at the end."""
    for path in filter(None, (settings.output.summary_file, settings.metrics.file)):
        folder = Path(path).parent
        if not folder.is_dir():
            raise OutputError(f"cannot write {path}: there is no folder {folder}; make it first")
        if Path(path).is_dir():
            raise OutputError(f"cannot write {path}: it is a folder; name a file")
        if Path(path).exists() and not Path(path).is_file():
            raise OutputError(
                f"cannot write {path}: it is not a regular file; move it away, or name another"
            )
        check_writable(folder)


def announce_begin(settings: Settings) -> list[str]:
    """Sends the ping for the begin; returns warnings."""
    return tried("the start call", Caller(settings.pings, settings.api.ca_file).begun)


class Announced(NamedTuple):
    """Warnings, and whether the summary or metrics file could not be written."""

    warnings: list[str]
    lacks_file: bool


def announce_end(settings: Settings, closing: Closing) -> Announced:
    """Writes both files and sends the final pings; never raises.

    All say the exit code that the command ends with, which is no 0 where one of them lacks.
    """
    caller = Caller(settings.pings, settings.api.ca_file)

    def write_summary_file(closing: Closing) -> None:
        if settings.output.summary_file:
            mode = GROUP_FILE_MODE if settings.output.mode is Mode.GROUP else FILE_MODE
            write_atomically(Path(settings.output.summary_file), document(closing), mode=mode)

    def write_metrics_file(closing: Closing) -> None:
        # Figures and times are those of a run: a retry that finds nothing leaves them alone.
        if settings.metrics.file and closing.status != NOTHING_TO_RETRY:
            from batch_screen.notify.metrics import write_metrics  # noqa: PLC0415 (heavy)

            write_metrics(Path(settings.metrics.file), closing)

    unwritten = tried("the metrics file", lambda: write_metrics_file(closing))
    lacking = closing.lacking_output() if unwritten else closing
    if lost := tried("the summary file", lambda: write_summary_file(lacking)):
        lacking = closing.lacking_output()
        unwritten = lost + (unwritten or tried("", lambda: write_metrics_file(lacking)))
    calls = tried("the last calls", lambda: caller.ended(lacking))
    return Announced([*unwritten, *calls], bool(unwritten))


class Lineage:
    """The OpenLineage events of a start; never raises."""

    def __init__(self, command: str, settings: Settings, environment: Mapping[str, str]) -> None:
        caller = Caller(settings.pings, settings.api.ca_file)
        self._events = RunLineage(command, lineage_server(environment), caller)

    def begun(self, run_id: str, out: Path, state: Path, inputs: Sequence[str | Path]) -> list[str]:
        """Sends and keeps the begin of a start, whose run is known now; returns warnings."""
        layout, folder = layout_of_run(out, run_id), state / "runs" / run_id
        return tried("lineage", lambda: self._events.begin(layout, folder, inputs))

    def ended(self, closing: Closing, *, was_complete: bool) -> list[str]:
        """Sends and keeps its end; returns warnings."""
        return tried("lineage", lambda: self._events.end(closing, was_complete=was_complete))


def tried(what: str, announce: Callable[[], list[str] | None]) -> list[str]:
    """The warnings of a notification, or one that it failed; never raises."""
    try:
        return announce() or []
    except BatchScreenError as error:
        return [str(error)]
    except Exception as error:  # noqa: BLE001 (no memory, no thread: the run's own end counts)
        return [f"{what} failed: {type(error).__name__}; the run goes on"]
