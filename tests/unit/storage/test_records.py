from __future__ import annotations

from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from batch_screen.errors import JournalError, OutputError
from batch_screen.storage.atomic import sha256_of
from batch_screen.storage.records import check_file, read_frame, read_record, write_record
from tests.thoroughness import examples


class Thing(msgspec.Struct, frozen=True):
    name: str
    count: int


THING = Thing("list", 3)
FRAME = pl.DataFrame({"e164": ["+447700900123", "+447700900124"], "row_index": [0, 1]})
MANY = examples(1000, suppress_health_check=[HealthCheck.function_scoped_fixture])


def changed(data: st.DataObject, content: bytes) -> bytes:
    """The content with one bit flipped, cut off, with something behind it, or partly zero."""
    at = data.draw(st.integers(0, len(content) - 1))
    match data.draw(st.sampled_from(["flip", "cut", "more", "zero"])):
        case "flip":
            bit = 1 << data.draw(st.integers(0, 7))
            return content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]
        case "cut":
            return content[:at]
        case "more":
            return content + data.draw(st.binary(min_size=1, max_size=9))
        case _:
            return content[:at] + bytes(len(content) - at)


def test_a_record_comes_back_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "thing.json"
    write_record(path, THING)
    assert read_record(path, Thing) == THING
    assert path.stat().st_mode & 0o777 == 0o600


@MANY
@given(data=st.data())
def test_no_damage_yields_another_record(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "thing.json"
    write_record(tmp_path / "whole.json", THING)
    path.unlink(missing_ok=True)
    path.write_bytes(changed(data, (tmp_path / "whole.json").read_bytes()))
    try:
        found = read_record(path, Thing)
    except JournalError as error:
        assert "thing.json" in str(error)  # noqa: PT017 (blanks behind the record are no damage)
    else:
        assert found == THING


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"sha256":"","content":{}}'])
def test_what_is_no_record_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "thing.json"
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"thing\.json is missing or not as it was written"):
        read_record(path, Thing)
    assert path.read_bytes() == content


def test_another_kind_of_record_is_refused(tmp_path: Path) -> None:
    write_record(tmp_path / "thing.json", THING)

    class Other(msgspec.Struct):
        colour: str

    with pytest.raises(JournalError):
        read_record(tmp_path / "thing.json", Other)


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "thing.json").mkdir()
    with pytest.raises(OutputError, match=r"thing\.json"):
        read_record(tmp_path / "thing.json", Thing)


def test_a_missing_record_is_damage(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"thing\.json is missing"):
        read_record(tmp_path / "thing.json", Thing)


@MANY
@given(data=st.data())
def test_no_damage_yields_another_frame(tmp_path: Path, data: st.DataObject) -> None:
    whole, path = tmp_path / "whole.parquet", tmp_path / "rows.parquet"
    FRAME.write_parquet(whole)
    damaged = changed(data, whole.read_bytes())
    path.unlink(missing_ok=True)
    path.write_bytes(damaged)
    if damaged == whole.read_bytes():
        return
    with pytest.raises(JournalError, match=r"rows\.parquet is missing or not as it was written"):
        read_frame(path, sha256_of(whole))


def test_a_frame_or_some_of_its_columns_come_back(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    FRAME.write_parquet(path)
    assert read_frame(path, sha256_of(path)).equals(FRAME)
    assert read_frame(path, sha256_of(path), ["e164"]).equals(FRAME.select("e164"))


def test_a_file_that_is_no_parquet_says_nothing_of_its_content(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1 +447700900123 PAR1")
    with pytest.raises(JournalError) as caught:
        read_frame(path, sha256_of(path))
    assert "900123" not in str(caught.value)


def test_a_sparse_file_is_not_hashed(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with path.open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(JournalError, match=r"rows\.parquet is missing or not as it was written"):
        check_file(path, "ab")


def test_a_missing_file_is_damage(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"rows\.parquet is missing"):
        check_file(tmp_path / "rows.parquet", "ab")
