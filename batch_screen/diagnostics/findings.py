"""Findings of the doctor: one line for each thing looked at, with a remedy if it is not well."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from batch_screen.errors import BatchScreenError
from batch_screen.masking import safe_line

_CHARACTERS = 1_000


class Health(StrEnum):
    """How a thing is. A run can be started with warnings, and not with failures."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


class Finding(msgspec.Struct, frozen=True):
    """One thing: what was seen, what to do, and the code a run would exit with because of it."""

    name: str
    health: Health
    seen: str
    remedy: str = ""
    exit_code: int = 0


class Diagnosis(msgspec.Struct, frozen=True):
    """All that was looked at, in the order of looking."""

    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """That of the first failure; 0 where there is none."""
        codes = (f.exit_code for f in self.findings if f.health is Health.FAILED)
        return next(codes, 0)

    def count(self, health: Health) -> int:
        """How many findings are so."""
        return sum(finding.health is health for finding in self.findings)


def well(name: str, seen: str) -> Finding:
    """All is as it should be."""
    return Finding(name, Health.OK, _line(seen))


def warning(name: str, seen: str, remedy: str) -> Finding:
    """Something to fix when there is time."""
    return Finding(name, Health.WARNING, _line(seen), _line(remedy))


def failed(name: str, seen: str, remedy: str, exit_code: int) -> Finding:
    """What would stop a run."""
    return Finding(name, Health.FAILED, _line(seen), _line(remedy), exit_code)


def not_checked(names: Iterable[str], why: str) -> list[Finding]:
    """Nothing is known of these, and why."""
    return [Finding(name, Health.NOT_CHECKED, _line(why)) for name in names]


def of_error(name: str, error: BatchScreenError) -> Finding:
    """The error as a failure: its message says what is wrong, and then what to do."""
    seen, _, remedy = str(error).partition("; ")
    return failed(name, seen, remedy or "see the message", error.exit_code)


def _line(text: str) -> str:
    return safe_line(text, _CHARACTERS)
