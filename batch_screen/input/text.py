"""Bytes of a text file as UTF-8: unpacked within the caps, and decoded, chunk by chunk.

Knows no rows; what it yields is cut into rows by ``csv``.
"""

from __future__ import annotations

import bz2
import codecs
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Literal

import pyarrow as pa

from batch_screen.errors import ConfigurationError, InputError
from batch_screen.input.archive import open_member
from batch_screen.input.files import translated
from batch_screen.input.layout import Packing
from batch_screen.input.limits import Caps, claimed_bytes

CHUNK_BYTES = 4 << 20
_CLAIM_BYTES = 18  # the longest frame header of zstd
_BOM = codecs.BOM_UTF8
# Windows-1252 as browsers read it: the five bytes it leaves open are control characters, so
# every byte has a meaning and no cell can stop a run.
_WINDOWS_1252 = "".join(
    chr(byte) if byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else bytes([byte]).decode("cp1252")
    for byte in range(256)
)


def unpacked(
    path: Path, name: str, packing: Packing, caps: Caps, size: int = CHUNK_BYTES
) -> Iterator[bytes]:
    """Decompresses a file as a stream of chunks that are not empty.

    InputError where the stream is damaged or truncated, or holds more than the caps allow, by its
    own header or in fact.
    """
    with translated(name), path.open("rb") as file:
        if packing is Packing.NONE:
            while chunk := file.read(size):
                yield chunk
            return
        # A file that calls itself too large is refused before any of it is unpacked.
        head = file.read(_CLAIM_BYTES)
        packed = file.seek(0, os.SEEK_END)
        file.seek(max(0, packed - _CLAIM_BYTES))
        caps.check(name, packed, claimed_bytes(packing, packed, head, file.read()))
        file.seek(0)
        total = 0
        with _opened(file, name, packing, caps) as stream:
            while chunk := stream.read(size):
                total += len(chunk)
                # Against what was read of it so far, so that a long bomb is soon noticed.
                caps.check(name, file.tell(), total)
                yield chunk


def _opened(file: BinaryIO, name: str, packing: Packing, caps: Caps) -> Any:
    """The unpacked stream of a packed file."""
    if packing is Packing.ZIP:
        return open_member(file, name, caps)
    if packing is Packing.BZIP2:
        return bz2.BZ2File(file)
    codec: Literal["gzip", "zstd"] = "gzip" if packing is Packing.GZIP else "zstd"
    return pa.CompressedInputStream(pa.PythonFile(file, mode="r"), codec)


def utf8(chunks: Iterator[bytes], name: str, encoding: str) -> Iterator[bytes]:
    """Decodes chunks to valid UTF-8 without a BOM; no chunk ends inside a character.

    An empty ``encoding`` means UTF-8, or else Windows-1252. Line ends stay as they are.
    """
    decoded = _named(chunks, name, encoding) if encoding else _guessed(chunks, name)
    head = b""
    for chunk in decoded:
        head += chunk
        if len(head) >= len(_BOM):
            break
    head = head.removeprefix(_BOM)
    if head:
        yield head
    yield from decoded


def guessed_encoding(chunks: Iterator[bytes]) -> str:
    r"""The encoding ``utf8`` finds where none is named; ``ascii`` where any would do.

    >>> guessed_encoding(iter([b"Z", b"o\xc3", b"\xab"])), guessed_encoding(iter([b"Zo\xeb"]))
    ('utf-8', 'windows-1252')
    """
    pending = b""
    for chunk in chain(chunks, (b"",)):
        data = pending + chunk
        try:
            used = len(data) if data.isascii() else _valid_utf8(data, is_last=not chunk)
        except UnicodeDecodeError as error:
            return "windows-1252" if data[: error.start].isascii() else "utf-8"
        if not data[:used].isascii():
            return "utf-8"
        pending = data[used:]
    return "ascii"


def checked_encoding(encoding: str) -> str:
    """Python's name of a text encoding. Raises ``ConfigurationError`` for any other."""
    try:
        known = codecs.lookup(encoding)
        with suppress(UnicodeDecodeError):
            b"a".decode(known.name)  # a LookupError for a codec that is not one of text
        codecs.getincrementaldecoder(known.name)
    except (LookupError, ValueError):
        raise ConfigurationError(
            f"input.encoding: {encoding!r} is no known encoding; try utf-8, windows-1252, "
            "latin-1 or utf-16, or leave it empty"
        ) from None
    return known.name


def _guessed(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    pending, offset, only_ascii = b"", 0, True
    for chunk in chain(chunks, (b"",)):
        data = pending + chunk
        try:
            used = len(data) if data.isascii() else _valid_utf8(data, is_last=not chunk)
        except UnicodeDecodeError as error:
            # Only where all before was ASCII, which reads the same in both encodings.
            if not only_ascii or not data[: error.start].isascii():
                raise _undecodable(name, offset + error.start, "UTF-8") from None
            for rest in chain((data,), chunks):
                yield codecs.charmap_decode(rest, "strict", _WINDOWS_1252)[0].encode()
            return
        only_ascii = only_ascii and data[:used].isascii()
        pending, offset = data[used:], offset + used
        if used:
            yield data[:used]


def _valid_utf8(data: bytes, *, is_last: bool) -> int:
    """The number of leading bytes that are whole characters; raises where one is not UTF-8."""
    return codecs.utf_8_decode(data, "strict", is_last)[1]


def _named(chunks: Iterator[bytes], name: str, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    fed = 0
    for chunk in chain(chunks, (b"",)):
        fed += len(chunk)
        try:
            text = decoder.decode(chunk, not chunk).encode()
        except UnicodeDecodeError as error:
            # The decoder may have held bytes back: the error counts from the first of them.
            offset = fed - len(error.object) + error.start
            raise _undecodable(name, offset, encoding) from None
        except UnicodeError:
            raise _undecodable(name, fed, encoding) from None
        if text:
            yield text


def _undecodable(name: str, offset: int, encoding: str) -> InputError:
    return InputError(
        f"{name}: the text at byte {offset} is not {encoding}; set input.encoding (--encoding) "
        "to the encoding the file was written in, such as windows-1252"
    )
