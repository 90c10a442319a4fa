"""What the command's exit code means and what to do next: each code once, for all of the package.

Those from 64 on are sysexits.h's; above ``SIGNAL_EXIT`` they say which signal ended the command, as
shells do.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self

SIGNAL_EXIT = 128


class ExitCode(IntEnum):
    """An exit code with its ``meaning`` and the ``next_step`` of whoever gets it."""

    meaning: str
    next_step: str

    COMPLETE = 0, "complete", "Load the results."
    BUG = 1, "a bug", "Please report it, with the line that was printed."
    USAGE = (
        2,
        "usage or configuration",
        "Mend the flag, the variable, or the line of the file that the message names.",
    )
    FAILURES = (
        3,
        "complete, with more failed lookups than guards.max_failure_share, or --fail-if crossed",
        "See the closing block and errors.csv; the results can be loaded, what failed as unknown.",
    )
    STOPPED = (
        4,
        "stopped on purpose (a budget, closing time, quota, a long Retry-After)",
        "Start the same command again to resume, after what the message says.",
    )
    CONTENT = (
        65,
        "the input's content cannot be used, or validate found a difference",
        "Mend the list as the message says; do not load a run that differs.",
    )
    NO_INPUT = (
        66,
        "an input cannot be opened, or a run or its folder cannot be found",
        "Check the path and who may read it.",
    )
    UNREACHABLE = (
        69,
        "the API is unreachable or no longer speaks the contract",
        "Once that is mended, start the same command again to resume.",
    )
    SYSTEM = (
        71,
        "the system gave out: no memory, no more open files",
        "Free some, then start the same command again to resume.",
    )
    CANNOT_WRITE = (
        73,
        "output or state cannot be written, or the state is damaged or foreign",
        "Mend what the message names, then start the same command again to resume.",
    )
    LOCKED = (
        75,
        "another run holds the state folder",
        "Wait for it to end, then start the same command again.",
    )
    KEY = (
        77,
        "the key is missing, was refused, or lacks an entitlement",
        "Mend the key or ask the vendor, then start the same command again to resume.",
    )
    INTERRUPTED = (
        130,
        "stopped by SIGINT (Ctrl-C)",
        "Start the same command again to resume.",
    )
    TERMINATED = (
        143,
        "stopped by SIGTERM or SIGHUP",
        "Start the same command again to resume.",
    )

    def __new__(cls, code: int, meaning: str, next_step: str) -> Self:
        """A code that carries its two texts."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        member.next_step = next_step
        return member


WHOLE = frozenset({ExitCode.COMPLETE, ExitCode.FAILURES})
"""The run's files are whole and can be loaded."""

ON_PURPOSE = frozenset({ExitCode.STOPPED, ExitCode.INTERRUPTED, ExitCode.TERMINATED})
"""Stopped at a bound, by the account, or by a signal."""

MAY_PASS = ON_PURPOSE | {
    ExitCode.UNREACHABLE,
    ExitCode.SYSTEM,
    ExitCode.CANNOT_WRITE,
    ExitCode.LOCKED,
}
"""A scheduler may start the same command again. After any other, somebody has to look first."""
