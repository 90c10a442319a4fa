"""docs/recipes/dbt/models/sources.yml: the tables of load as sources of dbt, and their values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from batch_screen.model import AnswerSource, Endpoint, LatestChange, OutcomeKind
from batch_screen.schema import CHANGES, ERRORS, LOOKUPS, Column, results
from batch_screen.tables.coverage import Change
from batch_screen.tables.results import NAMES as BANDS
from batch_screen.warehouse.columns import ALL_TABLES, COMMENTS, RUN_COLUMNS, RUN_DATE, RUNS
from batch_screen.warehouse.target import SCHEMA

_HEAD = f"""\
# `make docs` writes this file from the code: change the code, not the file.
version: 2

sources:
  - name: batch_screen
    description: What batch-screen load fills. A run that is not in runs is not there.
    schema: "{{{{ var('batch_screen_schema', '{SCHEMA}') }}}}"
    tables:
"""
_FRESHNESS = """\
        config:
          loaded_at_field: loaded_at
          freshness:
            warn_after: {count: 26, period: hour}
            error_after: {count: 50, period: hour}
            filter: "{{ 'true' if var('include_sandbox') else 'not sandbox' }}"
"""
_TABLES: Mapping[str, Iterable[Column]] = {
    "results": results({}),
    "lookups": LOOKUPS,
    "errors": ERRORS,
    "changes": CHANGES,
}
_VALUES: Mapping[tuple[str, str], Iterable[str]] = {
    ("results", "sim_change_age_band"): BANDS,
    ("results", "device_change_age_band"): BANDS,
    ("lookups", "endpoint"): [*map(str, Endpoint)],
    ("lookups", "outcome"): [*map(str, OutcomeKind)],
    ("lookups", "latest_change"): [*map(str, LatestChange)],
    ("lookups", "source"): [*map(str, AnswerSource)],
    ("errors", "kind"): ["reject", "failure"],
    ("changes", "change"): [*map(str, Change)],
}
"""The values of columns that can be listed; another one is new, so dbt warns of it."""


def sources_file() -> str:
    """The whole file."""
    return _HEAD + "".join(line for name in ALL_TABLES for line in _table(name))


def _table(name: str) -> Iterator[str]:
    yield f"      - name: {name}\n        description: {_text(COMMENTS[name])}\n"
    if name == RUNS:
        yield _FRESHNESS
    yield "        columns:\n"
    yield from (_column(name, column, about) for column, about in _columns(name))


def _columns(table: str) -> Iterator[tuple[str, str]]:
    if table == RUNS:
        yield from ((column.name, column.comment) for column in RUN_COLUMNS)
        return
    yield RUN_DATE.name, RUN_DATE.comment
    yield from ((column.name, column.meaning) for column in _TABLES[table])


def _column(table: str, name: str, about: str) -> str:
    text = f"          - name: {name}\n            description: {_text(about)}\n"
    values = _VALUES.get((table, name))
    if values is None:
        return text
    listed = ", ".join(map(_text, values))
    return (
        f"{text}            data_tests:\n"
        "              - accepted_values:\n"
        f"                  arguments: {{values: [{listed}]}}\n"
        "                  config: {severity: warn}\n"
    )


def _text(text: str) -> str:
    """A text as YAML takes it whatever it holds."""
    return json.dumps(text, ensure_ascii=False)
