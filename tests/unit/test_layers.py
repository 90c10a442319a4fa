"""The house has floors: imports go down, never up, in no circle; rooms of a floor stay apart."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "batch_screen"

# The top comes first. A room is a file or a folder of the package.
FLOORS = (
    {"__main__"},
    {"cli"},
    {"commands"},
    {"engine", "job", "verify"},
    {"comparison", "diagnostics", "notify", "planning", "profile", "reports", "sandbox"},
    {"tables"},
    {"api", "input", "journal", "numbers", "runs"},
    {"config", "schema", "storage"},
    {"errors", "masking", "model"},
)
FLOOR_OF = {room: height for height, rooms in enumerate(reversed(FLOORS)) for room in rooms}

# A library that only these rooms may import.
HOMES = {
    "aiohttp": {"api", "sandbox"},
    "aiolimiter": {"engine"},
    "click": {"cli"},
    "tqdm": {"cli"},
    "phonenumbers": {"numbers"},
    "pydantic": {"config", "job"},
    "pydantic_settings": {"config"},
    "tomllib": {"config"},
    "filelock": {"storage"},
    "jinja2": {"reports"},
    "http": {"api", "notify"},
    "prometheus_client": {"notify"},
    "urllib.request": set(),
    "asyncio": {"api", "engine", "sandbox", "diagnostics"},
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


SOURCES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in SOURCES} == set(FLOOR_OF)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    room = room_of(path)
    for module in imported_modules(path):
        parts = module.split(".")
        if parts[0] != "batch_screen" or len(parts) == 1 or parts[1] == room:
            continue
        assert FLOOR_OF[parts[1]] < FLOOR_OF[room], f"{room} imports {module}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    imports = {module_of(path): imported_modules(path) for path in SOURCES}
    graph = {module: found & imports.keys() - {module} for module, found in imports.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_libraries_stay_at_home(path: Path) -> None:
    for module in imported_modules(path):
        homes = HOMES.get(module.split(".")[0])
        assert homes is None or room_of(path) in homes, f"{room_of(path)} imports {module}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_command_line_prints(path: Path) -> None:
    calls = [
        n.func for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)
    ]
    assert not [f for f in calls if isinstance(f, ast.Name) and f.id == "print"]


def test_only_masked_loggers_are_used() -> None:
    """A record of ours is masked whoever handles it; the masking room alone makes loggers."""
    for path in SOURCES:
        if room_of(path) not in ("masking", "cli"):
            assert "logging" not in imported_modules(path), path
