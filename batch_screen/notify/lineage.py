"""OpenLineage events of a start of run, retry or load: written beside the run, and sent.

Each start is a run of its own to a consumer: one START, then one of COMPLETE, ABORT or FAIL. The
first start of a run has an id that follows from the run's id alone. A later one, which resumes it,
has an id of its own and names the first as its parent, for a run that has ended cannot start again.

No client library: an event is a few nested objects, and the pings' code sends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

import msgspec

from batch_screen import __version__
from batch_screen.config.lineage import LineageServer
from batch_screen.errors import SIGNAL_EXIT, ExitCode
from batch_screen.masking import safe_line
from batch_screen.notify.closing import Closing
from batch_screen.notify.pings import Caller
from batch_screen.runs.layout import DATA_FOLDERS, LINEAGE, RESULTS, Layout
from batch_screen.storage.atomic import write_atomically
from batch_screen.tables.manifest import read_manifest
from batch_screen.tables.results import UNKNOWN
from batch_screen.tables.summary import Summary

START, COMPLETE, ABORT, FAIL = "START", "COMPLETE", "ABORT", "FAIL"
Event = dict[str, Any]
Dataset = dict[str, Any]

_SPEC = "https://openlineage.io/spec"
_PRODUCER = f"urn:batch-screen:{__version__}"
_FACETS = {
    "dataQualityMetrics": "1-0-1/DataQualityMetricsDatasetFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet",
    "jobType": "2-0-4/JobTypeJobFacet",
    "nominalTime": "1-0-1/NominalTimeRunFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
    "parent": "1-2-0/ParentRunFacet",
    "processing_engine": "1-1-1/ProcessingEngineRunFacet",
    "schema": "1-2-0/SchemaDatasetFacet",
}
_OF_INPUTS = "1-0-3/DataQualityMetricsInputDatasetFacet"
_KILLED = "this start left no end: it was killed, or the machine went down"
_MOST_BYTES = 16 * 1024 * 1024


class StartLineage:
    """The events of one start: ``begin`` once its run is known, then ``end``.

    Both return warnings. ``job`` is the command.
    """

    def __init__(self, job: str, server: LineageServer, caller: Caller) -> None:
        self._job = {
            "namespace": safe_line(server.namespace),
            "name": f"batch-screen.{job}",
            "facets": _facet(
                "jobType", processingType="BATCH", integration="BATCH_SCREEN", jobType=job.upper()
            ),
        }
        self._server = server
        self._caller = caller
        self._run: dict[str, Any] = {}
        self._inputs: Sequence[Dataset] = ()

    @property
    def has_begun(self) -> bool:
        return bool(self._run)

    def begin(
        self,
        name: str,
        day: date | None,
        inputs: Sequence[Dataset],
        earlier: Sequence[Event] = (),
        at: datetime | None = None,
    ) -> tuple[list[Event], list[str]]:
        """The events of a start that is named so, behind ``earlier`` ones of the same name."""
        begun = {e["run"]["runId"]: e["run"] for e in earlier if e["eventType"] == START}
        ended = {e["run"]["runId"] for e in earlier if e["eventType"] != START}
        own, starts = run_uuid(name), list[dict[str, Any]]()
        while own in begun:
            starts.append(begun[own])
            own = run_uuid(f"{name}#{len(starts) + 1}")
        # One that was killed could not say so, and would be running for ever.
        left = [run for run in starts if run["runId"] not in ended]
        events = [self._event(ABORT, run | _failure(run, _KILLED), (), ()) for run in left]
        facets = _facet(
            "processing_engine",
            version=__version__,
            name="batch-screen",
            openlineageAdapterVersion=__version__,
        )
        if day is not None:
            facets |= _facet("nominalTime", nominalStartTime=f"{day}T00:00:00Z")
        if starts:
            facets |= _facet(
                "parent",
                run={"runId": run_uuid(name)},
                job={"namespace": self._job["namespace"], "name": self._job["name"]},
            )
        self._run, self._inputs = {"runId": own, "facets": facets}, inputs
        events.append(self._event(START, self._run, inputs, (), at))
        return events, self._sent(events)

    def end(
        self,
        kind: str,
        outputs: Sequence[Dataset],
        message: str = "",
        inputs: Sequence[Dataset] | None = None,
    ) -> tuple[Event, list[str]]:
        """The event of the end, with its outputs or with what went wrong."""
        run = self._run | (_failure(self._run, message) if message else {})
        event = self._event(kind, run, self._inputs if inputs is None else inputs, outputs)
        return event, self._sent([event])

    def _event(
        self,
        kind: str,
        run: Mapping[str, Any],
        inputs: Sequence[Dataset],
        outputs: Sequence[Dataset],
        at: datetime | None = None,
    ) -> Event:
        return {
            "eventType": kind,
            "eventTime": (at or datetime.now(UTC)).isoformat(timespec="milliseconds"),
            "producer": _PRODUCER,
            "schemaURL": f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": dict(run),
            "job": self._job,
            "inputs": [*inputs],
            "outputs": [*outputs],
        }

    def _sent(self, events: Iterable[Event]) -> list[str]:
        if not self._server.url:
            return []
        warnings = [
            warning
            for event in events
            for warning in self._caller.send_lineage(self._server, msgspec.json.encode(event))
        ]
        return [*dict.fromkeys(warnings)]


class RunLineage:
    """The events of a start of run or retry, and where they are kept.

    In the run's folder of OUT, once it has one. Until then they are in its state, where all is
    that a run knows before it writes, so that no reader finds a folder of a run without figures.
    """

    def __init__(self, job: str, server: LineageServer, caller: Caller) -> None:
        self._start = StartLineage(job, server, caller)
        self._earlier: list[Event] = []
        self._own: list[Event] = []
        self._inputs: list[Dataset] = []
        self._waiting: Path | None = None
        self._layout: Layout | None = None

    def begin(self, layout: Layout, state: Path, inputs: Iterable[str | Path]) -> list[str]:
        """``inputs`` are lists as they were named, or the tables that a retry reads."""
        self._layout, self._waiting = layout, state / LINEAGE
        self._earlier = [*read_events(layout.lineage), *read_events(self._waiting)]
        self._inputs = [file_dataset(each) for each in inputs]
        day = date.fromisoformat(layout.run_date)
        begun = self._start.begin(layout.run_id, day, self._inputs, self._earlier)
        self._own, warnings = begun
        if state.is_dir():
            write_atomically(self._waiting, _lines([*self._earlier, *self._own]))
        return warnings

    def end(self, closing: Closing, *, was_complete: bool) -> list[str]:
        """Sends the end, and keeps both; ``was_complete``: the start found nothing to ask."""
        warnings: list[str] = []
        if not self._start.has_begun:
            if closing.stopped is None:
                return []
            # No run was found or made, and somebody waits for one.
            name = f"start:{closing.started_at.isoformat()}"
            _, warnings = self._start.begin(name, None, (), at=closing.started_at)
        summary, layout = closing.summary, closing.layout
        is_complete = not closing.exit_code or (summary is not None and not summary.is_stopped)
        kind = kind_of(closing.exit_code, is_complete=is_complete)
        inputs, outputs = self._inputs, list[Dataset]()
        if is_complete and summary and layout:
            outputs = [*run_datasets(layout, summary)]
            if len(inputs) == 1:  # of several, nobody has counted each by itself
                rows: dict[str, Any] = {"rowCount": summary.rows.read, "columnMetrics": {}}
                counted = _facet("dataQualityMetrics", of=_OF_INPUTS, **rows)
                inputs = [{**inputs[0], "inputFacets": counted}]
        cause = "" if is_complete else _cause(closing)
        event, more = self._start.end(kind, outputs, cause, inputs)
        self._keep([*self._own, event], changed=not was_complete)
        return [*warnings, *more]

    def _keep(self, events: Sequence[Event], *, changed: bool) -> None:
        layout, waiting = self._layout, self._waiting
        if layout is None or waiting is None:
            return
        # A start that finds the run complete changes nothing there, unless it wrote it anew.
        if layout.run.is_dir() and (changed or not layout.lineage.exists()):
            content = _lines([*self._earlier, *events])
            write_atomically(layout.lineage, content, mode=layout.file_mode)
        if layout.lineage.exists():
            waiting.unlink(missing_ok=True)
        elif waiting.parent.is_dir():
            write_atomically(waiting, _lines([*self._earlier, *events]))


def _cause(closing: Closing) -> str:
    if closing.exit_code == ExitCode.BUG or closing.stopped is None:
        return "a bug; the log says which"  # its text may quote data
    return closing.stopped.cause


def run_uuid(name: str) -> str:
    """The id of a run, or of a start of it: OpenLineage wants a UUID, ours is none.

    >>> run_uuid("20261123-0123456789")
    '45e5bfc2-35a1-5e05-9225-f3754c85b464'
    """
    return str(uuid5(NAMESPACE_URL, f"urn:batch-screen:run:{name}"))


def kind_of(exit_code: int, *, is_complete: bool) -> str:
    """Complete; ended by a signal or a bound of the caller's, to be resumed; or failed."""
    if is_complete:
        return COMPLETE
    is_wanted = exit_code == ExitCode.STOPPED or exit_code > SIGNAL_EXIT
    return ABORT if is_wanted else FAIL


