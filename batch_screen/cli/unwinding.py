"""SIGTERM and SIGHUP for commands that save nothing: they leave, and clear up on their way out."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Never

from batch_screen.exit_codes import ExitCode

if TYPE_CHECKING:
    from types import FrameType


def unwind_on_signals() -> None:
    """SIGTERM and SIGHUP unwind, so that the scratch folder is removed; once is enough."""

    def leave(number: int, frame: FrameType | None) -> Never:
        del number, frame
        for each in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(ExitCode.TERMINATED)

    signal.signal(signal.SIGTERM, leave)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, leave)
