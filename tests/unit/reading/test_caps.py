from __future__ import annotations

import gzip

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.input import Input
from batch_screen.errors import InputError
from batch_screen.reading.caps import Caps, claimed_bytes
from batch_screen.reading.layout import Packing

MIB = 1 << 20


def claim(packing: Packing, data: bytes) -> int:
    return claimed_bytes(packing, len(data), data[:18], data[-18:])


@given(st.binary(max_size=70_000), st.integers(1, 9))
def test_gzip_says_its_size(data: bytes, level: int) -> None:
    assert claim(Packing.GZIP, gzip.compress(data, level)) == len(data)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65_535, 65_791, 65_792, 300_000])
def test_zstd_says_its_size(size: int) -> None:
    packed = bytes(pa.Codec("zstd").compress(bytes(size), asbytes=True))
    assert claim(Packing.ZSTD, packed) == size


@given(st.integers(0, 3), st.booleans(), st.integers(0, 3), st.data())
def test_every_zstd_header_is_read(width: int, single: bool, ids: int, data: st.DataObject) -> None:
    """Written after RFC 8878: descriptor, window, dictionary's id, content size."""
    field = (1 if single else 0, 2, 4, 8)[width]
    offset = 256 if field == 2 else 0
    size = data.draw(st.integers(offset, 256**field - 1 + offset)) if field else 0
    descriptor = width << 6 | single << 5 | ids
    window = b"" if single else b"\x58"
    dictionary = b"\x07" * (0, 1, 2, 4)[ids]
    head = b"\x28\xb5\x2f\xfd" + bytes([descriptor]) + window + dictionary
    head += (size - offset).to_bytes(field, "little") if field else b""
    assert claimed_bytes(Packing.ZSTD, len(head), head[:18], b"") == size


@given(st.sampled_from(Packing), st.integers(0, 1 << 40), st.binary(max_size=18))
def test_any_bytes_are_some_claim(packing: Packing, size: int, data: bytes) -> None:
    assert 0 <= claimed_bytes(packing, size, data, data) < 1 << 64


def test_what_deflate_cannot_reach_is_no_claim() -> None:
    assert claimed_bytes(Packing.GZIP, 1_000, b"", (1_032_000).to_bytes(4, "little")) == 1_032_000
    assert claimed_bytes(Packing.GZIP, 1_000, b"", (1_032_001).to_bytes(4, "little")) == 0


def test_a_small_file_may_have_any_ratio() -> None:
    caps = Caps.of(Input())
    caps.check("x", 1, 32 * MIB)
    with pytest.raises(InputError, match=r"input\.max_unpacking_ratio"):
        caps.check("x", 1, 32 * MIB + 1)
    caps.check("x", MIB, 200 * MIB)
    with pytest.raises(InputError, match="x: it unpacks to more than 200 times its size"):
        caps.check("x", MIB, 200 * MIB + 1)


def test_hundred_million_rows_pass() -> None:
    rows = 100_000_000
    Caps.of(Input()).check("x", rows * 20, rows * 600)


def test_the_cap_in_gib() -> None:
    caps = Caps.of(Input(max_unpacked_gib=0.5))
    caps.check("x", 100 * MIB, 512 * MIB)
    with pytest.raises(InputError, match=r"more than 0\.5 GiB.*input\.max_unpacked_gib"):
        caps.check("x", 100 * MIB, 512 * MIB + 1)
