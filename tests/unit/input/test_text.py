from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.screening import Input
from batch_screen.errors import ConfigurationError, InputError
from batch_screen.input.layout import Packing
from batch_screen.input.limits import Caps
from batch_screen.input.text import checked_encoding, guessed_encoding, unpacked, utf8

CAPS = Caps.of(Input())


def _in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def _utf8(data: bytes, size: int, encoding: str = "") -> bytes:
    return b"".join(utf8(iter(_in_pieces(data, size)), "x.csv", encoding))


@given(st.text(), st.integers(1, 9), st.sampled_from(["", "utf-8", "utf-16-le", "utf-16-be"]))
def test_every_text_comes_back_whatever_the_chunks(text: str, size: int, encoding: str) -> None:
    text = text.lstrip("\ufeff")
    data = ("\ufeff" + text).encode(encoding or "utf-8")
    assert _utf8(data, size, encoding).decode() == text


@given(st.binary(), st.integers(1, 9))
def test_no_chunk_ends_inside_a_character(data: bytes, size: int) -> None:
    try:
        chunks = list(utf8(iter(_in_pieces(data, size)), "x.csv", ""))
    except InputError:
        chunks = []
    for chunk in chunks:
        assert chunk
        chunk.decode()


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_late_byte_that_is_not_utf8_means_windows_1252(size: int) -> None:
    data = b"phone\n" * 100 + "Müller €".encode("cp1252") + b"\x81"
    assert _utf8(data, size).decode() == "phone\n" * 100 + "Müller €\x81"


@given(
    st.lists(st.sampled_from([b"a", b";1\n", "ë".encode(), b"\xeb", "€".encode(), b"\x80"])),
    st.integers(1, 9),
)
def test_the_guess_that_is_told_is_the_one_that_is_read(pieces: list[bytes], size: int) -> None:
    data = b"".join(pieces)
    try:
        read = _utf8(data, size)
    except InputError:  # it began as UTF-8
        assert guessed_encoding(iter(_in_pieces(data, size))) == "utf-8"
        return
    told = guessed_encoding(iter(_in_pieces(data, size)))
    assert (told == "ascii") == data.isascii()
    assert (told == "windows-1252") == (read != data)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_mixed_encodings_are_refused_with_the_place(size: int) -> None:
    data = "Zoë;".encode() + "Zoë".encode("latin-1") + b";0171"
    with pytest.raises(InputError, match="at byte 7 is not UTF-8"):
        _utf8(data, size)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_wrong_encoding_setting_is_refused_with_the_place(size: int) -> None:
    with pytest.raises(InputError, match=r"at byte 2 is not utf-8.*--encoding"):
        _utf8(b"ab\xffc", size, "utf-8")
    with pytest.raises(InputError, match="not utf-16-le"):
        _utf8(b"abc", size, "utf-16-le")


def test_only_encodings_of_text_are_taken() -> None:
    assert checked_encoding("Latin-1") == "iso8859-1"
    for encoding in ("nonsense", "rot13", "base64", "\x00"):
        with pytest.raises(ConfigurationError, match=r"input\.encoding"):
            checked_encoding(encoding)


def _packed(data: bytes, packing: Packing) -> bytes:
    if packing is Packing.GZIP:
        return gzip.compress(data)
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTD])
def test_packed_files_are_unpacked_member_by_member(tmp_path: Path, packing: Packing) -> None:
    path = tmp_path / "x"
    path.write_bytes(_packed(b"phone\n" * 5000, packing) + _packed(b"more\n", packing))
    chunks = list(unpacked(path, "x", packing, CAPS, 1000))
    assert b"".join(chunks) == b"phone\n" * 5000 + b"more\n"
    assert all(chunks)


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTD])
def test_a_cut_stream_is_an_error_wherever_it_is_cut(tmp_path: Path, packing: Packing) -> None:
    path = tmp_path / "x"
    whole = _packed(bytes(range(256)) * 20, packing)
    for length in range(4, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="damaged or ends too early"):
            list(unpacked(path, "x", packing, CAPS))


@pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTD])
def test_a_damaged_stream_is_an_error(tmp_path: Path, packing: Packing) -> None:
    path = tmp_path / "x"
    whole = bytearray(_packed(bytes(range(256)) * 20, packing))
    whole[4:12] = b"\xff" * 8
    whole[-6] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(InputError, match="damaged"):
        list(unpacked(path, "x", packing, CAPS))
