"""The dbt project of docs/recipes/dbt: its SQL without dbt, and played with dbt itself.

``python -m tests.e2e.dbt DBT`` plays docs/privacy.md, whose nights have ids in the place of numbers
and lose a person, and loads plain ones into DuckDB and PostgreSQL. On each of the three the command
``DBT`` builds the project, twice.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from time import monotonic
from typing import Any

import jinja2
import yaml

import batch_screen
from tests.nights import NIGHTS, make_nights
from tests.postgres_server import postgres_server

from .pages import DOCS, Player, servers_of

PROJECT = Path(__file__).parents[2] / "docs" / "recipes" / "dbt"
MODELS = {path.stem: path for path in sorted((PROJECT / "models").rglob("*.sql"))}
SINGULAR = {path.stem: path for path in sorted((PROJECT / "tests").glob("*.sql"))}
SCHEMA = "screening"
_VARS = "{include_sandbox: true}"
_DONE = re.compile(r"Done\. PASS=(\d+) WARN=(\d+) ERROR=(\d+) SKIP=(\d+)")


class Project:
    """The project's SQL as dbt would send it, with these variables."""

    def __init__(self, **variables: Any) -> None:
        settings = yaml.safe_load((PROJECT / "dbt_project.yml").read_text("utf-8"))
        self._variables = settings["vars"] | variables
        text = "".join(path.read_text("utf-8") for path in (PROJECT / "macros").glob("*.sql"))
        # dbt's own tag for a macro that is a test.
        text = re.sub(r"{% test (\w+)", r"{% macro test_\1", text)
        macros = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False).from_string(
            text.replace("{% endtest %}", "{% endmacro %}")
        )
        self._macros = {
            name: macro for name, macro in vars(macros.module).items() if not name.startswith("_")
        }
        self.used: dict[str, set[str]] = {}
        """Each model with those it refers to."""

    def model(self, name: str) -> str:
        """The query of a model, or of a test that is a file."""
        path = (MODELS | SINGULAR)[name]
        used = self.used.setdefault(name, set())

        def ref(model: str) -> str:
            used.add(model)
            return f"{SCHEMA}.{model}"

        def source(schema: str, table: str) -> str:
            return f"{schema}.{table}"

        environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
        template = environment.from_string(path.read_text("utf-8"))
        names = {"ref": ref, "source": source, "var": self._variables.__getitem__}
        return template.render(names | self._macros)

    def in_order(self) -> list[str]:
        """The models, each after those that it reads."""
        for name in MODELS:
            self.model(name)
        return list(TopologicalSorter({name: self.used[name] for name in MODELS}).static_order())

    def tests(self) -> Iterator[tuple[str, str]]:
        """Each test that is ours with its query, which finds nothing where all is well."""
        for name in SINGULAR:
            yield name, self.model(name)
        for model in described():
            place = f"{SCHEMA}.{model['name']}"
            for test in model.get("data_tests", ()):
                yield self._generic(place, test, {})
            for column in model.get("columns", ()):
                for test in column["data_tests"]:
                    if isinstance(test, dict) and f"test_{next(iter(test))}" in self._macros:
                        yield self._generic(place, test, {"column_name": column["name"]})

    def _generic(
        self, place: str, test: Mapping[str, Any], more: Mapping[str, str]
    ) -> tuple[str, str]:
        [(name, given)] = test.items()
        query = self._macros[f"test_{name}"](place, **more, **given["arguments"])
        return f"{name} {place} {more.get('column_name', '')}".strip(), query


def described() -> list[dict[str, Any]]:
    """The models as models.yml describes them."""
    found: list[dict[str, Any]] = yaml.safe_load(
        (PROJECT / "models" / "models.yml").read_text("utf-8")
    )["models"]
    return found


def sources() -> list[dict[str, Any]]:
    """The tables as sources.yml has them."""
    text = (PROJECT / "models" / "sources.yml").read_text("utf-8")
    [source] = yaml.safe_load(text)["sources"]
    tables: list[dict[str, Any]] = source["tables"]
    return tables


def build(command: str, project: Path, environment: Mapping[str, str]) -> str:
    """What dbt says at the end of build and freshness, both green; raises where they are not."""
    said = []
    for task in (["build"], ["source", "freshness"]):
        done = subprocess.run(
            [command, "--no-use-colors", *task, "--vars", _VARS],
            cwd=project,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or "Deprecat" in done.stdout:
            raise SystemExit(f"dbt {' '.join(task)}: {done.stdout}{done.stderr}")
        found = _DONE.search(done.stdout)
        said.append(found[0] if found else "freshness: PASS")
    return ", ".join(said)


def build_twice(command: str, folder: Path, what: str, environment: Mapping[str, str]) -> None:
    """Builds a copy of the project twice: a second build finds what the first has made."""
    project = shutil.copytree(PROJECT, folder / f"dbt-{what.replace(' ', '-')}")
    for turn in ("first", "second"):
        began = monotonic()
        said = build(command, project, environment)
        print(f"{what}, {turn} build: {said} ({monotonic() - began:.0f} s)", flush=True)


def build_plain(command: str, folder: Path) -> None:
    """Nights of plain numbers, loaded into each kind of database."""
    out, file = make_nights(folder), folder / "warehouse.duckdb"
    with postgres_server() as server:
        places = {
            "duckdb": (f"duckdb:{file}", {"DBT_DUCKDB": str(file)}),
            "postgres": (f"postgresql://loader@/postgres?host={server['PGHOST']}", server),
        }
        for kind, (to, environment) in places.items():
            report = batch_screen.load([out], to, sandbox=True)
            print(f"{kind}: {len(report.runs)} of {len(NIGHTS)} nights loaded", flush=True)
            build_twice(command, folder, f"{kind}, plain", environment | {"DBT_TARGET": kind})


def build_case(command: str, folder: Path) -> None:
    """The case of docs/privacy.md: what its commands print, then what dbt says of its warehouse."""
    page = (DOCS / "privacy.md").read_text("utf-8")
    (folder / "played").mkdir()
    with servers_of(page) as servers, Player(folder / "played", servers) as player:
        for played in player.play(page):
            print(played.now, flush=True)
        environment = servers["psql"] | {"DBT_TARGET": "postgres", "PGDATABASE": "warehouse"}
        build_twice(command, folder, "postgres, ids", environment)


def main() -> None:
    """Builds the project twice over each kind of nights."""
    command = str(Path(sys.argv[1]).absolute())
    with tempfile.TemporaryDirectory() as name:
        build_case(command, Path(name))
        build_plain(command, Path(name))


if __name__ == "__main__":
    main()
