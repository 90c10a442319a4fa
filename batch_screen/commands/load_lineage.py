"""OpenLineage events of a load: each run is a job's run of its own, from its files to the tables.

They are kept beside the run's own events, where the loader may write there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from batch_screen.commands.load import LOADED, REPLACED, RunLoad
from batch_screen.config.lineage import lineage_server
from batch_screen.config.sections import Pings
from batch_screen.errors import BatchScreenError, ExitCode, exit_code_of
from batch_screen.masking import safe_line
from batch_screen.notify.lineage import (
    COMPLETE,
    Event,
    StartLineage,
    append_events,
    file_dataset,
    kind_of,
    output_facets,
    read_events,
    table_fields,
)
from batch_screen.notify.pings import Caller
from batch_screen.runs.layout import Layout
from batch_screen.schema import KEPT_PREFIX
from batch_screen.storage.lock import shared
from batch_screen.warehouse.address import dataset, parse
from batch_screen.warehouse.columns import RUN_COLUMNS, RUNS, kept_name
from batch_screen.warehouse.runs import RunToLoad

_CAUSE_CHARACTERS = 4_000


class LoadLineage:
    """The events of one command; its methods return warnings."""

    def __init__(
        self, to: str, schema: str, tables: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._to, self._schema, self._environment = to, schema, environment
        self._namespace = self._prefix = ""
        self._tables = tables
        self._start = StartLineage("load", lineage_server(environment), Caller(Pings()))
        self._layout: Layout | None = None

    def begin(self, run: RunToLoad) -> list[str]:
        """The begin of a run's load."""
        layout = self._layout = run.layout
        place = dataset(parse(self._to), self._schema, self._environment)
        self._namespace, self._prefix = place
        name = f"load:{run.run_id}:{self._namespace}/{self._prefix}"
        inputs = [file_dataset(layout.folder.absolute() / table) for table in self._tables]
        events, warnings = self._start.begin(name, None, inputs, read_events(layout.lineage))
        return [*warnings, *self._kept(events)]

    def loaded(self, run: RunLoad) -> list[str]:
        """The end of a run's load."""
        layout = self._layout
        if layout is None:
            return []
        fields = table_fields(layout)
        # Where another loader was there first, this one wrote nothing.
        rows = {RUNS: 1, **run.rows} if run.state in (LOADED, REPLACED) else {}
        outputs = [
            self._output(table, _named(fields.get(table, [])), rows.get(table))
            for table in self._tables
        ]
        of_runs = [{"name": c.name, "description": c.comment} for c in RUN_COLUMNS]
        return self._ended(COMPLETE, [*outputs, self._output(RUNS, of_runs, rows.get(RUNS))])

    def failed(self, error: BaseException) -> list[str]:
        """The end where an error, or a signal, has ended the load of a run; nothing is there."""
        is_ours = isinstance(error, BatchScreenError)
        # The text of a bug may quote data, so only its type is written.
        cause = safe_line(str(error), _CAUSE_CHARACTERS) if is_ours else type(error).__name__
        code = error.code if isinstance(error, SystemExit) else exit_code_of(error)
        code = code if isinstance(code, int) else ExitCode.BUG
        return self._ended(kind_of(code, is_complete=False), [], cause)

    def _ended(self, kind: str, outputs: Sequence[dict[str, Any]], cause: str = "") -> list[str]:
        if self._layout is None:
            return []
        event, warnings = self._start.end(kind, outputs, cause)
        kept = self._kept([event])
        self._layout = None
        return [*warnings, *kept]

    def _output(
        self, table: str, fields: Sequence[Mapping[str, str]], rows: int | None
    ) -> dict[str, Any]:
        name = {"namespace": self._namespace, "name": f"{self._prefix}{table}"}
        return name | output_facets(fields, rows)

    def _kept(self, events: Sequence[Event]) -> list[str]:
        layout = self._layout
        # A loader under another user may only read there.
        if layout is None or not os.access(layout.run, os.W_OK) or not layout.manifest.exists():
            return []
        try:
            with shared(layout.manifest, f"run {layout.run_id}"):  # or purge would leave the file
                append_events(layout.lineage, events, layout.file_mode)
        except BatchScreenError as error:
            return [str(error)]
        return []


def _named(fields: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The columns with the names that they have in the warehouse."""
    names = [field["name"] for field in fields]
    there = [kept_name(name) if name.startswith(KEPT_PREFIX) else name for name in names]
    return [{**field, "name": name} for field, name in zip(fields, there, strict=True)]
