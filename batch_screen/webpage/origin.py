"""Where the figures come from: settings, files with their digests, versions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from batch_screen.masking import safe_line
from batch_screen.output.manifest import ListedFile
from batch_screen.output.parts import TABLES
from batch_screen.output.summary import Summary
from batch_screen.schema import SCHEMA_VERSION
from batch_screen.webpage.tables import Column, Kind, Table, parted
from batch_screen.webpage.words import counted, size

_MOST_SETTINGS, _MOST_PARTS = 120, 12
_VALUE_CHARACTERS = 240
_USER = re.compile(r"(?<=//)[^/?#\s]*@")
"""A name and a password in an address."""


def settings_table(settings: Mapping[str, object]) -> Table:
    """What belongs to the run's identity; the key is no setting and never among them."""
    shown, others = parted(sorted(settings.items()), _MOST_SETTINGS)
    rows = [(_safe(name), _value(value)) for name, value in shown]
    columns = (Column("Setting", Kind.CODE), Column("Value", Kind.CODE))
    note = f"{counted(len(others), 'other')} in summary.json." if others else ""
    caption = "Settings that can change an answer or a row"
    return Table(caption, columns, rows, is_wide=True, note=note)


def _value(value: object) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _safe(_USER.sub("", shown)) or "–"


def _safe(text: str) -> str:
    return safe_line(text, _VALUE_CHARACTERS)


def files_table(files: Sequence[ListedFile]) -> Table:
    """Every file beside the tables' parts, and the first parts of each table."""
    rows, left_out = [], []
    for table in (None, *TABLES):
        shown, others = parted((f for f in files if f.table == table), _MOST_PARTS)
        rows += [_row(file) for file in shown]
        left_out += others
    columns = (
        Column("File", Kind.CODE),
        Column("Rows"),
        Column("Size"),
        Column("SHA-256", Kind.CODE),
    )
    return Table("Files", columns, rows, is_wide=True, note=_rest(left_out))


def _row(file: ListedFile) -> tuple[str, str, str, str]:
    rows = "–" if file.rows is None else f"{file.rows:,}"
    return file.path, rows, size(file.bytes), file.sha256


def _rest(files: Sequence[ListedFile]) -> str:
    if not files:
        return ""
    rows, total = sum(f.rows or 0 for f in files), sum(f.bytes for f in files)
    return (
        f"{counted(len(files), 'further part')} with {rows:,} rows and {size(total)}; "
        "manifest.json has the digest of each."
    )


def risk_version(summary: Summary) -> str:
    """The version of the rules for ages and flags that the rows name; empty without rows."""
    return ", ".join(summary.risk.get("risk_version", {}))


def versions_table(summary: Summary) -> Table:
    """What made the run, and what was noted while reading."""
    facts = {
        "run": summary.run_id,
        "run date": summary.run_date,
        "batch-screen": summary.version,
        "schema of the tables": str(SCHEMA_VERSION),
        **({"risk_version": version} if (version := risk_version(summary)) else {}),
        **{_safe(name.replace("_", " ")): _safe(value) for name, value in summary.facts.items()},
    }
    columns = (Column("What", Kind.TEXT), Column("Value", Kind.TEXT))
    return Table("Versions", columns, list(facts.items()))