def file_dataset(place: str | Path) -> Dataset:
    """A file or folder as OpenLineage names it; numbers in its name are masked.

    >>> file_dataset("s3://lists/customers.csv")
    {'namespace': 's3://lists', 'name': 'customers.csv'}
    """
    text = str(place)
    parts = urlsplit(text) if "://" in text else None
    if parts:
        return {
            "namespace": f"{parts.scheme}://{safe_line(parts.netloc.rpartition('@')[2])}",
            "name": safe_line(parts.path.lstrip("/"), 1_000),
        }
    named = "stdin" if text == "-" else str(Path(text).absolute())
    return {"namespace": "file", "name": safe_line(named, 1_000)}


def run_datasets(layout: Layout, summary: Summary) -> Iterator[Dataset]:
    """The tables of a complete run in its output folder, with columns and counts."""
    manifest = read_manifest(layout)
    fields = table_fields(layout)
    for table in DATA_FOLDERS:
        files = [f for f in manifest.files if f.table == table] if manifest else []
        counted: dict[str, Any] = {
            "rowCount": sum(file.rows or 0 for file in files),
            "fileCount": len(files),
        }
        size = sum(file.bytes for file in files)
        nulls = _nulls(summary) if table == RESULTS else {}
        yield {
            **file_dataset(layout.folder.absolute() / table),
            "facets": {
                **_facet("schema", fields=fields.get(table, [])),
                **_facet("dataQualityMetrics", **counted, bytes=size, columnMetrics=nulls),
            },
            "outputFacets": _facet("outputStatistics", **counted, size=size),
        }


