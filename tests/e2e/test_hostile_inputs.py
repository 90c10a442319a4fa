"""Input made to exhaust or mislead is one clear line, in little memory and time."""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.starting import WarmProcess, begin
from tests.thoroughness import IS_FULL, in_full
from tests.threads import at_once

from . import hostile
from .conftest import COMMAND, NUMBERS, Finished, clean, discreet, peak_mib
from .hostile import HEAD, LIST, MIB, ROW, content

MEMORY_MIB = 700
SECONDS = 50
LONG = (b"x", 50_000_000)
WIDE = b"phone" + b"".join(b",c%d" % n for n in range(99_999)) + b"\n"


@dataclass
class Refused:
    """How the file is made, and what is said of it."""

    write: Callable[[Path], object]
    words: str
    code: int = 65
    name: str = "list.csv"
    options: tuple[str, ...] = ()


RATIO, DAMAGED = "input.max_unpacking_ratio", "damaged or ends too early"
NO_ROW = "no whole row"
PARQUET = "list.parquet"
PHONE = ("--phone-column", "phone")
REFUSED = {
    "gzip-members": Refused(hostile.gzip_members, RATIO),
    "gzip-trailer": Refused(hostile.gzip_honest_trailer, RATIO),
    "zstd-frames": Refused(hostile.zstd_frames, RATIO),
    "zstd-claim": Refused(hostile.zstd_claim, "input.max_unpacked_gib"),
    "zstd-window": Refused(hostile.zstd_window, DAMAGED),
    "parquet-rows": Refused(hostile.parquet_rows, RATIO, name=PARQUET),
    "parquet-dictionary": Refused(hostile.parquet_dictionary, RATIO, name=PARQUET),
    "parquet-delta": Refused(hostile.parquet_delta, RATIO, name=PARQUET),
    "parquet-page": Refused(hostile.parquet_page, RATIO, name=PARQUET),
    "parquet-columns": Refused(hostile.parquet_columns, "11,001 columns", name=PARQUET),
    "parquet-deep": Refused(hostile.parquet_deep, DAMAGED, name=PARQUET),
    "parquet-footer": Refused(hostile.parquet_footer, "footer", name=PARQUET),
    "parquet-cut": Refused(hostile.parquet_ending(lambda b: b[:-20]), DAMAGED, name=PARQUET),
    "parquet-tail": Refused(
        hostile.parquet_ending(lambda b: b[:-4] + b"PARX"), DAMAGED, name=PARQUET
    ),
    "parquet-crypt": Refused(
        hostile.parquet_ending(lambda b: b[:-4] + b"PARE"), "encrypted", name=PARQUET
    ),
    "field": Refused(content(HEAD + ROW[:-2], LONG, b"\n" + ROW), NO_ROW),
    "field-of-lines": Refused(
        content(HEAD + ROW[:-2] + b'"', (b"x\n", 25_000_000), b'"\n' + ROW), "quotes"
    ),
    "field-late": Refused(content((LIST, 200), ROW[:-2], LONG, b"\n"), "longer than 16 MiB"),
    "line": Refused(content(LONG), "first line is longer"),
    "header": Refused(content(b"phone,", (b"h", 10 * MIB), b"\n" + ROW), "first line is longer"),
    "quotes": Refused(content(HEAD + ROW, (b'"', 40 * MIB)), "data row 2"),
    "nul-header": Refused(content(b"pho\0ne,note\n" + ROW), "binary"),
    "overlong": Refused(content("phone,ö\n".encode() + ROW + b"\xc0\x80,\n"), "not UTF-8"),
    "surrogate": Refused(hostile.lone_surrogate, "not utf-16-le"),
    "ragged": Refused(content(HEAD, (ROW.replace(b",", b",,,"), 1_000_000)), "header names 2"),
    "blank": Refused(content(HEAD, (b"\n", 2_000_000), ROW), NO_ROW),
    "names": Refused(
        content(b"a\x1b[31m,=cmd|'/c calc'!A1,b\xe2\x80\xae\n" + b"x,y,z\n" * 40),
        "It has: a [31m (x), =cmd|'/c calc'!A1 (y), b (z)",
    ),
    "long-names": Refused(
        content(b",".join(bytes([97 + n]) * 999 for n in range(26)) + b"\n" + b"," * 25 + b"\nx"),
        "not certain",
    ),
    "all-kept": Refused(content(WIDE + ROW), "too many to keep", options=("--keep-columns", "all")),
    "circle": Refused(hostile.linked_in_a_circle, "symbolic links", 66),
    "pipe": Refused(os.mkfifo, "not a regular file", 66),
    "socket": Refused(hostile.a_socket, "not a regular file", 66),
    "toml-large": Refused(lambda p: _toml(p, b"#" * MIB), "larger than 64 KiB", 2),
    "toml-nested": Refused(lambda p: _toml(p, b"a=" + b"[" * 30_000), "nested too deeply", 2),
    "toml-dotted": Refused(lambda p: _toml(p, b"a" + b".a" * 30_000), "nested too deeply", 2),
    "toml-number": Refused(lambda p: _toml(p, b"a=" + b"1" * 5_000), "not valid TOML", 2),
    "toml-pipe": Refused(lambda p: _toml(p, b""), "no process writes", 2),
}


