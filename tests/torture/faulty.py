"""What the shim in a command's process shall do, and what it did."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tests.e2e.conftest import Desk

SHIM = Path(__file__).with_name("shim")
FOREVER = 10**9


class Fault(msgspec.Struct, frozen=True):
    """The ``at``-th call of its kind in a place, and ``times`` - 1 after it, fail.

    ``call`` is open, write, fsync (of files and folders), rename, mkdir, unlink, or all that
    change something; ``place`` is state, output or any. ``short``: the first write that fails
    still writes half. Without an ``errno`` nothing fails, but every write writes half; with
    ``SIGKILL`` the process is killed before the call. ``name``: calls about paths of it alone.
    """

    call: str
    place: str
    at: int
    errno: str = "EIO"
    times: int = FOREVER
    short: bool = False
    name: str = ""

    def __str__(self) -> str:
        return f"{self.call} {self.at} in {self.place}: {self.errno}"


class Clock(msgspec.Struct, frozen=True):
    """The wall clock jumps by one of ``offsets`` (seconds) at every ``every``-th reading."""

    seed: int
    every: int
    offsets: list[float]


class FaultPlan(msgspec.Struct, frozen=True):
    """All that the shim reads. Empty paths: nothing is noted there."""

    roots: dict[str, str]
    faults: list[Fault] = []
    clock: Clock | None = None
    limits: dict[str, int] = {}
    ledger: str = ""
    graveyard: str = ""
    fired: str = ""
    census: str = ""


class Fired(NamedTuple):
    """A call that failed: ``at`` is the monotonic clock's instant."""

    call: str
    path: str
    at: float


class Faulty:
    """A desk whose command runs with a shim while ``installed``."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.folder = desk.folder / "shim"
        self.folder.mkdir()
        self.graveyard = self.folder / "graveyard"
        self.graveyard.mkdir()
        self.ledger = self.folder / "ledger"

    @contextmanager
    def installed(
        self,
        *faults: Fault,
        clock: Clock | None = None,
        limits: Mapping[str, int] | None = None,
        keeps_ledger: bool = False,
    ) -> Iterator[None]:
        """Every command that the desk starts meanwhile has the shim."""
        for name in ("fired", "census"):
            (self.folder / name).unlink(missing_ok=True)
        out = self._desk.out.resolve()
        plan = FaultPlan(
            roots={"output": str(out), "state": str(out / ".state")},
            faults=list(faults),
            clock=clock,
            limits=dict(limits or {}),
            ledger=str(self.ledger) if keeps_ledger else "",
            graveyard=str(self.graveyard),
            fired=str(self.folder / "fired"),
            census=str(self.folder / "census"),
        )
        path = self.folder / "plan.json"
        path.write_bytes(msgspec.json.encode(plan))
        self._desk.environment = {"PYTHONPATH": str(SHIM), "FAULT_PLAN": str(path)}
        try:
            yield
        finally:
            self._desk.environment = {}

    @property
    def fired(self) -> list[Fired]:
        """The calls that failed in the last command, in their order."""
        log = self.folder / "fired"
        lines = log.read_text("utf-8").splitlines() if log.exists() else []
        return [Fired(**json.loads(line)) for line in lines]

    @property
    def census(self) -> dict[str, Any]:
        """How often each call was made in each place by the last command ("fsync state")."""
        counts: dict[str, Any] = json.loads((self.folder / "census").read_bytes())
        return counts
