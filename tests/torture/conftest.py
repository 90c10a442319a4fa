"""Sizes of the scenarios, the list they screen, and the table of what they came to.

``pytest`` runs small those kinds of disturbance that no other test shows: kills, a power cut, a
full disk, little memory, pauses, a server that goes away; with TESTS_IN_FULL=1 all are run small,
``pytest -m torture`` the full size. TORTURE_SEEDS (1,2,3) and TORTURE_KILLS (34, for each seed)
change the latter.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.conftest import NUMBERS, Desk, new_sandbox
from tests.postgres_server import postgres_server
from tests.thoroughness import in_full

from .figures import Figures, table

ENDPOINTS = ("--endpoints", "sim-swap/retrieve-date,call-forwarding/check")
CELLS = [*NUMBERS[:990], "n/a", *NUMBERS[:40], "=1+1", *NUMBERS[1000:1990]]
FEW_CELLS = [*NUMBERS[:180], "n/a", *NUMBERS[:20], *NUMBERS[1000:1020]]
FEW_LOOKUPS = 2 * 200
SEVERAL_SHARDS = "[output]\nshard_lookups = 1000\n"

_LEDGER = pytest.StashKey[list[Figures]]()


class Size(NamedTuple):
    """How large a scenario is: which random choices, how many kills, how many lookups."""

    seed: int
    kills: int
    is_full: bool

    @property
    def cells(self) -> list[str]:
        return CELLS if self.is_full else FEW_CELLS


QUICK = Size(seed=1, kills=6, is_full=False)


def full_sizes() -> list[Size]:
    """One for each seed."""
    kills = int(os.environ.get("TORTURE_KILLS", "34"))
    seeds = os.environ.get("TORTURE_SEEDS", "1,2,3").split(",")
    return [Size(int(seed), kills, is_full=True) for seed in seeds]


def sized(
    name: str, quick: Sequence[Any], full: Sequence[Any], *, more: Sequence[Any] = ()
) -> pytest.MarkDecorator:
    """Parametrises a scenario by ``name`` and ``size``: some variants quick, others in full.

    ``more`` are quick ones that the full run alone takes besides.
    """
    small = [pytest.param(each, QUICK, id=f"{each}-quick") for each in quick]
    small += [pytest.param(each, QUICK, id=f"{each}-quick", marks=in_full) for each in more]
    large = [
        pytest.param(each, size, id=f"{each}-seed-{size.seed}", marks=pytest.mark.torture)
        for each in full
        for size in full_sizes()
    ]
    return pytest.mark.parametrize((name, "size"), [*small, *large])


_FULL = [
    pytest.param(size, id=f"seed-{size.seed}", marks=pytest.mark.torture) for size in full_sizes()
]


sized_in_full = pytest.mark.parametrize(
    "size", [pytest.param(QUICK, id="quick", marks=in_full), *_FULL]
)
"""For a scenario that the default run leaves out, for another of its tests shows the same."""


@pytest.fixture(params=[pytest.param(QUICK, id="quick"), *_FULL])
def size(request: pytest.FixtureRequest) -> Size:
    chosen: Size = request.param
    return chosen


@pytest.fixture(autouse=True)
def lax_umask() -> Iterator[None]:
    """Nothing that the command makes may owe its mode to a umask."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def no_nohup() -> Iterator[None]:
    """A command that inherits a deaf ear for SIGHUP keeps it, on purpose."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """Where a PostgreSQL server of the tests' own listens."""
    with postgres_server() as server:
        yield server["PGHOST"]


@pytest.fixture
def settle(request: pytest.FixtureRequest) -> Callable[[Figures], None]:
    """Puts figures into the table at the end, and fails the test if they miss a target."""

    def settle(figures: Figures) -> None:
        request.config.stash.setdefault(_LEDGER, []).append(figures)
        assert not figures.misses, "\n".join([*figures.misses, *figures.examples])

    return settle


class Undisturbed:
    """What runs that nobody disturbs leave behind, one for each list and configuration."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[tuple[Any, ...], dict[str, Any]] = {}

    def __call__(self, desk: Desk) -> dict[str, Any]:
        # The rate, which stands behind the endpoints, changes no answer.
        key = (len(desk.cells), desk.toml, desk.options[: len(ENDPOINTS)])
        if key not in self._known:
            with new_sandbox() as server:
                again = Desk(
                    self._folder / str(len(self._known)),
                    server.url,
                    desk.cells,
                    desk.toml,
                    desk.options,
                )
                done = again.run("--rate", "5000")
                assert done.code == 0, done.err
                self._known[key] = again.latest.content
        return self._known[key]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(tmp_path_factory.mktemp("undisturbed"))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if ledger := config.stash.get(_LEDGER, []):
        terminalreporter.section("torture")
        terminalreporter.write_line(table(ledger))
