"""Input files: arguments to paths, stdin to a file, digests, and errors of reading.

Does not look into the files.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import itertools
import lzma
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

import polars as pl
import pyarrow as pa

from batch_screen.config.paths import NO_LIST_THERE, refuse_input_address, shown_address
from batch_screen.errors import (
    InputError,
    OutputError,
    has_working_folder,
    no_input,
    no_working_folder,
)
from batch_screen.input.names import (
    SUFFIXES,
    holds_folder,
    holds_no_list,
    is_list,
    is_no_list,
    is_table,
    not_read,
)
from batch_screen.input.remote import RemoteFile, find_remote

# polars and pyarrow quote cells in their messages, so none of their text is passed on.
_DAMAGED = (
    pa.ArrowException,
    pl.exceptions.PolarsError,
    csv.Error,
    UnicodeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turns libraries' exceptions into an ``InputError`` of one line about the input ``name``."""
    try:
        yield
    except _DAMAGED:
        raise _damaged(name) from None
    except FileNotFoundError:
        if not has_working_folder():
            raise no_working_folder() from None
        raise no_input(f"{name}: there is no such file; check the path") from None
    except PermissionError:
        raise no_input(
            f"{name}: you may not read it; check the permissions of the file and its folders"
        ) from None
    except OSError as error:
        # pyarrow reports damaged and truncated streams as an OSError without a number.
        if error.errno is None or error.strerror is None:
            raise _damaged(name) from None
        raise no_input(
            f"{name}: it cannot be read: {error.strerror}; check the disk or copy the file"
        ) from None
    except MemoryError:
        raise InputError(
            f"{name}: a part of it does not fit into memory; split the file or write it anew"
        ) from None
    except BaseException as error:
        # polars' panics derive from BaseException; its class has no public, importable name.
        if type(error).__name__ != "PanicException":
            raise
        raise _damaged(name) from None


def _damaged(name: str) -> InputError:
    return InputError(
        f"{name}: it is damaged or ends too early; copy or export the file again and check its size"
    )


_COPY_BYTES = 1 << 20
_LOOKED_AT = 10_000
_PARTITION = re.compile(r"([^=]+)=(.*)")
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class Stdin:
    """The argument ``-``, which can be read only once, so it is spooled to a file first."""

    name: str = "stdin"


Source = Path | Stdin | RemoteFile
"""What a list is read from; all but a path is copied to one first."""


def expand(
    inputs: Sequence[str],
    *,
    excluded: Sequence[Path] = (),
    note: Callable[[str], None] = lambda _: None,
) -> list[Source]:
    """Expands arguments to files: files as given, globs and folders sorted by name.

    A folder means the ``SUFFIXES`` files directly in it; hidden files are left out, and ``note`` is
    given a line about others. ``excluded`` paths, such
    as our own output and the opt-out list, are never found by a folder or a glob around them.
    Raises InputError (66) where an argument means nothing, something unreadable or something twice,
    and (65) for the files of a Delta, Iceberg or Hudi table.
    """
    folders = [folder.resolve() for folder in excluded]
    found = [item for one in inputs for item in _meant(one, folders, note)]
    if not found:
        raise no_input("no input: name a file, a folder, or - for stdin")
    seen: set[object] = set()
    for item in found:
        key = item.resolve() if isinstance(item, Path) else item
        if key in seen:
            raise no_input(f"{_name_of(item)}: it is named twice; name every input once")
        seen.add(key)
    for folder in {parent for path in seen if isinstance(path, Path) for parent in path.parents}:
        with suppress(OSError):  # a folder that may be passed through, but not looked into
            _refuse_table(folder)
    return found


def _name_of(source: Source) -> str:
    """What messages call it."""
    if isinstance(source, RemoteFile):
        return shown_address(source.address)
    return source.name if isinstance(source, Stdin) else str(source)


def partitions(paths: Sequence[Path]) -> list[dict[str, str | None]]:
    """The values in the names of the files' folders, ``country=DE``, by keys that all files have.

    >>> partitions([Path("in/country=DE/day=1/a.csv"), Path("in/country=a%20b/a.csv")])
    [{'country': 'DE'}, {'country': 'a b'}]
    """
    found: list[dict[str, str | None]] = []
    for path in paths:
        pairs = [m.groups() for part in path.parts[:-1] if (m := _PARTITION.fullmatch(part))]
        found.append({unquote(k): None if v == _NULL_PARTITION else unquote(v) for k, v in pairs})
    shared = [key for key in found[0] if all(key in each for each in found)]
    return [{key: each[key] for key in shared} for each in found]


def as_text(path: Path | str) -> str:
    r"""The path as text that JSON and Parquet can hold, also where a name is not UTF-8.

    >>> as_text(Path("caf\udce9"))
    'caf\\xe9'
    """
    return os.fsencode(path).decode(errors="backslashreplace")


