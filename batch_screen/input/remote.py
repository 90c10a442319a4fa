"""Lists in buckets and behind https: addresses to files, and each file copied once.

A list is read several times, and Parquet from its end, so it is not read where it lies. The copy
is as private as the state, and goes when the command ends.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import sha256
from itertools import takewhile
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, unquote, urlsplit

from batch_screen.config.paths import bucket_of, is_address, shown_address
from batch_screen.errors import ConfigurationError, InputError, OutputError, no_input
from batch_screen.input.names import (
    SUFFIXES,
    holds_folder,
    holds_no_list,
    is_list,
    is_no_list,
    is_table,
    not_read,
)
from batch_screen.masking import hide, mask_text, plain
from batch_screen.storage.objects import ObjectStore, StoredObject

_SECRETS = re.compile(r"(sig|signature|token|secret|password|key)$", re.IGNORECASE)
_ICEBERG = re.compile(r".*\.metadata\.json|version-hint\.text")
_SHORTEST_SECRET = 16
_LONGEST_NAME = 200
_ANOTHER_DISK = "--state-dir, for check and plan by TMPDIR"


def _ignored(_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A list elsewhere. ``address`` is what a run remembers of it: without a signature.

    ``source`` tells two of them apart; ``bytes`` is None where only reading says how many.
    """

    address: str
    source: str = field(repr=False)
    store: ObjectStore = field(repr=False, compare=False)
    key: str = ""
    bytes: int | None = None
    etag: str | None = None

    @property
    def place(self) -> Path:
        """Where it would lie on a disk: names of files and folders count there, too."""
        scheme, _, rest = self.address.partition("://")
        return Path(f"/{scheme}", rest)

    def size(self) -> int:
        """How many bytes it has. Raises ``InputError``."""
        return self.store.get(self.key, self.etag)[0] if self.bytes is None else self.bytes


def find_remote(argument: str, note: Callable[[str], None] = _ignored) -> list[RemoteFile]:
    """The lists at an address, as ``expand`` finds them on a disk; none if it is no such address.

    Raises ``InputError`` where there is none (66), where one lies in a table (65), or where the
    server cannot be reached (69).
    """
    if not is_address(argument):
        return []
    if ":" in argument.partition("://")[2].partition("/")[0].rpartition("@")[0]:
        raise ConfigurationError(
            f"{shown_address(argument)}: a password in an address can be seen by all on this "
            "machine; leave it out, or download the list and name the file"
        )
    if argument.lower().startswith("https://"):
        return [_behind_https(argument)]
    if (place := bucket_of(argument)) is None:
        return []
    root, key = place
    bucket = _Bucket(root)
    found = bucket.matching(key, note)
    bucket.refuse_tables(found)
    return [
        RemoteFile(address, address, bucket.store, each.key, each.bytes, each.etag)
        for each in found
        for address in [f"{root}/{each.key}"]
    ]


def copy_remote(
    files: Sequence[RemoteFile], folder: Path, on_bytes: Callable[[int], None] = _ignored
) -> list[tuple[Path, str]]:
    """Copies the files below a folder that is made, and returns their places and digests.

    Raises ``InputError`` where one cannot be read whole or has changed since it was found, and
    ``OutputError`` where there is no room.
    """
    _refuse_too_large(sum(file.bytes or 0 for file in files), folder.parent)
    with _translated(folder):
        folder.mkdir(mode=0o700)
    return [_copied(file, folder / f"{n}", on_bytes) for n, file in enumerate(files)]


def _copied(file: RemoteFile, folder: Path, on_bytes: Callable[[int], None]) -> tuple[Path, str]:
    size, chunks = file.store.get(file.key, file.etag)
    if file.bytes is None:
        _refuse_too_large(size, folder.parent.parent)
    # Detection goes by the suffix, too; the rest may be longer than a file's name can be.
    name = os.fsencode(file.place.name)[-_LONGEST_NAME:].decode(errors="ignore")
    path, digest = folder / name, sha256()
    with _translated(folder.parent):
        folder.mkdir(mode=0o700)
        # "x" is O_CREAT | O_EXCL, which follows no link.
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as copy:
            for chunk in chunks:
                copy.write(chunk)
                digest.update(chunk)
                on_bytes(len(chunk))
    return path, digest.hexdigest()


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # those of the store are errors of ours by now
        raise OutputError(
            f"the list cannot be copied to {folder.parent}: {error.strerror}; free space, or "
            f"name a folder on another disk by {_ANOTHER_DISK}"
        ) from None


def _refuse_too_large(size: int, folder: Path) -> None:
    if size > (free := shutil.disk_usage(folder).free):
        raise OutputError(
            f"the list has {size:,} bytes, and {folder} has room for {free:,}; free space, or "
            f"name a folder on another disk by {_ANOTHER_DISK}"
        )