def table_fields(layout: Layout) -> dict[str, list[dict[str, str]]]:
    """The columns of each table, by the run's schema.json; names of kept ones are masked."""
    try:
        tables = msgspec.json.decode(layout.schema.read_bytes())["tables"]
        return {
            table: [
                {
                    "name": safe_line(column["name"]),
                    "type": column["type"],
                    "description": column["meaning"],
                }
                for column in columns
            ]
            for table, columns in tables.items()
        }
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def output_facets(fields: Sequence[Mapping[str, str]], rows: int | None) -> dict[str, Any]:
    """The facets of a table that was loaded; without ``rows`` nothing was written."""
    facets: dict[str, Any] = {"facets": _facet("schema", fields=[*fields])}
    if rows is not None:
        facets["outputFacets"] = _facet("outputStatistics", rowCount=rows)
    return facets


def read_events(path: Path) -> list[Event]:
    """The events in a file; none where it is missing, too large, or none of ours."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return []
        lines = path.read_bytes().splitlines()
        return [msgspec.json.decode(line, type=_Kept).event() for line in lines]
    except (OSError, ValueError):
        return []


def append_events(path: Path, events: Iterable[Event], mode: int) -> None:
    """Writes the events behind those that are there."""
    write_atomically(path, _lines([*read_events(path), *events]), mode=mode)


class _Kept(msgspec.Struct):
    """As much of an event as has to be there for it to be read again."""

    eventType: str  # noqa: N815 (the specification's)
    eventTime: str  # noqa: N815
    producer: str
    schemaURL: str  # noqa: N815
    run: dict[str, Any]
    job: dict[str, Any]
    inputs: list[Dataset]
    outputs: list[Dataset]

    def event(self) -> Event:
        return msgspec.structs.asdict(self)


def _lines(events: Iterable[Event]) -> bytes:
    return b"".join(msgspec.json.encode(event) + b"\n" for event in events)


def _facet(name: str, /, of: str = "", **content: Any) -> dict[str, Any]:
    """A facet by its name, of its kind, or of another one that has the same name."""
    kind = of or _FACETS[name]
    where = f"{_SPEC}/facets/{kind}.json#/$defs/{kind.partition('/')[2]}"
    return {name: {"_producer": _PRODUCER, "_schemaURL": where, **content}}


def _failure(run: Mapping[str, Any], message: str) -> dict[str, Any]:
    """The run's facets with a message, which is masked already, or a type's name alone."""
    error = _facet("errorMessage", message=message, programmingLanguage="PYTHON")
    return {"facets": {**run.get("facets", {}), **error}}


def _nulls(summary: Summary) -> dict[str, dict[str, int]]:
    """Of each flag of the risk view how many rows know it, and how many are null: unknown."""
    found = {}
    for name, values in summary.risk.items():
        unknown = values.get(UNKNOWN, 0)
        if name.startswith("risk_"):
            known = sum(values.values()) - unknown
            found[name] = {"nullCount": unknown, "count": known}
    return found
