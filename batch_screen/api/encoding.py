"""Decompresses a body that came compressed unasked; pure, with bounded output.

Sources: RFC 9110, 8.4 (codings and their order) and RFC 1950 to 1952. Some gateways compress
whatever the request says, and the answer is paid for. Knows what zlib knows: no br, no zstd.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

TRUNCATED = "truncated"
TOO_LARGE = "too_large"
NOT_DECODABLE = "not_decodable"
UNKNOWN_ENCODING = "unknown_encoding"

_DEFLATE = "deflate"
_KNOWN = frozenset({_DEFLATE, "gzip", "x-gzip"})  # the last by RFC 9110, 8.4.1.3
_MOST_CODINGS = 2  # an origin's and a gateway's; more is no accident
_MOST_MEMBERS = 16  # of one gzip stream; each copies what is left
_GZIP_MAGIC = b"\x1f\x8b"
_RAW = -zlib.MAX_WBITS
_BY_ITS_HEAD = 32 + zlib.MAX_WBITS  # gzip or zlib: servers mix the two names up
_JSON_SPACE = b" \t\r\n"


class EncodingError(Exception):
    """The body cannot be decompressed; carries the reason."""


def unpacked(content: bytes, codings: Sequence[str], most_bytes: int) -> bytes:
    """Decompresses the body: undoes its content codings, the last one first.

    Raises ``EncodingError``: ``TOO_LARGE`` beyond ``most_bytes``, packed or not, and never makes
    more than one byte beyond; ``TRUNCATED`` if the end is missing; ``NOT_DECODABLE`` if it is no
    such stream, or a damaged one; ``UNKNOWN_ENCODING``.

    >>> unpacked(zlib.compress(b'{"swapped":true}'), ["deflate"], 100)
    b'{"swapped":true}'
    """
    if len(content) > most_bytes:
        raise EncodingError(TOO_LARGE)
    named = [name for name in map(str.lower, codings) if name != "identity"]
    for name in reversed(named):
        # JSON as it stands: the header is one that a proxy forgot, or says "utf-8". No gzip, zlib,
        # br or zstd stream begins with a brace, and no raw deflate of ASCII.
        if content.lstrip(_JSON_SPACE).startswith(b"{"):
            break
        if name not in _KNOWN or len(named) > _MOST_CODINGS:
            raise EncodingError(UNKNOWN_ENCODING)
        content = _inflated(content, name, most_bytes)
    return content


def _inflated(content: bytes, name: str, most_bytes: int) -> bytes:
    whole = b""
    for _ in range(_MOST_MEMBERS):
        stream = zlib.decompressobj(_window_bits(content, name))
        try:
            whole += stream.decompress(content, most_bytes + 1 - len(whole))
        except zlib.error as error:
            raise EncodingError(NOT_DECODABLE) from error
        if len(whole) > most_bytes:
            raise EncodingError(TOO_LARGE)
        if not stream.eof:
            raise EncodingError(TRUNCATED)
        content = stream.unused_data
        if not content:
            return whole
        if not content.startswith(_GZIP_MAGIC):  # only gzip may go on (RFC 1952, 2.2)
            break
    raise EncodingError(NOT_DECODABLE)


def _window_bits(content: bytes, name: str) -> int:
    """The zlib window bits of a coding: "deflate" means zlib, but some servers omit its header."""
    if name != _DEFLATE or content.startswith(_GZIP_MAGIC[:1]):
        return _BY_ITS_HEAD
    # RFC 1950, 2.2: the method is 8 and both bytes are a multiple of 31. No encoder's raw
    # stream begins so: the padding of a stored block is zero.
    head = int.from_bytes(content[:2])
    is_zlib = head >> 8 & 15 == 8 and head % 31 == 0
    return _BY_ITS_HEAD if is_zlib else _RAW
