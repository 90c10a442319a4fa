"""Findings of the doctor: one line for each check, with a remedy if it fails."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from batch_screen.errors import BatchScreenError
from batch_screen.masking import safe_line

_CHARACTERS = 1_000


class Health(StrEnum):
    """The result of a check. A run can start with warnings, not with failures."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


class Finding(msgspec.Struct, frozen=True):
    """One check: the observation, the remedy, and the exit code that a run would end with."""

    name: str
    health: Health
    seen: str
    remedy: str = ""
    exit_code: int = 0


class Diagnosis(msgspec.Struct, frozen=True):
    """All findings, in the order of checking."""

    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """The exit code of the first failure; 0 without one."""
        codes = (f.exit_code for f in self.findings if f.health is Health.FAILED)
        return next(codes, 0)

    def count(self, health: Health) -> int:
        """The number of findings with this health."""
        return sum(finding.health is health for finding in self.findings)


def passed(name: str, seen: str) -> Finding:
    """A finding without a problem."""
    return Finding(name, Health.OK, _line(seen))


def warning(name: str, seen: str, remedy: str) -> Finding:
    """A problem that does not stop a run."""
    return Finding(name, Health.WARNING, _line(seen), _line(remedy))


def failed(name: str, seen: str, remedy: str, exit_code: int) -> Finding:
    """A problem that would stop a run."""
    return Finding(name, Health.FAILED, _line(seen), _line(remedy), exit_code)


def not_checked(names: Iterable[str], why: str) -> list[Finding]:
    """Checks that were left out, and why."""
    return [Finding(name, Health.NOT_CHECKED, _line(why)) for name in names]


def of_error(name: str, error: BatchScreenError) -> Finding:
    """An error as a failed check: its message, split into observation and remedy."""
    seen, _, remedy = str(error).partition("; ")
    return failed(name, seen, remedy or "see the message", error.exit_code)


def _line(text: str) -> str:
    return safe_line(text, _CHARACTERS)
