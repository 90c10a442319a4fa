"""Searches what a command left and said for what nobody may find there.

``leaks`` knows nothing of how the command hides things: it decodes, joins and compares, so
that it also finds what the masking never thought of.
"""

from __future__ import annotations

import base64
import re
import stat
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

_TOLD_OF_A_KEY = 10
"""So many characters in a row of the key are a leak: nobody guesses them by chance."""
_TOLD_OF_A_NUMBER = 9
_RUN_ID = re.compile(r"\d{8}[-+][0-9a-f]{10}([-+]\d{5})?")
"""A run's id, and the number of its part after it: digits by chance, which no number is in."""
_DIGITS = re.compile(r"[+(]?\d(?:[^\w]{0,4}\d){7,}")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
_MARKS = re.compile(r"[\s'\"\\]+")

# Where numbers belong, below the output folder; a killed run leaves half-made ones.
_OF_NUMBERS = re.compile(
    r"(results|lookups|errors)/.*\.parquet"
    r"|(.*/)?\.?state/stdin-.*\.input"
    r"|(.*/)?\.?state/runs/[^/]+/\.?(plan|journal|sealed)[^/]*/.*"
    r"|runs/[^/]+/\.[^/]*\.parquet\.[0-9a-f]+\.tmp"
)


def leaks(
    folder: Path,
    said: Iterable[str | bytes],
    key: str,
    numbers: Collection[str],
    *,
    apart: Collection[Path] = (),
) -> list[str]:
    """Where the key, a whole number or an open mode was found; empty when all is well.

    ``folder`` is an output folder, ``said`` all that was printed, ``numbers`` the E.164
    numbers that were screened, ``apart`` files in the folder that are the caller's own.
    """
    found = [f"printed: {what}" for text in said for what in secrets_in(text, key, numbers)]
    for path in (folder, *sorted(folder.rglob("*"))):
        if path in apart or not path.exists():
            continue
        name = path.relative_to(folder).as_posix()
        expected = 0o700 if path.is_dir() else 0o600
        if (mode := stat.S_IMODE(path.stat().st_mode)) != expected:
            found.append(f"{name}: its mode is {mode:o}")
        found += [f"the name {name}: {what}" for what in secrets_in(name, key, numbers)]
        if path.is_file():
            hidden = () if _OF_NUMBERS.fullmatch(name) else numbers
            for text in _contents(path):
                found += [f"{name}: {what}" for what in secrets_in(text, key, hidden)]
    return found


def secrets_in(text: str | bytes, key: str, numbers: Collection[str]) -> set[str]:
    """The sorts of secrets that the text holds in some spelling."""
    texts = [text] if isinstance(text, str) else _decoded(text)
    found = set()
    for each in texts:
        spellings = set(_spellings(each))
        if any(part in spelling for spelling in spellings for part in _parts(key)):
            found.add("the key")
        wanted = {number[-_TOLD_OF_A_NUMBER:] for number in numbers}
        if any(not wanted.isdisjoint(_windows(spelling)) for spelling in spellings):
            found.add("a whole number")
    return found


def _parts(key: str) -> set[str]:
    """Pieces of the key, plain and in base64 wherever it may begin in another text."""
    if not key:
        return set()
    size = min(_TOLD_OF_A_KEY, len(key))
    pieces = {key[i : i + size] for i in range(len(key) - size + 1)}
    for offset in range(3):
        encoded = base64.b64encode(b" " * offset + key.encode()).decode()
        # The first and last letters also depend on what stands around the key.
        pieces.add(encoded[4 if offset else 0 : -4])
    return {*pieces, key.encode().hex(), key[::-1]} - {""}


def _spellings(text: str) -> Iterator[str]:
    """The text as it is, decoded, and without all that may part a secret in two."""
    plain = unicodedata.normalize("NFKC", text)
    for each in (plain, unquote(plain), unescape(plain), _ESCAPED.sub(_character, plain)):
        yield each
        yield _MARKS.sub("", each)
        yield each.replace("-", "+").replace("_", "/")  # base64 for addresses


def _character(escape: re.Match[str]) -> str:
    return chr(int(escape[1] or escape[2], 16))


def _windows(text: str) -> Iterator[str]:
    for run in _DIGITS.findall(_RUN_ID.sub("a run", text)):
        digits = "".join(str(unicodedata.digit(c)) for c in run if c.isdecimal())
        for start in range(len(digits) - _TOLD_OF_A_NUMBER + 1):
            yield digits[start : start + _TOLD_OF_A_NUMBER]


def _decoded(content: bytes) -> list[str]:
    texts = [content.decode("utf-8", "replace")]
    if b"\0" in content:
        texts += [content.decode(encoding, "replace") for encoding in ("utf-16-le", "utf-16-be")]
    return texts


def _contents(path: Path) -> Iterator[str | bytes]:
    """A file's bytes; a Parquet file's cells and notes too, which compression hides."""
    yield path.read_bytes()
    if path.suffix != ".parquet":
        return
    try:
        yield repr(pq.read_metadata(path).metadata)
        yield pl.read_parquet(path, hive_partitioning=False).write_json()
    except (OSError, pa.ArrowException, pl.exceptions.PolarsError):
        if ".growing" not in path.as_posix():  # a killed run may leave those torn
            raise
