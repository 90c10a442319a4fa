"""Objects in buckets, and files behind https, by obstore: each is read and written whole.

obstore, because after a failed write no object is left under its final name. Its own messages are
never passed on: they hold addresses with signatures in them, and what servers say.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from types import MappingProxyType
from typing import Any

from batch_screen.errors import (
    BatchScreenError,
    ConfigurationError,
    ExitCode,
    InputError,
    OutputError,
)
from batch_screen.masking import mask_text, plain
from batch_screen.storage.interruptible import interruptible

CHUNK_BYTES = 1 << 20
_PART_BYTES, _PARTS_AT_ONCE = 5 << 20, 2
_MOST_PARTS = 9_000
"""S3 takes 10,000 parts of an object."""

# No limit for a whole request, as a list takes its time; the one between two reads also runs while
# a part is sent, over a slow line.
_CLIENT = {"timeout": "24h", "read_timeout": "2min", "connect_timeout": "10s"}
_SMALL_TIMEOUT = "5s"
_RETRIES = {"max_retries": 5, "retry_timeout": timedelta(minutes=1)}

_STATUS = re.compile(r"status code: (\d{3})")
_NO_CREDENTIALS = r"token request|latest/api/token|169\.254\.|ProfileNotFound|NoCredentials"
CREDENTIALS = "check the cloud's own credentials, and what the bucket permits them"
_TRY_AGAIN = "start again once that has passed"
# What obstore's messages say, and what that means; the first that is found counts.
_FAULTS = (
    (r"BadScheme", "plain http was not permitted", "use https, or set AWS_ALLOW_HTTP=true"),
    (
        r"InvalidCertificate",
        "its certificate is not trusted",
        "set SSL_CERT_FILE to its authority",
    ),
    (r"MissingAccount", "no account is named", "set AZURE_STORAGE_ACCOUNT_NAME"),
    (r"redirect without LOCATION", "it lies in another region", "set AWS_REGION"),
    (r"InvalidPath|not parse path", "an empty or dotted part of a key", "rename that object"),
    (r"Content-Length", "the server does not say its size", "download it, and name the file"),
)
_UNREACHABLE = (
    (r"kind: Timeout|TimedOut|timed out", "there was no answer in time"),
    (r"dns|resolve", "its server's name cannot be looked up"),
    (r"kind: Connect", "its server cannot be reached"),
    (r"kind: (Interrupted|Decode|Request)|RangeNotSupported", "the connection broke off"),
)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as its store describes it; ``sha256`` and ``creation`` were noted beside it."""

    key: str
    bytes: int
    etag: str | None
    sha256: str = ""
    creation: str = ""


