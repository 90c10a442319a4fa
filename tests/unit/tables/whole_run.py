"""A complete run in a few parts, and ways to damage a copy of it without being noticed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from batch_screen.commands.parts import layout_of
from batch_screen.commands.validate import validate
from batch_screen.commands.write import write_outputs
from batch_screen.config.screening import Screening
from batch_screen.config.sections import Output
from batch_screen.config.settings import Settings
from batch_screen.journal.seal import write_sealed
from batch_screen.model import Endpoint, OutcomeKind, Session
from batch_screen.planning.shards import shard_rows_path
from batch_screen.runs.events import RunEvents
from batch_screen.runs.layout import Layout
from batch_screen.schema import LOOKUP, conform, dtypes
from batch_screen.tables.integrity import Validation
from batch_screen.tables.manifest import latest_content, marker_content
from tests.making import made

from .frames import outcome

ENDPOINTS = (Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE, Endpoint.CALL_FORWARDING_CHECK)
CELLS = [None if i % 10 == 0 else i * 7 % 120 for i in range(300)]
DAY = datetime(2026, 11, 23, tzinfo=UTC)
FAILED = OutcomeKind.TIMEOUT.value

Change = Callable[[pl.DataFrame], pl.DataFrame]
Answer = Callable[[int, Endpoint], dict[str, Any]]


class WholeRun:
    """The output of one run, with a hand on each of its files."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def copy(self, folder: Path) -> WholeRun:
        shutil.copytree(self.layout.folder, folder)
        return WholeRun(Layout(folder, self.layout.run_id, self.layout.run_date))

    def validate(self) -> Validation:
        return validate(self.layout.folder, self.layout.run_id)

    def manifest(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.layout.manifest.read_bytes())
        return content

    def files(self) -> Iterator[Path]:
        return (path for path in sorted(self.layout.folder.rglob("*")) if path.is_file())

    def frame(self, table: str, number: int = 0) -> pl.DataFrame:
        return pl.read_parquet(self.layout.part(table, number), hive_partitioning=False)

    def rewrite(self, table: str, change: Change, number: int = 0) -> None:
        """The part with other rows and the same footer, under digests that fit."""
        path = self.layout.part(table, number)
        change(self.frame(table, number)).write_parquet(path, metadata=self.layout.footer)
        self.relist()

    def rewrite_json(self, path: Path, change: Callable[[Any], None]) -> None:
        content = json.loads(path.read_bytes())
        change(content)
        path.write_bytes(json.dumps(content).encode())
        self.relist()

    def relist(self) -> None:
        """Manifest, latest.json and marker anew, for what lies there now."""
        manifest = self.manifest()
        for entry in manifest["files"]:
            path = self.layout.folder / entry["path"]
            if path.exists():
                entry.update(digests(path))
                if "table" in entry:
                    entry["rows"] = pl.scan_parquet(path).select(pl.len()).collect().item()
        self.write_manifest(manifest)

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        self.layout.manifest.write_bytes(json.dumps(manifest).encode())
        self.bless()

    def bless(self) -> None:
        """latest.json and marker for the manifest that lies there now."""
        digest = _digest(self.layout.manifest)
        self.layout.latest.write_bytes(latest_content(self.layout, digest))
        self.layout.marker.write_bytes(marker_content(digest))


def digests(path: Path) -> dict[str, Any]:
    """What the manifest says of any file."""
    return {"bytes": path.stat().st_size, "sha256": _digest(path)}


def differing(found: Validation) -> dict[str, str]:
    """Check → what it found, in one text."""
    return {
        check.name: "; ".join(f"{d.where}: {d.what}" for d in check.differences)
        for check in found.checks
        if check.differences
    }


def new_whole_run(
    folder: Path,
    answered: Answer | None = None,
    endpoints: tuple[Endpoint, ...] = ENDPOINTS,
    *,
    shard_rows: int = 150,
) -> WholeRun:
    """A run whose lookups have these answers, by default those of ``answer``."""
    settings = Settings(
        output=Output(folder=str(folder / "out")), screening=Screening(endpoints=endpoints)
    )
    run, plan = made(folder / "state", CELLS, settings, shard_rows=shard_rows)
    for shard in range(len(plan.shards)):
        numbers = pl.read_parquet(shard_rows_path(run.plan, shard))["e164"].unique().sort()
        rows = [(answered or answer)(int(n[-5:]), e) for n in numbers for e in endpoints]
        full = conform(pl.DataFrame(rows), LOOKUP)
        assert full.schema == dtypes(LOOKUP)
        write_sealed(full, run.sealed, run.run_id, shard, {})
    write_outputs(run, plan, settings, Session(DAY, DAY), RunEvents())
    return WholeRun(layout_of(run, settings))


def answer(i: int, endpoint: Endpoint) -> dict[str, Any]:
    """Swapped, dated or active for every second number; every third check of a swap failed."""
    if i % 3 == 0 and endpoint is Endpoint.SIM_SWAP_CHECK:
        values: dict[str, Any] = {"outcome": FAILED, "attempts": 3, "http_status": None}
    elif endpoint.answers_date:
        dated = {"latest_change": "reported", "latest_change_at": DAY - timedelta(days=i)}
        values = dated if i % 2 else {"latest_change": "none_reported"}
    else:
        values = {"swapped" if endpoint.takes_max_age else "active": i % 2 == 1}
    required = {c.name: 0 for c in LOOKUP if c.required and c.dtype == pl.Int32}
    answered = {"responded_at": DAY + timedelta(seconds=i), "latency_ms": 10.0 + i}
    empty = dict.fromkeys(c.name for c in LOOKUP)
    return empty | required | answered | outcome(i, endpoint, **values)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
