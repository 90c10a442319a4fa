"""Hostile answers: decompression bombs, drips, floods, swapped answers, injections.

Most of them cannot be said with a web server's means, so a reply holds the very bytes. Pure,
as ``faults`` is; nothing here is ever the truth about a number.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import chain, repeat

import msgspec

from batch_screen.sandbox.magic import Behaviour

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_BLOCK = b" " * 2**16
_BLOCKS_IN_A_GIGABYTE = 2**14

_FALSE_DATE = "2001-02-03T04:05:06Z"
_EVERY_FIELD = {
    "swapped": True,
    "active": True,
    "latestSimChange": _FALSE_DATE,
    "latestDeviceChange": _FALSE_DATE,
}
_OTHERS_BODY = msgspec.json.encode(_EVERY_FIELD)

NOBODYS_CORRELATOR = "00000000-0000-0000-0000-000000000000"
OTHERS_ANSWER = (
    _OK
    + f"x-correlator: {NOBODYS_CORRELATOR}\r\n".encode()
    + b"Content-Length: %d\r\n\r\n" % len(_OTHERS_BODY)
    + _OTHERS_BODY
)
"""A well-formed answer to somebody else's question, under every name there is."""


FOREIGN_BODY = msgspec.json.encode({**_EVERY_FIELD, "phoneNumber": "+441632960961"})
"""A success that names another number."""

_ODD_DOCUMENTS = (
    b"\xef\xbb\xbf" + _OTHERS_BODY,  # a byte order mark
    _OTHERS_BODY.decode().encode("utf-16"),
    _OTHERS_BODY + _OTHERS_BODY,
    _OTHERS_BODY + b"]",
    _OTHERS_BODY[:-1] + b',"deep":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    _OTHERS_BODY[:-1] + b',"large":' + b"9" * 60_000 + b"}",
    _OTHERS_BODY.replace(b":", b":[")
    .replace(b",", b"],")
    .replace(b"}", b"]}"),  # each value in a list
    _OTHERS_BODY.replace(b"s", b"\\u017f").replace(b"act", b"Act"),  # equal if case is ignored
)
_POISON = (
    '=HYPERLINK("http://127.0.0.1/?x="&A1)',  # for a spreadsheet
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\x1b]0;owned\x07\x1b[2J\x1b[31mred",  # for a terminal
    "a\u202etxt.exe\u2066b\u200b\u2028c\x00d\r\ne",  # for a reader's eye
    "<script>alert(1)</script>[red]x[/red]{0}%s",  # for a page, and for formats
)


def poisoned_body(number: str, key: str) -> bytes:
    """An error whose texts contain formulas, escapes, markup, the number and the key."""
    poison = _POISON[int(number[-3:]) % len(_POISON)]
    message = f"{poison} {number} {key}"
    return msgspec.json.encode({"status": 422, "code": poison, "message": message})


def odd_document(number: str) -> bytes:
    """A malformed body that lenient parsers take for JSON."""
    return _ODD_DOCUMENTS[int(number[-3:]) % len(_ODD_DOCUMENTS)]


@cache  # a quarter of a second, in which the server would answer nobody
def gzip_bomb() -> bytes:
    """An answer of 32 MiB in 32 KiB."""
    return gzip.compress(_OTHERS_BODY + b" " * 2**25)


def _drip(head: bytes) -> Iterator[bytes]:
    return chain([head + b"Content-Length: 9999\r\n\r\n"], repeat(b" ", 3600))


RAW: dict[Behaviour, Callable[[], Iterable[bytes]]] = {
    Behaviour.BODY_BOMB: lambda: chain(
        [_OK + b"Transfer-Encoding: chunked\r\n\r\n"],
        repeat(b"10000\r\n" + _BLOCK + b"\r\n", _BLOCKS_IN_A_GIGABYTE),
    ),
    Behaviour.LENGTH_BOMB: lambda: chain(
        [_OK + b"Content-Length: 1073741824\r\n\r\n"], repeat(_BLOCK, _BLOCKS_IN_A_GIGABYTE)
    ),
    Behaviour.HEADER_BOMB: lambda: chain([_OK, b"X-Large: "], repeat(b"x" * 65_536, 160)),
    Behaviour.INTERIM_FLOOD: lambda: chain(
        repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 100), [OTHERS_ANSWER[:40]]
    ),
    Behaviour.DRIP: lambda: _drip(_OK),
    Behaviour.ERROR_DRIP: lambda: _drip(b"HTTP/1.1 422 No\r\n"),
    Behaviour.NOISE: lambda: [_OTHERS_BODY, OTHERS_ANSWER],
    # TLS for "internal error": no harm meant, but no word of HTTP.
    Behaviour.GARBLED: lambda: [b"\x15\x03\x03\x00\x02\x02\x50"],
}
"""Pieces sent instead of an answer, before the connection is closed."""

DRIPS = frozenset({Behaviour.DRIP, Behaviour.ERROR_DRIP})
DRIP_SECONDS = 1.0
LATE_SECONDS = 0.02
