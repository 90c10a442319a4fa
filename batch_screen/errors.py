"""Exceptions that stop a run, in one tree, and the exit codes of the command.

    BatchScreenError            1   a bug, if it is ever raised itself
    ├── ConfigurationError      2   a flag, a setting or the configuration file
    ├── InputError             65   the input's content (66: it cannot be opened)
    ├── OutputError            73   the output or state folder cannot be written
    ├── JournalError           73   the state is damaged or belongs to something else
    ├── RunLockedError         75   another run holds the state folder
    ├── WarehouseError         73   a warehouse; the exit code says what is the matter with it
    ├── ApiError               69   the API is unreachable or no longer speaks the contract
    │   ├── AuthenticationError 77  the key is missing or refused
    │   └── QuotaError          4   the account is empty; resumable
    └── Stopped                 4   stopped on purpose and resumable (130, 143: by a signal)

A failed row or lookup is never an exception: see ``model.OutcomeKind`` and
``numbers.rules.RejectReason``. A message says what, where, why and what to do next, and
never holds a whole phone number or the key.
"""

from __future__ import annotations

import os
from enum import IntEnum
from errno import EDQUOT, EFBIG, ENOSPC, EROFS
from typing import ClassVar, Self

SIGNAL_EXIT = 128
"""Plus the signal's number: the exit code of a command that a signal ended, as in shells."""


