"""What a validation found: its checks by name, and the differences each of them came across."""

from __future__ import annotations

import msgspec


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as it should be, and the file or folder it was seen in."""

    where: str
    what: str


class Check(msgspec.Struct, frozen=True):
    """One claim about a run, held against ``examined`` things.

    ``unchecked`` says why the claim could not be held against all of them; empty if it could.
    """

    name: str
    claim: str
    examined: int
    differences: tuple[Difference, ...] = ()
    remedy: str = ""
    unchecked: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether everything was examined and nothing differs."""
        return not self.differences and not self.unchecked


class Validation(msgspec.Struct, frozen=True):
    """One run, re-read: every check in the order it was made."""

    run_id: str
    folder: str
    checks: tuple[Check, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every check was made and none found a difference."""
        return all(check.is_ok for check in self.checks)

    @property
    def differences(self) -> int:
        return sum(len(check.differences) for check in self.checks)
