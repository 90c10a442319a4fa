"""Takes API keys out of text, however they are spelled there.

A key is made known once, where it is read; from then on every text that passes here loses
it. Other libraries quote it as they please: escaped, encoded, wrapped or cut short.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from html import unescape

_SHOWN = "[key]"
_SHORTEST_PIECE = 8
"""So many characters in a row of a key are taken for a piece of it."""
_SHORTEST_CODED = 12
_SHORTEST_KEY = 4  # what is shorter is found by trying, and hiding it would spoil every text
_MOST_ESCAPED = 3  # an address in a JSON text in a repr is escaped three times

# A spelling of one character, and what may stand between two of a wrapped or quoted text.
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
    """Makes the key known: no text that is masked from now on shows it."""
    if len(key) < _SHORTEST_KEY or key in _known:
        return
    _known.add(key)
    _add(_IGNORED.sub("", key), _SHORTEST_PIECE)
    for coded in _coded(key.encode()):
        _add(coded, _SHORTEST_CODED)


def forget_keys() -> None:
    """Makes no key known: for tests, whose keys must not change each other's texts."""
    _known.clear()
    _pieces.clear()


def hide_keys(text: str) -> str:
    """The text with every known key, and every longer piece of one, replaced.

    >>> hide("s3cret/k3y")
    >>> hide_keys("apiKey=s3cret%2Fk3y and s3cret/k…")
    'apiKey=[key] and [key]…'
    >>> forget_keys()
    """
    if not _pieces or len(text) < min(_pieces):
        return text
    found: list[tuple[int, int]] = []
    for letters, spans in _readings(text):
        found += _found(letters, spans)
    return _replaced(text, found)


def _add(secret: str, shortest: int) -> None:
    size = min(len(secret), shortest)
    if size >= _SHORTEST_KEY:
        pieces = {secret[i : i + size] for i in range(len(secret) - size + 1)}
        _pieces.setdefault(size, set()).update(pieces)


def _coded(key: bytes) -> Iterator[str]:
    """The key in hexadecimal, and in base64 wherever in a longer text it may begin."""
    yield key.hex()
    yield key.hex().upper()
    for before in range(3):
        coded = base64.b64encode(bytes(before) + key).decode()
        # The letters at both ends also depend on what stands around the key.
        letters = coded[-(-8 * before // 6) : 8 * (before + len(key)) // 6]
        yield letters
        yield letters.translate(str.maketrans("+/", "-_"))


def _readings(text: str) -> Iterator[tuple[str, _Spans]]:
    """The text's characters and where each stands, as it is and with its escapes undone."""
    letters, spans = text, [(i, i + 1) for i in range(len(text))]
    for _ in range(_MOST_ESCAPED + 1):
        yield letters, spans
        if not _ESCAPE.search(letters):
            return
        letters, spans = _unescaped(letters, spans)


def _unescaped(letters: str, spans: _Spans) -> tuple[str, _Spans]:
    shown, places, end = [], [], 0
    for escape in _ESCAPE.finditer(letters):
        shown.append(letters[end : escape.start()])
        places += spans[end : escape.start()]
        start, end = escape.span()
        character = _character(escape)
        shown.append(character)
        places += [(spans[start][0], spans[end - 1][1])] * len(character)
    return "".join((*shown, letters[end:])), places + spans[end:]


def _character(escape: re.Match[str]) -> str:
    percent, byte, unit, entity, blank = escape.groups()
    if blank:
        return " "
    return unescape(entity) if entity else chr(int(percent or byte or unit, 16))


def _found(letters: str, spans: _Spans) -> Iterator[tuple[int, int]]:
    """Where pieces of a key stand in the original text."""
    kept = [(c, span) for c, span in zip(letters, spans, strict=True) if not _IGNORED.match(c)]
    letters, spans = "".join(c for c, _ in kept), [span for _, span in kept]
    for size, pieces in _pieces.items():
        for start in range(len(letters) - size + 1):
            if letters[start : start + size] in pieces:
                yield spans[start][0], spans[start + size - 1][1]


def _replaced(text: str, found: list[tuple[int, int]]) -> str:
    kept: list[str] = []
    end = 0
    for start, stop in sorted(found):
        if start > end or not kept:
            kept += [text[end:start], _SHOWN]
        end = max(end, stop)
    return "".join((*kept, text[end:]))
