"""Recognises files that are no list, and refuses them with the name of their format."""

from __future__ import annotations

import re

from batch_screen.errors import InputError, empty_input

_FOREIGN = (
    (b"PK\x03\x04", "a packed zip archive or Excel workbook: unpack it"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"PK\x07\x08", "a zip archive in several parts: unpack it"),
    (b"\xd0\xcf\x11\xe0", "a packed Excel workbook: unpack it"),
    (b"%PDF", "a PDF document: export the list as CSV"),
    (b"{\\rtf", "a text-processor document: export the list as CSV"),
    (b"ORC", "an ORC file: export it as Parquet or CSV"),
    (b"Obj\x01", "an Avro file: export it as Parquet or CSV"),
    (b"ARROW1", "an Arrow or Feather file: write it as Parquet"),
    (b"PARE", "an encrypted Parquet file: write it unencrypted"),
    (b"SQLite format 3", "an SQLite database: export the table as CSV"),
    (b"BZh", "packed twice: unpack it once"),
    (b"\xfd7zXZ", "an xz archive: unpack it, or use gzip or zstd"),
    (b"\x04\x22\x4d\x18", "an lz4 archive: unpack it, or use gzip or zstd"),
    (b"7z\xbc\xaf", "a 7-zip archive: unpack it"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"\x1f\x9d", "packed by compress (.Z): unpack it, or use gzip or zstd"),
    (b"\x1f\x8b", "packed twice: unpack it once"),
    (b"\x28\xb5\x2f\xfd", "packed twice: unpack it once"),
    (b"PAR1", "a packed Parquet file: unpack it, Parquet is compressed inside"),
)
_TEXTS = tuple(
    (re.compile(rb"\s*(" + begins + rb")", re.IGNORECASE), remedy)
    for begins, remedy in (
        (rb'\{\s*["}]|\[\s*[{\["\d\]]', "JSON: export the list as CSV or Parquet"),
        (rb"<(\?xml|!doctype|[a-z]+[\s>])", "XML or a web page: export the list as CSV"),
        (rb"BEGIN:VCARD", "vCards: export the contacts as CSV"),
        (
            rb"((--|/\*).*\s+)*(insert +into|create +table|drop +table|set +names)\s",
            "an SQL dump: export the table as CSV",
        ),
    )
)
_CONTROLS = bytes(c for c in range(32) if c not in b"\t\n\r\f\v\x1a\x1b\x01\x1f")
_MOST_CONTROLS = 0.02


def refuse_foreign(raw: bytes, name: str, encoding: str) -> None:
    for magic, remedy in _FOREIGN:
        if raw.startswith(magic) and (magic != b"ORC" or b"\x00" in raw[:64]):
            raise InputError(f"{name}: it looks like {remedy}")
    if raw[257:262] == b"ustar":
        raise InputError(f"{name}: it looks like a tar archive: unpack it")
    is_bytewise = encoding in ("", "utf-8")
    if is_bytewise and _control_share(raw) > _MOST_CONTROLS:
        raise InputError(f"{name}: it looks like a binary file: export the list as CSV or Parquet")


def refuse_text(sample: bytes, name: str) -> None:
    if not sample.strip():
        raise empty_input(f"{name}: it holds blank lines only; export the list again")
    for begins, remedy in _TEXTS:
        if begins.match(sample):
            raise InputError(f"{name}: it looks like {remedy}")
    if _control_share(sample) > _MOST_CONTROLS:
        raise InputError(
            f"{name}: it looks like a binary file, or is in another encoding: export the list as "
            "CSV, or set input.encoding (--encoding)"
        )


def _control_share(sample: bytes) -> float:
    return 1 - len(sample.translate(None, _CONTROLS)) / max(1, len(sample))
