"""Redaction of API keys in text, however a library quotes them: escaped, encoded, wrapped, cut.

A key is registered once, where it is read; every text that passes here afterwards loses it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

_SHOWN = "[key]"
_SHORTEST_PIECE = 8  # a match of fewer characters of a key is chance
_SHORTEST_CODED = 12
_SHORTEST_KEY = 4  # what is shorter is found by trying, and hiding it would spoil every text
_MOST_ESCAPED = 3  # an address in a JSON text in a repr is escaped three times

# An escaped character; and what may stand between two characters in wrapped or quoted text.
_ESCAPE = re.compile(
    r"%([0-9a-f]{2})|\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|(&(?:\#\d{1,3}|\#x[0-9a-f]{1,2}|[a-z]{2,4});)"
    r"|(\\[nrt])",
    re.IGNORECASE,
)
_IGNORED = re.compile(r"[\s\"'\\\u00ad\u200b-\u200f\u2060\ufeff]+")

_pieces: dict[int, set[str]] = {}
_known: set[str] = set()

_Spans = list[tuple[int, int]]


def hide(key: str) -> None:
    """Registers the key: no text that is masked afterwards shows it."""
    if len(key) < _SHORTEST_KEY or key in _known:
        return
    _known.add(key)
    _add(_IGNORED.sub("", key), _SHORTEST_PIECE)
    for coded in _coded(key.encode()):
        _add(coded, _SHORTEST_CODED)


def forget_keys() -> None:
    """Unregisters all keys; for tests, so that their keys do not affect each other."""
    _known.clear()
    _pieces.clear()


def hide_keys(text: str) -> str:
    """The text with every registered key, and every longer piece of one, replaced.

    >>> hide("s3cret/k3y")
    >>> hide_keys("apiKey=s3cret%2Fk3y and s3cret/k…")
    'apiKey=[key] and [key]…'
    >>> forget_keys()
    """
    if not _pieces or len(text) < min(_pieces):
        return text
    spans = [span for letters, places in _readings(text) for span in _pieces_in(letters, places)]
    kept: list[str] = []
    end = 0
    for start, stop in sorted(spans):
        if start > end or not kept:  # overlapping pieces are one
            kept += [text[end:start], _SHOWN]
        end = max(end, stop)
    return "".join((*kept, text[end:]))


def _add(secret: str, shortest: int) -> None:
    size = min(len(secret), shortest)
    if size >= _SHORTEST_KEY:
        pieces = {secret[i : i + size] for i in range(len(secret) - size + 1)}
        _pieces.setdefault(size, set()).update(pieces)


def _coded(key: bytes) -> Iterator[str]:
    """The key in hexadecimal, and in base64 at each of the three offsets it may have."""
    yield key.hex()
    yield key.hex().upper()
    for before in range(3):
        coded = base64.b64encode(bytes(before) + key).decode()
        # The letters at both ends also depend on what stands around the key.
        letters = coded[-(-8 * before // 6) : 8 * (before + len(key)) // 6]
        yield letters
        yield letters.translate(str.maketrans("+/", "-_"))


def _readings(text: str) -> Iterator[tuple[str, _Spans]]:
    """The text's characters with their places: as written, then with each layer unescaped."""
    letters, spans = text, [(i, i + 1) for i in range(len(text))]
    for _ in range(_MOST_ESCAPED + 1):
        yield letters, spans
        if not _ESCAPE.search(letters):
            return
        letters, spans = _unescaped(letters, spans)


def _unescaped(letters: str, spans: _Spans) -> tuple[str, _Spans]:
    from html import unescape  # noqa: PLC0415 (its table of names is not for every start)

    shown, places, end = [], [], 0
    for escape in _ESCAPE.finditer(letters):
        shown.append(letters[end : escape.start()])
        places += spans[end : escape.start()]
        start, end = escape.span()
        percent, byte, unit, entity, blank = escape.groups()
        if blank:
            character = " "
        else:
            character = unescape(entity) if entity else chr(int(percent or byte or unit, 16))
        shown.append(character)
        places += [(spans[start][0], spans[end - 1][1])] * len(character)
    return "".join((*shown, letters[end:])), places + spans[end:]


def _pieces_in(letters: str, spans: _Spans) -> Iterator[tuple[int, int]]:
    """The places in the original text of all parts of a key."""
    kept = [(c, span) for c, span in zip(letters, spans, strict=True) if not _IGNORED.match(c)]
    letters, spans = "".join(c for c, _ in kept), [span for _, span in kept]
    for size, pieces in _pieces.items():
        for start in range(len(letters) - size + 1):
            if letters[start : start + size] in pieces:
                yield spans[start][0], spans[start + size - 1][1]