def _behind_https(address: str) -> RemoteFile:
    shown, parts = shown_address(address), urlsplit(address)
    # No text of ours has the query; what others say of it loses its secrets.
    for name, value in parse_qsl(parts.query):
        if _SECRETS.search(name) and len(value) >= _SHORTEST_SECRET:
            hide(value)
    remembered = f"https://{parts.netloc.rpartition('@')[2]}{unquote(parts.path)}"
    return RemoteFile(remembered, address, ObjectStore(parts.geturl(), shown))


class _Bucket:
    """A bucket whose objects are looked for as files in folders are."""

    def __init__(self, root: str) -> None:
        self.store = ObjectStore(root, shown_address(root))
        self._seen: set[str] = set()
        """Folders that hold something, of the part of the bucket that was listed."""
        self._listed: str | None = None

    def matching(self, key: str, note: Callable[[str], None]) -> list[StoredObject]:
        """The object of this key; or those that it matches; or those in the folder that it is."""
        if key and not key.endswith("/") and (found := self.store.head(key)):
            return [found]
        if not glob.has_magic(key):
            return self._in_folder(key.strip("/"), note)
        parts = key.split("/")
        fixed = "/".join(takewhile(lambda part: not glob.has_magic(part), parts))
        named = [(each, PurePosixPath(each.key).name) for each in self._below(fixed)]
        matching = [
            each
            for each, name in named
            if _matches(parts, each.key.split("/"))
            and (name.startswith(".") or not is_no_list(name))
        ]
        if not matching:
            raise no_input(f"{self.store.name(key)}: no object matches; check the pattern")
        return matching

    def refuse_tables(self, found: Sequence[StoredObject]) -> None:
        """Raises ``InputError`` where an object lies in a Delta, Iceberg or Hudi table."""
        parents = {str(p) for each in found for p in PurePosixPath(each.key).parents}
        for parent in sorted(parents):
            folder = "" if parent == "." else f"{parent}/"
            for kind, is_one in (
                ("a Delta Lake", self._holds(f"{folder}_delta_log")),
                ("an Apache Hudi", self._holds(f"{folder}.hoodie")),
                ("an Apache Iceberg", self._holds(f"{folder}metadata", _ICEBERG)),
            ):
                if is_one:
                    raise is_table(self.store.name(parent), kind)

    def _holds(self, folder: str, named: re.Pattern[str] | None = None) -> bool:
        """Whether the folder holds an object, of such a name if one is given."""
        is_known = self._listed is not None and f"{folder}/".startswith(self._listed)
        if is_known and folder not in self._seen:
            return False
        with suppress(InputError):  # a bucket that may be read, but not looked into
            keys = (each.key.rpartition("/")[2] for each in self.store.keys(folder))
            return any(named.fullmatch(key) if named else True for key in keys)
        return False

    def _in_folder(self, folder: str, note: Callable[[str], None]) -> list[StoredObject]:
        shown, below = self.store.name(folder), f"{folder}/" if folder else ""
        entries = [(each.key.removeprefix(below), each) for each in self._below(folder)]
        if not entries:
            raise no_input(f"{shown}: there is no such object, and none below; check the address")
        entries = [(n, e) for n, e in entries if not is_no_list(n.partition("/")[0])]
        inner = [name for name, _ in entries if "/" in name]
        if inner:
            suffixes = [s for name in inner for s in SUFFIXES if name.lower().endswith(s)]
            first = mask_text(plain(inner[0].partition("/")[0]))
            raise holds_folder(shown, first, (suffixes or SUFFIXES)[0])
        if left := [mask_text(plain(name)) for name, _ in entries if not is_list(name)]:
            note(not_read(shown, left))
        if lists := [each for name, each in entries if is_list(name)]:
            return lists
        raise holds_no_list(shown)

    def _below(self, folder: str) -> list[StoredObject]:
        """All objects below the folder, in the order of files on a disk."""
        found = sorted(self.store.keys(folder), key=lambda each: each.key.split("/"))
        self._listed = f"{folder}/" if folder else ""
        for each in found:
            self._seen.update(str(parent) for parent in PurePosixPath(each.key).parents)
        return found


def _matches(pattern: Sequence[str], key: Sequence[str]) -> bool:
    """Whether the parts of a key match those of a pattern, as ``glob`` matches paths.

    >>> [_matches("a/**/*.csv".split("/"), k.split("/")) for k in ("a/1.csv", "a/b/1.csv", "1.csv")]
    [True, True, False]
    """
    if not pattern or not key:
        return not key and all(part == "**" for part in pattern)
    first, part = pattern[0], key[0]
    is_hidden = part.startswith(".") and not first.startswith(".")
    if first == "**":
        return _matches(pattern[1:], key) or (not is_hidden and _matches(pattern, key[1:]))
    return not is_hidden and fnmatchcase(part, first) and _matches(pattern[1:], key[1:])