class ObjectStore:
    """A bucket, or one file behind https, whose key is empty. Keys begin at the bucket's root.

    ``place`` is what messages call it, without a password or a signature. They are of the class
    ``raising``; an ``InputError`` has exit code 66, an ``OutputError`` 73, and both have 69 where
    the server cannot be reached.
    """

    def __init__(
        self,
        address: str,
        place: str,
        raising: type[InputError | OutputError] = InputError,
        *,
        below: str = "",
        read_timeout: str | None = None,
    ) -> None:
        """Takes the credentials that the cloud's own variables and files name.

        ``below``: what all keys begin with, where ``place`` ends in it.
        """
        self.place, self._raising, self._below = place.rstrip("/"), raising, below
        if find_spec("obstore") is None:
            raise ConfigurationError(
                f"{place}: buckets and https need an extra: pip install 'batch-screen[cloud]'"
            )
        self._obstore: Any = import_module("obstore")  # an extra, so late
        with self._translated():
            client = _CLIENT if read_timeout is None else {**_CLIENT, "read_timeout": read_timeout}
            self._store = _opened(address, client)
            # What is small comes soon or not at all.
            self._small = _opened(address, {**_CLIENT, "read_timeout": _SMALL_TIMEOUT})

    def head(self, key: str) -> StoredObject | None:
        """The object as its store describes it; None if there is none."""

        def ask() -> Any:
            with suppress(FileNotFoundError):
                return self._obstore.get(self._small, key, options={"head": True})
            return None

        with self._translated(key):
            found = interruptible(ask)
        return _described(found.meta, found.attributes) if found else None

    def keys(self, folder: str) -> Iterator[StoredObject]:
        """All objects below the folder, in the order of their keys."""
        below = f"{folder}/" if folder else ""
        with self._translated(folder):
            pages = self._obstore.list(self._small, folder or None)
            while page := interruptible(lambda: next(pages, None)):
                # Consoles make folders: empty objects of their names.
                yield from (_described(meta) for meta in page if meta["path"].startswith(below))

    def get(self, key: str, etag: str | None = None) -> tuple[int, Iterator[bytes]]:
        """Opens the object: its size, and its content in chunks, which fail if it is cut short.

        With an ``etag`` another version is refused, also one that appears while it is read.
        """
        return self._get(self._store, key, {"if_match": etag} if etag else {})

    def _get(self, store: Any, key: str, options: dict[str, str]) -> tuple[int, Iterator[bytes]]:
        with self._translated(key):
            found = interruptible(lambda: self._obstore.get(store, key, options=options))
        return found.meta["size"], self._chunks(key, found)

    def put(self, key: str, content: bytes | Path, sha256: str) -> str | None:
        """Writes the object whole or not at all, its digest noted beside it; returns its etag."""
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        how = {
            "attributes": {"sha256": sha256},
            "chunk_size": max(_PART_BYTES, size // _MOST_PARTS),
            "max_concurrency": _PARTS_AT_ONCE,
        }
        with self._translated(key):
            put, store = self._obstore.put, self._store_for(content)
            written = interruptible(lambda: put(store, key, content, **how))
        return str(written["e_tag"]) if written["e_tag"] else None

    def put_new(
        self, key: str, content: bytes | Path, sha256: str, *, patience: float = 60.0
    ) -> bool:
        """Creates the object; False where it was there, and stays.

        Tries for so many seconds where the server cannot be reached.
        """
        # An answer may be lost after the object was made: what is there may be from this very call.
        creation = secrets.token_hex(8)
        how = {"attributes": {"sha256": sha256, "creation": creation}, "mode": "create"}

        def create() -> bool:
            try:
                self._obstore.put(self._store_for(content), key, content, **how)
            except self._obstore.exceptions.AlreadyExistsError:
                return False
            return True

        until, pause = monotonic() + patience, 0.1
        while True:
            try:
                with self._translated(key):
                    if interruptible(create):
                        return True
                if found := self.head(key):
                    return found.creation == creation
                # HTTP 409: another request for the same name is under way, and may fail.
            except BatchScreenError as error:
                if error.exit_code != ExitCode.UNREACHABLE or monotonic() + pause > until:
                    raise
            sleep(pause)
            pause = min(2 * pause, 2.0)

    def read(self, key: str) -> bytes:
        """The whole content of a small object."""
        return b"".join(self._get(self._small, key, {})[1])

    def delete(self, *keys: str) -> None:
        """Removes the objects that are there."""
        with self._translated(keys[0] if keys else ""), suppress(FileNotFoundError):
            interruptible(lambda: self._obstore.delete(self._small, [*keys]))

    def _store_for(self, content: bytes | Path) -> Any:
        return self._store if isinstance(content, Path) else self._small

    def name(self, key: str) -> str:
        """What messages call the object."""
        shown = key.removeprefix(self._below)
        return mask_text(plain(f"{self.place}/{shown}")) if key else self.place

    def _chunks(self, key: str, found: Any) -> Iterator[bytes]:
        left = found.meta["size"]
        with self._translated(key):
            chunks = found.stream(min_chunk_size=CHUNK_BYTES)
            while chunk := interruptible(lambda: next(chunks, None)):
                left -= len(chunk)
                yield chunk
        if left:
            raise self._error(key, "it ended too early", _TRY_AGAIN, ExitCode.UNREACHABLE)

    @contextmanager
    def _translated(self, key: str = "") -> Iterator[None]:
        """Turns obstore's exceptions into an error of one line about the object."""
        try:
            yield
        except BatchScreenError:
            raise
        except BaseException as error:
            # Rust's panics derive from BaseException, and paths that cannot be are ValueErrors.
            is_foreign = type(error).__module__.startswith(("obstore", "pyo3", "botocore"))
            if not (is_foreign or isinstance(error, (FileNotFoundError, ValueError))):
                raise
            raise self._error(key, *_fault(error)) from None

    def _error(self, key: str, what: str, remedy: str, code: ExitCode) -> BatchScreenError:
        kind = ConfigurationError if code is ExitCode.USAGE else self._raising
        if kind is OutputError and code is not ExitCode.UNREACHABLE:
            code = ExitCode.CANNOT_WRITE
        return kind(f"{self.name(key)}: {what}; {remedy}", exit_code=code)


def _opened(address: str, client: dict[str, Any]) -> Any:
    store = import_module("obstore.store")
    how: dict[str, Any] = {"client_options": client, "retry_config": _RETRIES}
    if address.startswith("https://"):
        return store.HTTPStore.from_url(address, **how)
    # Options that are given replace those of the environment.
    is_http = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("true", "1")
    how["client_options"] = {**client, "allow_http": is_http}
    # obstore knows AWS's variables, roles and containers, but no profiles; boto3 knows those.
    if address.startswith("s3://") and "AWS_PROFILE" in os.environ and find_spec("boto3"):
        provider = import_module("obstore.auth.boto3").Boto3CredentialProvider
        how["credential_provider"] = provider()
    return store.from_url(address, **how)


def _described(meta: Any, noted: Mapping[str, str] = MappingProxyType({})) -> StoredObject:
    own = noted.get("sha256", ""), noted.get("creation", "")
    return StoredObject(meta["path"], meta["size"], meta["e_tag"], *own)


def _fault(error: BaseException) -> tuple[str, str, ExitCode]:
    """What went wrong, what to do, and the exit code where something was to be read."""
    kind, text = type(error).__name__, f"{type(error).__name__} {error}"
    status = match[1] if (match := _STATUS.search(text)) else ""
    if kind == "PreconditionError":
        remedy = "start again when nothing writes to it"
        return "it changed while it was read", remedy, ExitCode.CONTENT
    for words, what, remedy in _FAULTS:
        if re.search(words, text):
            return what, remedy, ExitCode.USAGE
    if re.search(_NO_CREDENTIALS, text):
        return "no credentials for it were found", CREDENTIALS, ExitCode.NO_INPUT
    if kind in ("PermissionDeniedError", "UnauthenticatedError") or status in ("401", "403"):
        return f"access is denied (HTTP {status})", CREDENTIALS, ExitCode.NO_INPUT
    if isinstance(error, FileNotFoundError) or status == "404":
        return "there is no such bucket or object", "check the address", ExitCode.NO_INPUT
    said = next((said for words, said in _UNREACHABLE if re.search(words, text)), "it failed")
    return f"it answers with HTTP {status}" if status else said, _TRY_AGAIN, ExitCode.UNREACHABLE
