"""The vendor moved a path and renamed a date without a new version; both must be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from batch_screen.config.sections import Dialect
from batch_screen.sandbox.run import SandboxThread

from .conftest import NUMBERS, Desk, assert_true

MOVED = '[api.paths]\n"call-forwarding/check" = "/call-forwarding/unconditional/check"\n'


@pytest.mark.parametrize(
    ("dialect", "options", "toml"),
    [
        (Dialect.PAGE, (), ""),
        (Dialect.LATER, ("--dialect", "2026-04"), ""),
        (Dialect.LATER, (), MOVED),
        (Dialect.LATER, (), '[api]\ndialect = "2026-04"\n'),
    ],
    ids=["page", "later", "overridden-path", "later-in-toml"],
)
def test_every_endpoint_is_found_and_read(
    sandbox: Callable[..., SandboxThread],
    tmp_path: Path,
    dialect: Dialect,
    options: tuple[str, ...],
    toml: str,
) -> None:
    server = sandbox(dialect=dialect)
    desk = Desk(tmp_path, server.url, NUMBERS[:30], toml, options)
    assert desk.run("--endpoints", "all").code == 0
    lookups = desk.latest.frame("lookups")
    assert set(lookups["outcome"]) == {"success"}
    assert_true(lookups, server.world)
    assert lookups["latest_change_at"].null_count() < lookups.height
    assert server.statistics()["by_status"] == {"200": 150}


def test_moved_path_is_named_as_the_likely_cause(
    sandbox: Callable[..., SandboxThread], tmp_path: Path
) -> None:
    server = sandbox(dialect=Dialect.LATER)
    desk = Desk(tmp_path, server.url, NUMBERS[:60])
    done = desk.run("--endpoints", "call-forwarding/check")
    assert done.code == 2
    assert "api.dialect = '2026-04'" in done.error
    assert not desk.out.joinpath("latest.json").exists()
    assert server.statistics()["requests"] <= 24 + 16
