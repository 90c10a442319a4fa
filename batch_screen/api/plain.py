"""Whole replies of the plain kind, read at once: a status, headers, a body of a told length.

Nearly every answer comes like that, in one piece. aiohttp's parser, which makes a stream for
each, took as much CPU as sending and receiving. Whatever is not exactly so (in pieces, chunked,
interim, upgraded, unusual characters) is left to it: this knows one shape and no exceptions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from multidict import CIMultiDict

_LONGEST = 8 * 1024
_NO_BODY = frozenset({"204", "304"})
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEAD = re.compile(rf"HTTP/1\.1 ([2-5][0-9][0-9]) [ -~]*\r\n((?:{_NAME}:[ -~]*\r\n)+)\r\n")
_FIELD = re.compile(rf"({_NAME}): *([ -~]*)\r\n")
_LENGTH = re.compile(r"[0-9]{1,4}")


class Reply(NamedTuple):
    """What came back: status, headers and body as they were sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def plain_reply(data: bytes) -> Reply | None:
    r"""The reply that the bytes are, all of them; None: not one of the plain kind.

    >>> plain_reply(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").body
    b'{}'
    >>> plain_reply(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}") is None
    True
    """
    if len(data) > _LONGEST:
        return None
    text = data.decode("latin-1")  # a character for each byte, so places are the same
    head = _HEAD.match(text)
    if head is None or head[1] in _NO_BODY or " \r\n" in head[2]:
        return None
    headers = CIMultiDict(_FIELD.findall(head[2]))
    lengths = headers.getall("Content-Length", [])
    if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
        return None
    if int(lengths[0]) != len(data) - head.end() or "Transfer-Encoding" in headers:
        return None
    said = headers.getall("Connection", [])  # each of them may end it
    if "Upgrade" in headers or any(word.lower() != "keep-alive" for word in said):
        return None
    return Reply(int(head[1]), headers, data[head.end() :])