def spool(stream: BinaryIO, path: Path) -> None:
    """Spools the stream to a new private file; its caller removes it, also after an error.

    The caller names it, so that no signal can come between the file and the knowledge of it.
    """
    try:
        # "x" is O_CREAT | O_EXCL, which follows no link.
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            while True:
                with translated("stdin"):
                    chunk = stream.read(_COPY_BYTES)
                if not chunk:
                    break
                file.write(chunk)
    # What the stream itself raises is an InputError by now.
    except OSError as error:
        reason = error.strerror or "it failed"
        raise OutputError(
            f"stdin cannot be copied to {path.parent}: {reason}; free space or name a file"
        ) from None


def digest(path: Path, name: str = "") -> str:
    """SHA-256 of the file's content, in hexadecimal, as in a run's identity.

    ``name`` is what messages call the file; by default its path.
    """
    name = name or str(path)
    with translated(name):
        if not stat.S_ISREG(path.stat().st_mode):
            raise no_input(
                f"{name}: it is not a regular file; write its content to one and name that"
            )
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_changed(path: Path, sha256: str, name: str = "") -> None:
    """Raises ``InputError`` if the file's digest has changed."""
    if digest(path, name) != sha256:
        raise InputError(
            f"{name or path}: it changed while it was read; start again when nothing writes to it"
        )


def _meant(
    argument: str, excluded: Sequence[Path], note: Callable[[str], None]
) -> Sequence[Source]:
    if argument == "-":
        return [Stdin()]
    if remote := find_remote(argument, note):
        return remote
    refuse_input_address(argument, NO_LIST_THERE)
    with translated(argument):
        path = Path(argument)
        if path.is_dir():
            _refuse_table(path)
            if found := _in_folder(path, excluded, note):
                return [*found]
            raise holds_no_list(path)
        if not path.exists() and glob.has_magic(argument):
            return [*_matching(argument, excluded)]
        return [_readable(path)]


def _matching(pattern: str, excluded: Sequence[Path]) -> list[Path]:
    # The pattern searches the folder before its first wildcard.
    parts = itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)
    relevant = _excluded_below(Path(*parts), excluded)
    # Path.glob takes no absolute patterns.
    matches = sorted(Path(match) for match in glob.glob(pattern, recursive=True))  # noqa: PTH207
    paths = [
        path
        for path in matches
        if not _is_excluded(path, relevant)
        and (path.name.startswith(".") or not is_no_list(path.name))
    ]
    if not paths:
        raise no_input(f"{pattern}: no file matches; check the pattern and the folder")
    return [_readable(path) for path in paths]


def _in_folder(folder: Path, excluded: Sequence[Path], note: Callable[[str], None]) -> list[Path]:
    relevant = _excluded_below(folder, excluded)
    entries = [e for e in _visible(folder) if not _is_excluded(e, relevant)]
    # Reading only the upper floor of a partitioned folder would lose rows without a word.
    if inner := [e for e in entries if e.is_dir()]:
        raise holds_folder(folder, inner[0].name, _suffix_in(inner))
    if left := [e.name for e in entries if not is_list(e.name)]:
        note(not_read(folder, left))
    return [_readable(path) for path in entries if is_list(path.name)]


def _refuse_table(folder: Path) -> None:
    """Refuses a folder of a table format: its files also hold rows that were deleted since."""
    metadata = folder / "metadata"
    for kind, is_one in (
        ("a Delta Lake", (folder / "_delta_log").is_dir()),
        ("an Apache Hudi", (folder / ".hoodie").is_dir()),
        (
            "an Apache Iceberg",
            any(metadata.glob("*.metadata.json")) or (metadata / "version-hint.text").exists(),
        ),
    ):
        if is_one:
            raise is_table(folder, kind)


def _visible(folder: Path) -> list[Path]:
    return sorted(e for e in folder.iterdir() if not is_no_list(e.name))


def _excluded_below(folder: Path, excluded: Sequence[Path]) -> list[Path]:
    """The excluded folders without those that contain the folder itself."""
    place = folder.resolve()
    return [each for each in excluded if not place.is_relative_to(each)]


def _is_excluded(path: Path, excluded: Sequence[Path]) -> bool:
    """Whether the path is in an excluded folder, or has no list outside one."""
    place = path.resolve()
    if any(place.is_relative_to(each) for each in excluded):
        return True
    # A link to a folder above would be followed for ever.
    if path.is_symlink() or not any(each.is_relative_to(place) for each in excluded):
        return False
    return all(_is_excluded(e, excluded) for e in _visible(path) if e.is_dir() or is_list(e.name))


def _suffix_in(folders: Sequence[Path]) -> str:
    """The suffix of a list somewhere below the folders, for the message's pattern."""
    walk = (name for folder in folders for *_, names in os.walk(folder) for name in sorted(names))
    for name in itertools.islice(walk, _LOOKED_AT):
        if found := [s for s in SUFFIXES if name.lower().endswith(s)]:
            return name[-len(found[0]) :]
    return SUFFIXES[0]


def _readable(path: Path) -> Path:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise no_input(
            f"{path}: it is a folder; name it alone, or let the pattern match files only"
        )
    # A pipe can be read once; the file is read to sniff, to take its digest, and for its rows.
    if not stat.S_ISREG(mode):
        raise no_input(f"{path}: it is not a regular file; pipe it in and name - instead")
    with path.open("rb"):
        return path
