from __future__ import annotations

import hmac
import os
import re
import stat
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.errors import ConfigurationError, OutputError
from batch_screen.masking import mask_text, safe_text
from batch_screen.privacy.ids import ID_DIGITS, KEY_BYTES, NumberIds, make_id_key, read_id_key

KEYS = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
NUMBERS = st.from_regex(r"\A\+[1-9][0-9]{5,14}\Z")


def written(path: Path, content: str, mode: int = 0o600) -> Path:
    path.write_text(content)
    path.chmod(mode)
    return path


@given(KEYS, st.lists(st.none() | NUMBERS))
def test_an_id_is_the_hmac_of_the_number(key: bytes, numbers: list[str | None]) -> None:
    wanted = [n and hmac.digest(key, n.encode(), "sha256").hex()[:ID_DIGITS] for n in numbers]
    found = NumberIds(key).of(pl.Series(numbers, dtype=pl.String))
    assert (found.name, found.dtype, found.to_list()) == ("number_id", pl.String, wanted)


@given(KEYS, KEYS, st.lists(NUMBERS, unique=True, min_size=2))
def test_ids_differ_by_number_and_key(key: bytes, other: bytes, numbers: list[str]) -> None:
    series, one, two = pl.Series(numbers), NumberIds(key), NumberIds(other)
    assert one.of(series).n_unique() == len(numbers)
    assert (one.of(series)[0] == two.of(series)[0]) == (one.key_id == two.key_id) == (key == other)


@given(KEYS)
def test_no_message_masks_the_name_of_a_key(key: bytes) -> None:
    name = NumberIds(key).key_id
    assert re.fullmatch("[a-p]{8}", name)
    said = f"out has runs with ids of the key {name}, and not of {name}"
    assert mask_text(said) == safe_text(said) == said


def test_the_name_of_a_key_stays_the_same() -> None:
    assert NumberIds(bytes(32)).key_id == "ioncnfek"


def test_a_key_made_is_read_and_private_whatever_the_umask(tmp_path: Path) -> None:
    path, before = tmp_path / "ids.key", os.umask(0)
    try:
        made = make_id_key(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text()) == 2 * KEY_BYTES + 1
    assert read_id_key(path).key_id == made.key_id
    assert made.key_id not in path.read_text()


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "ids.key"
    make_id_key(path)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="never written over"):
        make_id_key(path)
    assert path.read_bytes() == before
    with pytest.raises(OutputError, match="make the folder it lies in"):
        make_id_key(tmp_path / "missing" / "ids.key")


@pytest.mark.parametrize(
    ("content", "mode", "match"),
    [
        ("ab" * 32 + "\n", 0o644, "is open to others than its owner .mode 0644.* chmod 600 "),
        ("ab" * 32 + "\n", 0o620, "is open to others than its owner"),
        ("ab" * 31 + "\n", 0o600, "holds no id key: 64 hexadecimal digits are expected"),
        ("ab" * 32 + "ab", 0o600, "holds no id key"),
        ("xy" * 32, 0o600, "holds no id key"),
        ("", 0o600, "holds no id key"),
        ("a" * 2000, 0o600, "it is larger than 1 KiB"),
    ],
)
def test_what_is_no_key(tmp_path: Path, content: str, mode: int, match: str) -> None:
    path = written(tmp_path / "ids.key", content, mode)
    with pytest.raises(ConfigurationError, match=match) as error:
        read_id_key(path)
    assert not content.strip() or content.strip() not in str(error.value)


def test_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"No such file or directory.* batch-screen id-key"
    ):
        read_id_key(tmp_path / "ids.key")


def test_no_message_shows_a_key_that_was_read(tmp_path: Path) -> None:
    key = "0123456789abcdef" * 4
    read_id_key(written(tmp_path / "ids.key", f"{key}\n", 0o440))
    assert key[4:30] not in mask_text(f"the key is {key}!")
