from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.api.encoding import (
    NOT_DECODABLE,
    TOO_LARGE,
    TRUNCATED,
    UNKNOWN_ENCODING,
    EncodingError,
    unpacked,
)

BODY = b'{"swapped": true, "more": [1, 2, 3]}'
MOST = 1000


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def raw(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzipped),
    "x-gzip": ("x-gzip", gzipped),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw),
    "deflate that is gzip": ("deflate", gzipped),
    "gzip that is deflate": ("gzip", zlib.compress),
}
packers = pytest.mark.parametrize(("name", "pack"), PACKERS.values(), ids=PACKERS)


def refused(content: bytes, *codings: str, most_bytes: int = MOST) -> str:
    with pytest.raises(EncodingError) as error:
        unpacked(content, codings, most_bytes)
    return str(error.value)


@packers
def test_what_was_packed_is_unpacked(name: str, pack: Callable[[bytes], bytes]) -> None:
    for content in (BODY, b"", b"<html>", b"\xff\x00" * 100):
        assert unpacked(pack(content), [name], MOST) == content
    assert unpacked(pack(BODY), [name.upper()], MOST) == BODY


@packers
@given(content=st.binary(max_size=MOST))
def test_any_content_comes_back(name: str, pack: Callable[[bytes], bytes], content: bytes) -> None:
    packed = pack(content)
    if len(packed) <= MOST and not packed.lstrip(b" \t\r\n").startswith(b"{"):
        assert unpacked(packed, [name], MOST) == content


def test_nothing_is_done_where_nothing_is_named() -> None:
    for codings in ([], ["identity"], ["IDENTITY", "identity", "identity"]):
        assert unpacked(gzipped(BODY), codings, MOST) == gzipped(BODY)


def test_two_codings_are_undone_last_one_first() -> None:
    both = zlib.compress(gzipped(BODY))
    assert unpacked(both, ["gzip", "deflate"], MOST) == BODY
    assert unpacked(gzipped(gzipped(BODY)), ["gzip", "identity", "gzip"], MOST) == BODY


def test_more_than_two_are_unknown() -> None:
    three = gzipped(gzipped(gzipped(BODY)))
    assert refused(three, "gzip", "gzip", "gzip") == UNKNOWN_ENCODING


@pytest.mark.parametrize(
    "name", ["br", "zstd", "compress", "utf-8", "gz", "", "gzip;q=1", "x" * 99]
)
def test_what_nobody_here_can_read_is_named_so(name: str) -> None:
    assert refused(gzipped(BODY), name) == UNKNOWN_ENCODING
    assert refused(gzipped(BODY), "gzip", name) == UNKNOWN_ENCODING
    assert refused(gzipped(gzipped(BODY)), name, "gzip") == UNKNOWN_ENCODING


@pytest.mark.parametrize("names", [["gzip"], ["deflate"], ["br"], ["utf-8"], ["gzip"] * 5])
def test_json_as_it_stands_was_not_packed_whatever_is_named(names: list[str]) -> None:
    for content in (BODY, b" \r\n" + BODY, BODY[:9]):
        assert unpacked(content, names, MOST) == content
    # Named twice, as by two proxies, and packed once.
    assert unpacked(gzipped(BODY), ["gzip", "gzip"], MOST) == BODY


@packers
def test_no_cut_stream_is_whole(name: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(BODY)
    assert {refused(packed[:length], name) for length in range(len(packed))} == {TRUNCATED}


@pytest.mark.parametrize("pack", [gzipped, zlib.compress])
@given(data=st.data())
def test_damage_is_found_by_the_checksum(
    pack: Callable[[bytes], bytes], data: st.DataObject
) -> None:
    packed = bytearray(pack(BODY))
    place = data.draw(st.integers(10, len(packed) - 1))  # behind the head
    packed[place] ^= 1 << data.draw(st.integers(0, 7))
    assert refused(bytes(packed), "gzip") in (NOT_DECODABLE, TRUNCATED)


@pytest.mark.parametrize(
    "content", [b"<html>", b"null", b"\x1f\x8b\xff" * 9, b"\x78\x9c\xff\xff", gzipped(BODY) + b"x"]
)
def test_what_is_no_such_stream_cannot_be_read(content: bytes) -> None:
    assert refused(content, "gzip") == NOT_DECODABLE


@pytest.mark.parametrize("pack", [zlib.compress, raw])
def test_nothing_may_follow_a_stream_of_deflate(pack: Callable[[bytes], bytes]) -> None:
    assert refused(pack(BODY) + b"\n", "deflate") == NOT_DECODABLE


def test_a_stream_of_gzip_may_go_on() -> None:
    assert unpacked(gzipped(BODY[:7]) + gzipped(BODY[7:]), ["gzip"], MOST) == BODY
    assert refused(gzipped(BODY) + gzipped(b"")[:-1], "gzip") == TRUNCATED
    assert unpacked(gzipped(b"") * 16, ["gzip"], MOST) == b""
    assert refused(gzipped(b"") * 17, "gzip") == NOT_DECODABLE  # each is a copy of the rest


@packers
def test_the_bound_holds_to_the_byte(name: str, pack: Callable[[bytes], bytes]) -> None:
    assert len(unpacked(pack(b"x" * MOST), [name], MOST)) == MOST
    assert refused(pack(b"x" * (MOST + 1)), name) == TOO_LARGE


def test_the_bound_counts_for_all_members_and_for_what_comes_in() -> None:
    half = gzipped(b"x" * (MOST // 2))
    assert len(unpacked(half * 2, ["gzip"], MOST)) == MOST
    assert refused(half * 2 + gzipped(b"x"), "gzip") == TOO_LARGE
    noise = random.Random(1).randbytes(MOST + 1)
    assert refused(noise, "gzip") == refused(noise, "br") == refused(noise) == TOO_LARGE


@packers
def test_a_bomb_takes_no_memory(name: str, pack: Callable[[bytes], bytes]) -> None:
    bomb = pack(b" " * 32 * 2**20)
    twice = gzipped(bomb)
    tracemalloc.start()
    try:
        assert refused(bomb, name, most_bytes=2**16) == TOO_LARGE
        assert refused(twice, name, "gzip", most_bytes=2**16) == TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 2**19
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=200), st.lists(st.sampled_from(["gzip", "deflate", "br", "identity"])))
def test_any_bytes_are_read_or_refused_within_the_bound(content: bytes, names: list[str]) -> None:
    with suppress(EncodingError):
        assert len(unpacked(content, names, 300)) <= 300