COSTLY = {
    "gzip-members",
    "gzip-trailer",
    "zstd-frames",
    "parquet-page",
    "parquet-rows",
    "parquet-delta",
    "parquet-columns",
    "all-kept",
    "short-rows",
    "columns",
}
"""A second of CPU and more each, for what others show nearly as well."""


def named(cases: Mapping[str, object]) -> list[Any]:
    """The cases' names, as parameters; those that cost the most are for the full run."""
    return [pytest.param(n, marks=in_full) if n in COSTLY else n for n in cases]


def _toml(path: Path, text: bytes) -> None:
    path.write_bytes(LIST)
    settings = path.with_name("settings.toml")
    if text:
        settings.write_bytes(text)
    else:
        os.mkfifo(settings)


@dataclass
class Measured(Finished):
    memory_mib: float


def measured(folder: Path, *arguments: str) -> Measured:
    """How the command ends, and the most memory it had; it is killed after SECONDS."""
    said = folder / "said"
    with said.open("wb") as file:
        process = begin(
            [str(COMMAND), "plan", *arguments],
            cwd=folder,
            stdout=file,
            stderr=file,
            env=clean(),
        )
    deadline, peak = time.monotonic() + SECONDS, 0.0
    with process:
        while (code := process.poll()) is None:
            peak = max(peak, peak_mib(process.pid))
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(0.01)
    if isinstance(process, WarmProcess):
        peak = process.peak_mib
    done = Measured(code, "", said.read_text("utf-8"), peak)
    discreet(done)
    return done


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Measured]:
    folder = tmp_path_factory.mktemp("hostile")

    def one(name: str) -> Measured:
        refused = REFUSED[name]
        place = folder / name
        place.mkdir()
        path = place / refused.name
        refused.write(path)
        settings = ("--config", "settings.toml") if name.startswith("toml") else ()
        done = measured(place, refused.name, *refused.options, *settings)
        if path.is_file():  # the next ones need the room
            path.unlink()
        return done

    names = [name for name in REFUSED if IS_FULL or name not in COSTLY]
    return dict(zip(names, at_once(one, names), strict=True))


@pytest.mark.parametrize("name", named(REFUSED))
def test_hostile_input_is_one_line(ended: dict[str, Measured], name: str) -> None:
    done, refused = ended[name], REFUSED[name]
    assert done.code == refused.code, done.err
    assert refused.words in done.error
    assert ("settings.toml" if name.startswith("toml") else refused.name) in done.error
    assert len(done.error) <= 400
    assert not [c for c in done.err if unicodedata.category(c)[0] == "C" and c not in "\r\n"]
    assert 0 < done.memory_mib < MEMORY_MIB


HARMLESS = {
    "columns": WIDE + (NUMBERS[0].encode() + b"," * 99_999 + b"\n") * 10,
    "same-columns": b"phone" + b",c" * 99_999 + b"\n" + NUMBERS[0].encode() + b",x\n",
    "short-rows": WIDE + NUMBERS[0].encode() + b"\n" + b'"a"b\n' * 100_000,
    "nul-cells": LIST + NUMBERS[1].encode() + b"\0,\0\n",
    "blank-lines": b"\n" * 900_000 + LIST + b"\n" * 1_000_000,
    "mixed-ends": LIST.replace(b"x\n", b"x\r") + LIST[len(HEAD) :],
    "our-names": b"phone,e164,run_id,in_x,row_index,raw,ragged\n" + ROW,
}


@pytest.mark.parametrize("name", named(HARMLESS))
def test_strange_lists_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "list.csv").write_bytes(HARMLESS[name])
    keep = ("--keep-columns", "all") if name == "our-names" else ()
    done = measured(tmp_path, "list.csv", *PHONE, "--delimiter", ",", *keep)
    assert done.code == 0, done.err
    # A hundred thousand columns are read whole, for surplus cells to be seen: 8 KiB a column.
    assert 0 < done.memory_mib < (1_000 if name == "columns" else MEMORY_MIB)
