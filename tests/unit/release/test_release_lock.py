from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release.lock import PACKAGE, lock, needed, pins

ROOT = Path(__file__).parents[3]
PINS = pins((ROOT / "requirements.txt").read_text("utf-8"))


def test_every_pin_has_a_version_and_a_hash() -> None:
    for name, block in PINS.items():
        first = block.splitlines()[0].rstrip("\\").strip()
        requirement = Requirement(first)
        assert canonicalize_name(requirement.name) == name
        assert re.fullmatch(r"==[\w.+]+", str(requirement.specifier)), first
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), first


def test_the_plain_lock_holds_what_the_package_names_and_nothing_of_the_tests() -> None:
    names = needed(PACKAGE, ())
    assert {"aiohttp", "polars", "multidict"} <= names
    assert names.isdisjoint({PACKAGE, "pytest", "duckdb", "hatchling", "ruff"})
    assert lock(names, PINS).count("==") == len(names)


def test_extras_add_what_they_need() -> None:
    assert {"duckdb", "pytz"} <= needed(PACKAGE, {"duckdb"})


def test_needs_are_followed_through_extras_markers_and_circles() -> None:
    world = {
        "a": ["b[x]>=1", "c; extra == 'more'", "never; python_version < '3'"],
        "b": ["D.E; extra == 'x'", "f; extra == 'y'"],
        "d-e": ["a", "a[more]"],
    }
    assert needed("a", (), world.get) == {"b", "c", "d-e"}


def test_what_is_not_pinned_is_an_error() -> None:
    with pytest.raises(KeyError, match="b"):
        lock({"a", "b"}, {"a": "a==1\n"})
