"""The house has floors: imports go down, never up, in no circle; rooms of a floor stay apart."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

PACKAGE = Path(__file__).parents[2] / "batch_screen"
BESIDE = ("benchmarks", "docs", "tests")

# The top comes first. A room is a file or a folder of the package.
FLOORS = (
    {"__main__"},
    {"cli"},
    {"commands"},
    {"cluster"},
    {"engine", "erasure", "job", "verify"},
    {"comparison", "diagnostics", "notify", "planning", "profile", "reports", "sandbox"}
    | {"warehouse"},
    {"privacy"},
    {"tables"},
    {"api", "input", "journal", "numbers", "runs"},
    {"config", "schema"},
    {"storage"},
    {"errors", "masking", "model"},
)
FLOOR_OF = {room: height for height, rooms in enumerate(reversed(FLOORS)) for room in rooms}

# A library that only these rooms may import.
HOMES = {
    "aiohttp": {"api", "diagnostics", "sandbox"},
    "aiolimiter": {"engine"},
    "click": {"cli"},
    "tqdm": {"cli"},
    "phonenumbers": {"numbers"},
    "pydantic": {"config", "job"},
    "pydantic_settings": {"config"},
    "tomllib": {"config"},
    "tomlkit": {"config"},
    "filelock": {"storage"},
    "yaml": {"commands"},
    "jinja2": {"reports", "warehouse"},
    "http": {"api", "notify"},
    "prometheus_client": {"notify"},
    "psycopg": {"warehouse"},
    "duckdb": {"warehouse"},
    "deltalake": {"warehouse"},
    "pyiceberg": {"warehouse"},
    "sqlalchemy": {"warehouse"},
    "ray": {"cluster"},
    "urllib.request": set(),
    "asyncio": {"api", "cluster", "engine", "sandbox", "diagnostics"},
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    return [*ast.walk(ast.parse(path.read_text("utf-8")))]


def imported_modules(path: Path) -> set[str]:
    found: set[str] = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


SOURCES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def imports() -> list[tuple[Path, str]]:
    """Each module with each module that it imports."""
    return [(path, module) for path in SOURCES for module in sorted(imported_modules(path))]


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in SOURCES} == set(FLOOR_OF)


def test_imports_go_down() -> None:
    ours = [
        (room_of(path), module)
        for path, module in imports()
        if module.startswith("batch_screen.") and module.split(".")[1] != room_of(path)
    ]
    assert len(ours) > len(SOURCES)
    assert [
        f"{room} imports {module}"
        for room, module in ours
        if FLOOR_OF[module.split(".")[1]] >= FLOOR_OF[room]
    ] == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = {module_of(path): imported_modules(path) for path in SOURCES}
    graph = {module: found & known.keys() - {module} for module, found in known.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def test_libraries_stay_at_home() -> None:
    assert [
        f"{path.relative_to(PACKAGE)} imports {module}"
        for path, module in imports()
        if room_of(path) not in HOMES.get(module.split(".")[0], {room_of(path)})
    ] == []


_TABLE_FILES = re.compile(
    r"((read|scan|write|sink)_(parquet|csv|ipc|feather|json|ndjson|excel|ods|avro|delta|iceberg|"
    r"lines|table|metadata|schema|dataset|parquet_schema|parquet_metadata)(_stream|_batched)?"
    r"|read_csv|open_csv|open_input_file|Parquet(File|Writer|Dataset)|DeltaTable|memory_map|dataset"
    r"|OSFile|FileInfo|(input|output)_stream|from_uri)"
)
_OPEN_FILES = {
    "storage/parquet.py": {"OSFile", "ParquetFile", "read_metadata", "read_schema"}
    | {"read_parquet", "scan_parquet"},
    "storage/atomic.py": {"write_parquet"},
    "storage/partition.py": {"ParquetWriter", "write_table"},
    "input/limits.py": {"ParquetFile"},
    "input/csv.py": {"read_csv"},
    "input/excel.py": {"read_excel"},
    "warehouse/postgres.py": {"write_csv"},
    "warehouse/delta.py": {"DeltaTable"},
}
"""Modules that call these with a file they have opened, or, the first, by a full path."""


def test_no_library_is_given_a_path_that_it_could_take_for_an_address() -> None:
    """pyarrow takes ``nightly:2026/x`` for an address, polars ``[1]`` for a pattern.

    So storage/parquet.py reads all files of tables; who must read or write another kind opens it
    and hands over the open file, and is then named above.
    """
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        own = {
            node.name for node in nodes_of(path) if isinstance(node, ast.FunctionDef)
        } | imported_names(path)
        for node in nodes_of(path):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = name or (node.func.id if isinstance(node.func, ast.Name) else "")
            is_ours = isinstance(node.func, ast.Name) and name in own
            if _TABLE_FILES.fullmatch(name) and not is_ours:
                found.setdefault(path.relative_to(PACKAGE).as_posix(), set()).add(name)
    assert found == _OPEN_FILES


def imported_names(path: Path) -> set[str]:
    """Names that a module imports from this package."""
    return {
        alias.asname or alias.name
        for node in nodes_of(path)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("batch_screen")
        for alias in node.names
    }


def test_nobody_prints() -> None:
    """Click's echo, in cli/, is the only way to a stream."""
    calls = [
        (path, node.func)
        for path in SOURCES
        for node in nodes_of(path)
        if isinstance(node, ast.Call)
    ]
    assert [p for p, func in calls if isinstance(func, ast.Name) and func.id == "print"] == []


def test_only_masked_loggers_are_used() -> None:
    """A record of ours is masked whoever handles it; the masking room alone makes loggers."""
    for path in SOURCES:
        if room_of(path) not in ("masking", "cli"):
            assert "logging" not in imported_modules(path), path


def test_what_stands_beside_the_package_imports_what_is_there() -> None:
    """Benchmarks and torture are run by hand, so a name that is gone would show late."""
    gone = []
    for path in sorted(p for folder in BESIDE for p in (PACKAGE.parent / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("batch_screen"):
                module = import_module(str(node.module))
                names = {*vars(module), *getattr(module, "__all__", ()), *submodules(module)}
                gone += [
                    f"{path.relative_to(PACKAGE.parent)}: {node.module}.{alias.name}"
                    for alias in node.names
                    if alias.name not in names
                ]
    assert gone == []


def submodules(module: ModuleType) -> set[str]:
    return {found.name for found in iter_modules(getattr(module, "__path__", []))}
