"""Names of folders that libraries or shells read as something else."""

from __future__ import annotations

FOLDERS = [
    "nightly:2026",
    "nightly:2026/second",
    "file:",
    "two words",
    'it\'s "quoted"',
    "a*b",
    "list[1]",
    "[ab]",
    "what?",
    "{a,b}",
    "100%25",
    "~",
    "#1;2&3|4",
    "back\\slash",
    "$HOME",
    "-out",
    "--json",
    "caf\u00e9",
    "cafe\u0301",
    "日本 \u202e",
    "trailing/",
    "./dots/",
    "n" * 200,
    "run_date=2026-01-01",
    "line\nbreak",
]
LATIN_1 = b"caf\xe9".decode(errors="surrogateescape")
"""A name that is not UTF-8, as Python has it."""
