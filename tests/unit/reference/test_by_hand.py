"""The pages of docs/reference that are written by hand list all there is, and nothing else."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import batch_screen
from batch_screen.config.parsing import AMOUNTS, RATES
from batch_screen.model import ContractPace, Crew, Pace, Session
from batch_screen.notify.closing import document
from batch_screen.notify.metrics import metrics
from batch_screen.profile import facts
from batch_screen.runs.layout import DATA_FOLDERS, Layout
from batch_screen.schema import LOOKUPS, SCHEMA_VERSION
from batch_screen.tables.coverage import Changes, Cohort, Coverage, Saved
from batch_screen.tables.manifest import (
    ManifestHead,
    describe,
    latest_content,
    list_files,
    write_manifest,
    write_schema,
)
from batch_screen.tables.summary import Ending, Judgement, LookupFigures, Rows, Summary
from tests.unit.notify.ends import complete, failed

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
CHECK, FILES, LOGS, SUMMARY = (
    (REFERENCE / name).read_text("utf-8")
    for name in ("check-json.md", "files.md", "logs-and-metrics.md", "summary.md")
)


def chapter(page: str, heading: str) -> str:
    return page.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]


def tables(text: str) -> list[list[str]]:
    """The names in the first column of each table."""
    found = re.findall(r"^\| [^|\n]+ \|[^\n]+\n\|-[^\n]+\n((?:\|.*\n)+)", text + "\n", re.MULTILINE)
    return [
        [n for line in rows.splitlines() for n in re.findall(r"`([^`]+)`", line.split("|")[1])]
        for rows in found
    ]


def test_every_field_of_a_summary_is_explained() -> None:
    top = SUMMARY.split("\n## ")[0]
    assert tables(top) == [[*Summary.__struct_fields__]]
    assert tables(chapter(SUMMARY, "rows")) == [[*Rows.__struct_fields__]]
    assert tables(chapter(SUMMARY, "endpoints")) == [[*LookupFigures.__struct_fields__]]
    sessions = [[*each.__struct_fields__] for each in (Session, Pace, ContractPace, Crew)]
    assert tables(chapter(SUMMARY, "session and starts")) == sessions
    assert tables(chapter(SUMMARY, "stopped")) == [[*Ending.__struct_fields__]]
    judged, figures = tables(chapter(SUMMARY, "thresholds"))
    assert judged == [*Judgement.__struct_fields__]
    assert set(figures) == {*RATES, *AMOUNTS}
    changes = [[*Changes.__struct_fields__], [*Cohort.__struct_fields__]]
    assert tables(chapter(SUMMARY, "changes")) == changes
    assert tables(chapter(SUMMARY, "coverage")) == [[*Coverage.__struct_fields__]]
    assert tables(chapter(SUMMARY, "saved")) == [[*Saved.__struct_fields__]]


def test_every_field_of_how_a_start_ended_is_explained() -> None:
    more = json.loads(document(complete())).keys() - {*Summary.__struct_fields__}
    text = chapter(SUMMARY, "--summary-file")
    assert {*tables(text)[0]} == more
    assert [name for name in json.loads(document(failed())) if f"`{name}`" not in text] == []


def test_every_field_of_a_check_is_explained() -> None:
    top = CHECK.split("\n## ")[0]
    assert {*tables(top)[0]} == {*facts.CheckReport.__struct_fields__}
    for heading, kind in (
        ("files", facts.FileFacts),
        ("rejects", facts.Rejected),
        ("numbers", facts.NumberFacts),
        ("damage", facts.Damaged),
        ("conventions", facts.ConventionFacts),
        ("region_advice", facts.RegionAdvice),
        ("fixes", facts.Fix),
    ):
        assert {*tables(chapter(CHECK, heading))[0]} == {*kind.__struct_fields__}, heading
    small = (facts.Frequency, facts.ColumnFacts, facts.RejectedCell)
    named = {name for kind in small for name in kind.__struct_fields__}
    assert [name for name in sorted(named) if f"`{name}`" not in CHECK] == []


def test_every_metric_is_listed_and_no_other() -> None:
    written = re.findall(r"^# TYPE (\w+)", metrics(complete(), {}).decode(), re.MULTILINE)
    listed = [name.partition("{")[0] for name in tables(chapter(LOGS, "Metrics"))[0]]
    assert listed == written


def stages() -> set[str]:
    """What a run may tell of, anywhere in the package."""
    calls = [
        node
        for path in Path(batch_screen.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "stage"
    ]
    names = [call.args[0] for call in calls]
    return {name.value for name in names if isinstance(name, ast.Constant)}


def test_every_stage_of_a_run_is_listed() -> None:
    [row] = re.findall(r"^\| `stage`, `done`, `total` \| (.*) \|$", LOGS, re.MULTILINE)
    of_other_commands = {"erasing", "loading", "searching", "uploading"}
    assert set(re.findall(r"`([^`]+)`", row)) == stages() - of_other_commands


def examples(page: str, heading: str) -> list[str]:
    return re.findall(r"```json\n(.*?)```", chapter(page, heading), re.DOTALL)


def test_lines_of_the_log_have_explained_fields_only() -> None:
    [listed] = tables(chapter(LOGS, "Log lines"))
    lines = [json.loads(line) for line in examples(LOGS, "Log lines")[0].splitlines()]
    assert {name for line in lines for name in line} == {*listed}
    assert [line["event"] for line in lines] == ["stage", "heartbeat", "finished", "error"]


def test_every_file_of_a_run_is_shown_and_those_of_json_as_they_are(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "20260302-8144aa1eee", "2026-03-02")
    for path in layout.reports:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    write_schema(layout, {})
    head = ManifestHead(
        schema_version=SCHEMA_VERSION, run_id=layout.run_id, run_date=layout.run_date
    )
    write_manifest(layout, list_files(layout), head)
    names = [path.name for path in (*layout.reports, layout.manifest, layout.marker)]
    tree = FILES.split("\n\n")[2]
    assert [name for name in names if f"runs/<run_id>/{name} " not in tree] == []
    assert [name for name in DATA_FOLDERS if f"\n      {name}/run_date=" not in tree] == []
    assert layout.latest.name in tree

    latest, manifest, shown_schema = (
        json.loads(examples(FILES, name)[0])
        for name in ("latest.json", "manifest.json", "schema.json")
    )
    assert [*latest] == [*json.loads(latest_content(layout, ""))]
    written = json.loads(layout.manifest.read_bytes())
    part, other = manifest["files"]
    assert [*manifest] == [*written]
    assert [[*other]] == [[*each] for each in written["files"][:1]]
    assert [*part] == [*other, "table", "rows"]
    assert [*shown_schema] == [*json.loads(layout.schema.read_bytes())]
    assert [*shown_schema["tables"]["results"][0]] == [*describe(LOOKUPS[0])]
    assert manifest["schema_version"] == shown_schema["schema_version"] == SCHEMA_VERSION
