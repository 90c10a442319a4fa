"""What is wrong is one clear line and an exit code; what differs is found by ``validate``."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tests.golden.lists import LONDON, column, csv
from tests.golden.stage import Stage

LISTED = column(*LONDON[:3])


class Mistake(NamedTuple):
    """Options, and what else is wrong."""

    options: tuple[str, ...] = ()
    content: str | bytes = LISTED
    toml: str = ""
    environment: dict[str, str | None] = {}  # noqa: RUF012 (never changed)


_NO_KEY: dict[str, str | None] = {"BATCH_SCREEN_API_KEY": None}
_MISTAKES = {
    "missing file": Mistake(("nothere.csv",)),
    "a number for a file": Mistake((LONDON[123],)),
    "empty file": Mistake(content=""),
    "header only": Mistake(content="phone,name\n"),
    "missing column": Mistake(("--phone-column", "fone")),
    "two phone columns": Mistake(content=csv("mobile,telephone", ",".join(LONDON[:2]))),
    "no header": Mistake(content=column(*LONDON[:5]).removeprefix("phone\n")),
    "no numbers": Mistake(content="phone\nn/a\n?\n-\n"),
    "a workbook": Mistake(content=b"PK\x03\x04 and so on"),
    "torn gzip": Mistake(content=gzip.compress(LISTED.encode() * 99, mtime=0)[:-9]),
    "open quote": Mistake(content=f'phone\n{LONDON[1]}\n"{LONDON[2]}\n{LONDON[3]}\n'),
    "no columns to keep": Mistake(("--keep-columns", "customer")),
    "output below a file": Mistake(("--out", "list.csv/out")),
    "state below a file": Mistake(("--state-dir", "list.csv/state")),
    "no key": Mistake(environment=_NO_KEY),
    "no key file": Mistake(("--api-key-file", "nokey")),
    "no output": Mistake(("--out", "")),
    "unknown setting": Mistake(toml="[guards]\ngrace_secnds = 1\n"),
    "unknown table": Mistake(toml="[gards]\ngrace_seconds = 1\n"),
    "no TOML": Mistake(toml="x = = 1\n"),
    "a key in the settings": Mistake(toml="[api]\nkey = 'x'\n"),
    "out of bounds": Mistake(toml="[retry]\nmax_attempts = 0\n"),
    "unknown variable": Mistake(environment={"BATCH_SCREEN_RATE": "1"}),
    "unknown endpoint": Mistake(("--endpoints", "sim-swap/chek")),
    "no window": Mistake(("--max-age-minutes", "0")),
    "no number": Mistake(("--rate", "fast")),
    "unencrypted": Mistake(("--base-url", "http://api.example.com/v1")),
    "distant date": Mistake(("--run-date", "1999-12-31")),
    "no date": Mistake(("--run-date", "yesterday")),
    "unknown region": Mistake(("--allow-regions", "DE,XX")),
    "region in both": Mistake(("--allow-regions", "GB", "--deny-regions", "UK")),
    "no opt-out list": Mistake(("--opt-out", "no.txt")),
    "unreadable opt-out list": Mistake(("--opt-out", "privat.txt")),
    "unknown option": Mistake(("--max-agee", "4")),
    "unknown threshold": Mistake(("--fail-if", "failures > 1%")),
    "a budget without prices": Mistake(("--max-cost", "5", "--endpoints", "call-forwarding/check")),
    "unknown zone": Mistake(("--stop-at", "06:00", "--timezone", "Europe/Nowhere")),
    "no time of day": Mistake(("--stop-at", "6 o'clock")),
}


def mistakes(stage: Stage) -> None:
    stage.write("privat.txt", f"{LONDON[1]}\nprivat\n")
    for name, wrong in _MISTAKES.items():
        stage.note(name)
        stage.write("list.csv", wrong.content)
        settings = stage.configure(wrong.toml)
        names_input = wrong.options and not wrong.options[0].startswith("--")
        inputs = () if names_input else ("list.csv",)
        dated = () if "--run-date" in wrong.options else ("--run-date", "2026-03-02")
        options = (*inputs, *wrong.options, "--config", settings, *dated)
        stage.run(*options, environment=wrong.environment)
    for arguments in (
        ("screen",),
        ("run",),
        ("plan",),
        ("sandbox", "--profile", "falky"),
        ("sandbox", "--latency", "x"),
        ("sandbox", "--rate-limit-at", "sim-swap/check"),
        ("sandbox", "--journal", "/nowhere/at/all"),
        ("completion", "tcsh"),
        ("check", "list.csv", "--rejects", "rejects.txt"),
        ("report",),
        ("diff", "out"),
    ):
        stage.play(*arguments)


# --- A complete run that is damaged -----------------------------------------------------------


class Copy:
    """A copy of the recorded night, with a hand on its files; digests fit what was changed."""

    def __init__(self, out: Path) -> None:
        self.out = out
        [self.run] = (out / "runs").iterdir()

    def part(self, table: str) -> Path:
        [path] = self.out.glob(f"{table}/*/*.parquet")
        return path

    def change(self, table: str, change: Callable[[list[dict[str, Any]]], object]) -> None:
        """The table with other rows."""
        path = self.part(table)
        found = pq.read_table(path, partitioning=None)
        rows = found.to_pylist()
        change(rows)
        pq.write_table(pa.Table.from_pylist(rows, found.schema), path)
        self.list_again()

    def change_json(self, name: str, change: Callable[[Any], object]) -> None:
        path = self.run / name
        content = json.loads(path.read_bytes())
        change(content)
        path.write_text(json.dumps(content, indent=2), "utf-8")
        if name != "manifest.json":
            self.list_again()
        else:
            self._mark()

    def list_again(self) -> None:
        """The manifest anew, for what lies there now."""
        manifest = self.run / "manifest.json"
        content = json.loads(manifest.read_bytes())
        for entry in content["files"]:
            path = self.out / entry["path"]
            entry.update(bytes=path.stat().st_size, sha256=_digest(path))
            if "table" in entry:
                entry["rows"] = pq.read_metadata(path).num_rows
        manifest.write_text(json.dumps(content, indent=2), "utf-8")
        self._mark()

    def _mark(self) -> None:
        digest = _digest(self.run / "manifest.json")
        (self.run / "_SUCCESS").write_text(f"{digest}\n", "utf-8")
        latest = self.out / "latest.json"
        was = json.loads(latest.read_bytes())["manifest_sha256"]
        latest.write_text(latest.read_text("utf-8").replace(was, digest), "utf-8")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _first(rows: list[dict[str, Any]], **values: Any) -> dict[str, Any]:
    return next(row for row in rows if all(row[name] == value for name, value in values.items()))


def _swap_e164(rows: list[dict[str, Any]]) -> None:
    rows[0]["e164"], rows[-1]["e164"] = rows[-1]["e164"], rows[0]["e164"]


Damage = Callable[[Copy], object]
_DATED = {"endpoint": "sim-swap/retrieve-date", "latest_change": "reported"}
_CHECKED = {"endpoint": "sim-swap/check", "outcome": "success"}
_DAMAGES: dict[str, Damage] = {
    "marker gone": lambda copy: (copy.run / "_SUCCESS").unlink(),
    "latest.json of another run": lambda copy: (copy.out / "latest.json").write_text(
        (copy.out / "latest.json").read_text("utf-8").replace(copy.run.name, "20260302-0123456789")
    ),
    "a file gone": lambda copy: (copy.run / "errors.csv").unlink(),
    "a file cut short": lambda copy: copy.part("lookups").write_bytes(
        copy.part("lookups").read_bytes()[:-10]
    ),
    "a byte changed": lambda copy: (copy.run / "schema.json").write_text(
        (copy.run / "schema.json").read_text("utf-8").replace("Int64", "Int32", 1)
    ),
    "a stranger": lambda copy: shutil.copy(
        copy.part("lookups"), copy.part("lookups").with_name(f"{copy.run.name}-00007.parquet")
    ),
    "open to all": lambda copy: copy.part("results").chmod(0o644),
    "a file listed twice": lambda copy: copy.change_json(
        "manifest.json", lambda m: m["files"].append(m["files"][0])
    ),
    "another figure": lambda copy: copy.change_json(
        "summary.json", lambda s: s["rows"].update(read=7)
    ),
    "another status": lambda copy: copy.change_json("summary.json", lambda s: s.update(cost=99.5)),
    "a row lost": lambda copy: copy.change("results", lambda rows: rows.pop()),
    "a row twice": lambda copy: copy.change("results", lambda rows: rows.append(dict(rows[0]))),
    "a lookup lost": lambda copy: copy.change("lookups", lambda rows: rows.pop()),
    "an error lost": lambda copy: copy.change("errors", lambda rows: rows.pop()),
    "two numbers exchanged": lambda copy: copy.change("results", _swap_e164),
    "a value turned": lambda copy: copy.change(
        "lookups", lambda rows: _first(rows, **_CHECKED).update(swapped=True)
    ),
    "a value without success": lambda copy: copy.change(
        "lookups", lambda rows: _first(rows, outcome="not_found").update(swapped=False)
    ),
    "another source": lambda copy: copy.change(
        "lookups", lambda rows: _first(rows, **_DATED).update(source="derived")
    ),
    "another window": lambda copy: copy.change(
        "lookups", lambda rows: _first(rows, **_CHECKED).update(max_age_minutes=3)
    ),
    "another date": lambda copy: copy.change(
        "lookups", lambda rows: _first(rows, **_DATED).update(latest_change="none_reported")
    ),
    "a contradiction": lambda copy: copy.change(
        "lookups", lambda rows: _first(rows, **_CHECKED).update(contradiction=True)
    ),
    "another flag": lambda copy: copy.change(
        "results", lambda rows: _first(rows, risk_sim_recent=False).update(risk_sim_recent=True)
    ),
    "nothing where something is required": lambda copy: copy.change(
        "lookups", lambda rows: rows[0].update(attempts=None)
    ),
    "errors.csv is shorter": lambda copy: (
        (copy.run / "errors.csv").write_text(
            "".join((copy.run / "errors.csv").read_text("utf-8").splitlines(keepends=True)[:-1])
        ),
        copy.list_again(),
    ),
}


def damage(stage: Stage) -> None:
    """One damage after the other to a copy of the recorded night, and what is found of it."""
    for number, (name, harm) in enumerate(_DAMAGES.items()):
        out = f"out{number:02}"
        stage.unpack("night", out)
        harm(Copy(stage.folder / out))
        stage.note(name)
        stage.play("validate", out, edit=_only_what_differs)
    stage.play("validate", "out00", "--json")


def _only_what_differs(text: str) -> str:
    """Without the checks that find nothing: they are the same ones every time."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("  ok "))
