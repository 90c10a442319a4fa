"""Paths that people name: all are local, and what is an address of something else is refused.

Taken literally, ``s3://bucket/out`` would be a folder called ``s3:`` that nobody looks into.
"""

from __future__ import annotations

import os
import re
import shlex
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from batch_screen.errors import ConfigurationError, no_input
from batch_screen.masking import mask_text, plain

# A scheme has two letters at least, for C:/ is a drive. Of a scheme that is known one slash is
# enough: a path that was put together by a program has lost the other.
_KNOWN = (
    "abfss? adl az azure cifs cos dbfs file ftps? gc?s hdfs hf https? nfs obs oss s3[an]? scp sftp "
    "smb ssh swift viewfs wasbs? webdavs?"
)
_ADDRESS = re.compile(
    rf"(?P<scheme>[a-z][a-z0-9+.-]+)://+|(?P<known>{'|'.join(_KNOWN.split())}):/+", re.IGNORECASE
)
_WITH_SECRETS = re.compile(r"^[^/]*@|[?#].*", re.DOTALL)
_UPLOADS = {"s3": "aws s3 cp", "gs": "gcloud storage cp"}
_BUCKETS = ("s3", "gs", "az", "abfs", "abfss")
_ONLY_LOCAL = "is an address, and only local files are read"
NO_LIST_THERE = "is an address, and lists are read from s3://, gs://, az:// and https:// only"
_NAME = re.compile(r"[\w.-]+")


def is_address(path: str | Path) -> bool:
    """Whether it names something elsewhere, as ``s3://bucket/key`` does.

    >>> [is_address(p) for p in ("s3://b/k", "file:/k", "nightly:2026/a", "C:/lists", "./s3://b")]
    [True, True, False, False, False]
    """
    return _ADDRESS.match(str(path)) is not None


def shown_address(path: str | Path) -> str:
    """The address without a password or a signature in it, and masked.

    >>> shown_address("https://me:secret@host/list.csv?signature=secret")
    'https://host/list.csv'
    """
    scheme, rest = _parts(str(path))
    user, at, _ = rest.partition("/")[0].rpartition("@")
    # Azure's containers stand where others have a user.
    host = "/" if scheme == "file" else user + at if scheme.startswith("abfs") else ""
    host = "" if ":" in user else host
    return mask_text(plain(f"{scheme}://{host}{_WITH_SECRETS.sub('', rest)}"))


def bucket_of(address: str | Path) -> tuple[str, str] | None:
    """The bucket of an address, and the key in it; None where it names no bucket.

    >>> bucket_of("s3://bucket/lists/march.csv"), bucket_of("s3://key:secret@bucket/list.csv")
    (('s3://bucket', 'lists/march.csv'), None)
    """
    scheme, rest = _parts(str(address))
    name, _, key = rest.partition("/")
    has_user = "@" in name and not scheme.startswith("abfs")  # there it is the container
    return (f"{scheme}://{name}", key) if scheme in _BUCKETS and name and not has_user else None


def refuse_input_address(path: str | Path, why: str = _ONLY_LOCAL) -> None:
    """Raises ``InputError`` (66) where an input, or a run to look at, is named by an address."""
    if is_address(path):
        raise no_input(f"{shown_address(path)} {why}; name {_what_to_name(path)}")


def refuse_address(path: str | Path, what: str) -> None:
    """Raises ``ConfigurationError`` where ``what``, a file to write, is named by an address."""
    if is_address(path):
        raise ConfigurationError(f"{what} must be a local path{_but_is(path)}")


def local_folder(path: str) -> str:
    """The path of a folder to write into. Raises ``ValueError`` where it is an address."""
    if is_address(path):
        raise ValueError(f"must be a local path{_but_is(path, is_folder=True)}")
    return path


def bucket_address(address: str) -> str:
    """The address of a bucket, or nothing. Raises ``ValueError`` where it is something else."""
    if address and bucket_of(address) is None:
        shown = shown_address(address) if is_address(address) else address
        raise ValueError(
            f"must be the address of a bucket, s3://BUCKET/PREFIX, gs://… or az://…, not {shown}; "
            "a folder for state is named with --state-dir"
        )
    return address


def local_file(path: str) -> str:
    """The path of a file to write. Raises ``ValueError`` where it is an address."""
    if is_address(path):
        raise ValueError(f"must be a local path{_but_is(path)}")
    return path


def local_input(path: str) -> str:
    """The path of something that is read. Raises ``ValueError`` where it is an address."""
    if is_address(path):
        raise ValueError(f"{shown_address(path)} {_ONLY_LOCAL}; name {_what_to_name(path)}")
    return path


NO_SUCH_FILE = "[not shown: no file has that name, so it may be the secret itself]"


def shown_secret_file(path: str | Path) -> str:
    """The path of a file with a secret, where there is one; else it is not repeated.

    People and scripts give the secret in the place of its file's name, and messages go to logs.

    >>> shown_secret_file("sk_live_9aZ8bY7c")
    '[not shown: no file has that name, so it may be the secret itself]'
    """
    with suppress(ValueError):  # U+0000 in it
        if os.path.lexists(path):
            return mask_text(plain(str(path), 4096))
    return NO_SUCH_FILE


def _what_to_name(path: str | Path) -> str:
    scheme, rest = _parts(str(path))
    if scheme == "file":
        return f"the path alone: {_of_file(rest)}"
    return "a local file: download it first, or mount it"


def _but_is(path: str | Path, *, is_folder: bool = False) -> str:
    """Why it is none, and what to do where something shall be written to an address."""
    scheme, rest = _parts(str(path))
    if scheme == "file":
        return f" and no address; write the path alone: {_of_file(rest)}"
    shown = shown_address(path)
    last = shown.rstrip("/").rpartition("/")[2] if "/" in rest.strip("/") else ""
    own = last if _NAME.fullmatch(last) else "screened"
    why, then, to = "", "", shlex.quote(shown)
    if is_folder and scheme in _BUCKETS:
        # What a killed run rests on: locks, renames, and files that grow.
        why = ": a bucket has no lock, and no run that was stopped could go on there"
        then = f": batch-screen run … --out {own} && batch-screen upload {own} --to {to}"
    elif scheme in _UPLOADS:
        then = f": {_UPLOADS[scheme]} {own} {to}"
    return (
        f", and {shown} is an address{why}; write to a local one such as {own}, then upload "
        f"it{then}"
    )


def _parts(path: str) -> tuple[str, str]:
    """Scheme and rest of an address."""
    match = _ADDRESS.match(path)
    scheme = (match["scheme"] or match["known"]).lower() if match else ""
    return scheme, path[match.end() :] if match else path


def _of_file(rest: str) -> str:
    """The path in a file:// address: behind its host, if that is this machine's name."""
    return mask_text(plain(shlex.quote("/" + unquote(rest.removeprefix("localhost/")))))
