from __future__ import annotations

import bz2
import gzip
import io
import zipfile
from pathlib import Path

import pytest

from batch_screen.config.screening import Input
from batch_screen.errors import InputError
from batch_screen.input.table import Table, open_table

NUMBERS = [f"+1202555010{n}" for n in range(10)]
LIST = ("phone\n" + "\n".join(NUMBERS)).encode()


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return held.getvalue()


def opened(folder: Path, content: bytes, name: str = "x.zip") -> Table:
    path = folder / name
    path.write_bytes(content)
    return open_table([path], Input())


def numbers(table: Table) -> list[str]:
    return [cell for batch in table.batches() for cell in batch["raw"]]


@pytest.mark.parametrize(
    "method",
    [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA],
)
@pytest.mark.parametrize(
    "content", [LIST, LIST.decode().encode("utf-16"), LIST + b"\n+12025550109" * 200_000]
)
def test_the_only_list_of_an_archive_is_read(tmp_path: Path, method: int, content: bytes) -> None:
    beside = {"in/": b"", "__MACOSX/in/._a.csv": b"x", "in/.DS_Store": b"x", "Thumbs.db": b"x"}
    table = opened(tmp_path, packed({**beside, "in/Käufer a.csv": content}, method))
    assert numbers(table)[:10] == NUMBERS
    assert table.expected_rows() > 0


@pytest.mark.parametrize("name", ["x.csv.bz2", "x.bin"])
def test_bzip2_is_read(tmp_path: Path, name: str) -> None:
    content = bz2.compress(LIST + b"\n") + bz2.compress(LIST.partition(b"\n")[2])
    assert numbers(opened(tmp_path, content, name)) == NUMBERS * 2


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"jan.csv": LIST, "feb.csv": LIST}, "several files, jan.csv, feb.csv; unpack it"),
        ({f"{n}.csv": LIST for n in range(9)}, "and 4 more; unpack it"),
        ({"a.csv": LIST, "read me.txt": b"x"}, "several files, a.csv, read me.txt"),
        ({"a.zip": packed({"a.csv": LIST})}, "packed zip archive"),
        ({"a.csv.gz": gzip.compress(LIST)}, "packed twice"),
        ({"folder/": b""}, "without a list"),
        ({"a.csv": b""}, "it is empty"),
        ({"word/document.xml": b"x", "[Content_Types].xml": b"x"}, "a Word document"),
        ({"mimetype": b"application/vnd.oasis.opendocument.text", "x": b""}, "OpenDocument text"),
    ],
)
def test_what_is_not_one_list_is_refused(
    tmp_path: Path, members: dict[str, bytes], says: str
) -> None:
    with pytest.raises(InputError, match=says) as caught:
        opened(tmp_path, packed(members))
    assert "2025550" not in str(caught.value)
    assert caught.value.exit_code == 65


def test_an_encrypted_list_is_refused(tmp_path: Path) -> None:
    content = bytearray(packed({"a.csv": LIST}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(InputError, match=r"a\.csv in this zip archive is encrypted"):
        opened(tmp_path, bytes(content))


@pytest.mark.parametrize("cut", [30, 60, 100])
def test_a_damaged_archive_is_one_line(tmp_path: Path, cut: int) -> None:
    for content in (packed({"a.csv": LIST})[:cut], packed({"a.csv": LIST})[:-cut]):
        with pytest.raises(InputError, match=r"it is (a )?damaged"):
            numbers(opened(tmp_path, content))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="200 times its size"):
        opened(tmp_path, packed({"a.csv": bytes(40 << 20)}))
    with pytest.raises(InputError, match="200 times its size"):
        numbers(opened(tmp_path, bz2.compress(LIST + (b" " * 1023 + b"\n") * (40 << 10)), "x.bz2"))


def test_a_name_that_says_text_is_not_believed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it looks like a zip archive, and not like the text"):
        opened(tmp_path, packed({"a.csv": LIST}), "x.CSV")