class ExitCode(IntEnum):
    """The command's exit codes, each with its meaning and next step; 64–78 as in sysexits.h."""

    meaning: str
    next_step: str

    COMPLETE = 0, "complete", "Load the results."
    BUG = 1, "a bug", "Please report it, with the line that was printed."
    USAGE = (
        2,
        "usage or configuration",
        "Fix the flag, the variable, or the line of the file that the message names.",
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
        "the input or a database's tables cannot be used, or validate found a difference",
        "Fix the list or the tables as the message says; do not load a run that differs.",
    )
    NO_INPUT = (
        66,
        "an input cannot be opened, or a run or its folder cannot be found",
        "Check the path and who may read it.",
    )
    UNREACHABLE = (
        69,
        "the API, a bucket or a database is unreachable, or the API no longer speaks the contract",
        "Once that is fixed, start the same command again to resume.",
    )
    SYSTEM = (
        71,
        "a system resource ran out: no memory, no more open files",
        "Free some, then start the same command again to resume.",
    )
    CANNOT_WRITE = (
        73,
        "output, state or a database cannot be written, or the state is damaged or foreign",
        "Fix what the message names, then start the same command again to resume.",
    )
    LOCKED = (
        75,
        "another run holds the state folder, or others hold a database's tables or file",
        "Wait for it to end, then start the same command again.",
    )
    KEY = (
        77,
        "the key is missing, was refused, or lacks an entitlement; or a database refused the login",
        "Fix the key or the login, or ask the vendor, then start the same command again to resume.",
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
        """An integer member with two texts."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        member.next_step = next_step
        return member


WHOLE = frozenset({ExitCode.COMPLETE, ExitCode.FAILURES})
"""The run is complete: its files can be loaded."""

ON_PURPOSE = frozenset({ExitCode.STOPPED, ExitCode.INTERRUPTED, ExitCode.TERMINATED})
"""The run was stopped on purpose: at a bound, by the account, or by a signal."""

MAY_PASS = ON_PURPOSE | {
    ExitCode.UNREACHABLE,
    ExitCode.SYSTEM,
    ExitCode.CANNOT_WRITE,
    ExitCode.LOCKED,
}
"""A scheduler may start the same command again; any other code needs a person first."""

# Python's and polars' words for a thread that could not be started.
_GAVE_OUT = ("can't start new thread", "Resource temporarily unavailable")


class BatchScreenError(Exception):
    """Root of everything this package raises on purpose."""

    exit_code: int = ExitCode.BUG
    default_exit_code: ClassVar[int] = ExitCode.BUG

    def __init__(
        self, message: str, *, exit_code: int | None = None, endpoints: tuple[str, ...] = ()
    ) -> None:
        """``endpoints``: the failed ones, where the answers of the others are complete."""
        super().__init__(message)
        self.exit_code = type(self).default_exit_code if exit_code is None else exit_code
        self.endpoints = endpoints


def exit_code_of(error: BaseException) -> int:
    """The exit code of a command that this error ends.

    An unforeseen error is a bug (1), unless the system lacked memory or the like (71).

    >>> [int(exit_code_of(error)) for error in (InputError("no rows"), MemoryError(), KeyError())]
    [65, 71, 1]
    """
    if isinstance(error, BatchScreenError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    if isinstance(error, UnicodeEncodeError):  # of a path; cells of lists were decoded
        return ConfigurationError.default_exit_code
    if isinstance(error, PermissionError) or is_full(error):
        return OutputError.default_exit_code
    is_system = isinstance(error, (OSError, MemoryError, ImportError))
    gave_out = any(words in str(each) for each in error.args for words in _GAVE_OUT)
    return ExitCode.SYSTEM if is_system or gave_out else ExitCode.BUG


def is_full(error: BaseException) -> bool:
    """Whether the system says that nothing more can be written there."""
    return isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT, EFBIG, EROFS)


def has_working_folder() -> bool:
    """Whether the folder that the command was started in is still there."""
    try:
        return bool(os.getcwd())  # noqa: PTH109 (as light as it is)
    except FileNotFoundError:
        return False


class ConfigurationError(BatchScreenError):
    """A flag, an environment variable or the configuration file is wrong."""

    default_exit_code = ExitCode.USAGE


class InputError(BatchScreenError):
    """An input cannot be opened (exit code 66) or its content cannot be used (65)."""

    default_exit_code = ExitCode.CONTENT
    is_empty = False


def empty_input(message: str) -> InputError:
    """An ``InputError`` about a file without a row, which is skipped where others have some."""
    error = InputError(message)
    error.is_empty = True
    return error


def no_input(message: str) -> InputError:
    """An ``InputError`` about a file, folder or run that cannot be found or opened."""
    return InputError(message, exit_code=ExitCode.NO_INPUT)


class OutputError(BatchScreenError):
    """The output or state folder cannot be written."""

    default_exit_code = ExitCode.CANNOT_WRITE


def no_working_folder() -> OutputError:
    """The error where ``has_working_folder`` does not hold."""
    return OutputError(
        "the working folder was removed or replaced, so no relative path leads anywhere; cd to a "
        'folder that is there (cd "$PWD", if it is there again), then start the same command again'
    )


class JournalError(BatchScreenError):
    """The saved state is damaged, foreign or from a newer version; it is left untouched."""

    default_exit_code = ExitCode.CANNOT_WRITE


class RunLockedError(BatchScreenError):
    """Another process holds the state folder."""

    default_exit_code = ExitCode.LOCKED


class WarehouseError(BatchScreenError):
    """A warehouse cannot be reached, refuses, or holds something else: see its exit code.

    What databases say may quote a cell, so it never gets here: only codes and names do.
    """

    default_exit_code = ExitCode.CANNOT_WRITE


class ApiError(BatchScreenError):
    """The API is unreachable or does not speak the contract."""

    default_exit_code = ExitCode.UNREACHABLE


class AuthenticationError(ApiError):
    """The API key is missing or was refused, or it lacks an entitlement."""

    default_exit_code = ExitCode.KEY


class QuotaError(ApiError):
    """The account's quota or balance is used up; the run can be resumed."""

    default_exit_code = ExitCode.STOPPED


class Stopped(BatchScreenError):  # noqa: N818 (a stop on purpose is no error)
    """The run was stopped on purpose before its end; it can be resumed."""

    default_exit_code = ExitCode.STOPPED
