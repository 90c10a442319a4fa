"""The end of a session as one JSON document, with the duration of its stages.

The document is for a file, stdout and a webhook.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from batch_screen import __version__
from batch_screen.errors import ExitCode
from batch_screen.input.files import as_text
from batch_screen.masking import mask_texts
from batch_screen.runs.events import Progress, Silent
from batch_screen.runs.layout import DATA_FOLDERS, Layout
from batch_screen.tables.summary import Ending, Summary

FAILED, NOTHING_TO_RETRY = "failed", "nothing_to_retry"


class StageTimes:
    """A ``Progress`` that times each stage and passes events on."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._passed_to: Progress = Silent()
        self._stage = ""
        self._began = clock()
        self._seconds: dict[str, float] = {}

    def pass_to(self, progress: Progress) -> StageTimes:
        """Passes events to this receiver, too, from now on."""
        self._passed_to = progress
        return self

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by stage so far, including the current one."""
        self._add()
        return dict(self._seconds)

    def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
        self._add()
        self._stage = name.replace(" ", "_")
        self._passed_to.stage(name, total=total, done=done)

    def advance(self, count: int) -> None:
        self._passed_to.advance(count)

    def note(self, message: str) -> None:
        self._passed_to.note(message)

    def close(self) -> None:
        self._passed_to.close()

    def _add(self) -> None:
        now = self._clock()
        if self._stage:
            self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + now - self._began
        self._began = now


class Closing(msgspec.Struct, frozen=True):
    """The end of a session. ``summary`` and ``layout`` are set if figures could be counted.

    ``stopped`` is the cause where it did not come to its end; ``stage_seconds`` how long each
    stage took that had begun.
    """

    started_at: datetime
    ended_at: datetime
    exit_code: int
    stage_seconds: dict[str, float]
    run_id: str = ""
    run_date: str = ""
    stopped: Ending | None = None
    summary: Summary | None = None
    layout: Layout | None = None

    @property
    def status(self) -> str:
        """That of the run; without one the start has failed, or there was nothing to retry."""
        if self.summary:
            return self.summary.status
        return FAILED if self.stopped else NOTHING_TO_RETRY

    def lacking_output(self) -> Closing:
        """The same where something that is waited for could not be written or printed."""
        code = self.exit_code or ExitCode.CANNOT_WRITE
        return msgspec.structs.replace(self, exit_code=code)


def document(closing: Closing) -> bytes:
    """The summary and the files, or the facts known without a summary, as masked JSON."""
    end: dict[str, Any] = {
        "ended_at": closing.ended_at,
        "stage_seconds": {name: round(took, 3) for name, took in closing.stage_seconds.items()},
    }
    if closing.summary and closing.layout:
        layout, root = closing.layout, Path(closing.layout.folder)
        reports = (*layout.reports, layout.manifest, layout.marker)
        paths = [path for table in DATA_FOLDERS for path in layout.parts(table)]
        paths += [path for path in reports if path.exists()]
        content = {
            **msgspec.to_builtins(closing.summary),
            "exit_code": closing.exit_code,
            **end,
            "folder": as_text(root.absolute()),
            "files": [str(path.relative_to(root)) for path in paths],
        }
    else:
        content = {
            "run_id": closing.run_id,
            "run_date": closing.run_date,
            "version": __version__,
            "status": closing.status,
            "stopped": msgspec.to_builtins(closing.stopped),
            "exit_code": closing.exit_code,
            "started_at": closing.started_at,
            **end,
        }
    masked = mask_texts(content)
    if "thresholds" in content:  # what looks like a number in "rows < 2000000" is a figure
        masked["thresholds"] = content["thresholds"]
    return msgspec.json.format(msgspec.json.encode(masked)) + b"\n"
