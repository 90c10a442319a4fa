"""Finds the API key. Its value is never taken from a flag or a configuration file.

Looked for in this order: the file named by a flag, by ``BATCH_SCREEN_API_KEY_FILE`` or by
``api.key_file``; a systemd credential; the variable ``BATCH_SCREEN_API_KEY``.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from batch_screen.config.paths import shown_secret_file
from batch_screen.errors import AuthenticationError
from batch_screen.masking import hide
from batch_screen.storage.reading import read_small

KEY_VARIABLE = "BATCH_SCREEN_API_KEY"
CREDENTIAL = "batch-screen-api-key"
_CREDENTIALS_FOLDER = "CREDENTIALS_DIRECTORY"
TOO_OPEN = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP
"""A group may read it, as a mounted secret of Kubernetes or systemd lets its process."""
_LARGEST_BYTES = 16 << 10
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,4096}")


class KeyPlace(NamedTuple):
    """A place where the key may be: its name in messages, and its file if it is one."""

    name: str
    file: Path | None = None


def find_key(key_file: str, environment: Mapping[str, str]) -> KeyPlace | None:
    """The place of the key, or None if none is named. Reads nothing."""
    credential = Path(environment.get(_CREDENTIALS_FOLDER, "")) / CREDENTIAL
    if key_file:
        return KeyPlace(f"the key file {shown_secret_file(key_file)}", Path(key_file))
    if environment.get(_CREDENTIALS_FOLDER) and credential.exists():
        return KeyPlace(f"the systemd credential {CREDENTIAL}", credential)
    if environment.get(KEY_VARIABLE):
        return KeyPlace(f"the variable {KEY_VARIABLE}")
    return None


def read_key(key_file: str, environment: Mapping[str, str]) -> SecretStr:
    """The key. Raises ``AuthenticationError`` if it is missing or invalid."""
    place = find_key(key_file, environment)
    if place is None:
        raise AuthenticationError(
            f"no API key: name a file with --api-key-file, or set {KEY_VARIABLE}_FILE or "
            f"{KEY_VARIABLE}; to try without an account, use --sandbox"
        )
    text = environment[KEY_VARIABLE] if place.file is None else _read(place.file)
    return _hidden(text.strip(), place.name)


def read_keys(files: Mapping[str, str]) -> dict[str, SecretStr]:
    """The keys in the files of regions. Raises ``AuthenticationError`` as ``read_key`` does.

    Nor may anybody but its owner, or its group, read such a file.
    """
    return {region: _of_region(region, Path(file)) for region, file in files.items()}


def _of_region(region: str, path: Path) -> SecretStr:
    text = _read(path, f"under {region} in [api.keys_by_region]").strip()
    mode = path.stat().st_mode
    if stat.S_ISREG(mode) and mode & TOO_OPEN:
        raise AuthenticationError(
            f"the API key of {region}, {path}, is open to others than its owner (mode "
            f"{stat.S_IMODE(mode):04o}); say: chmod 600 {path}, or in Kubernetes set defaultMode "
            "0440 for the secret's volume"
        )
    return _hidden(text, f"the key file {path}")


def _hidden(key: str, name: str) -> SecretStr:
    if not _PRINTABLE.fullmatch(key):
        raise AuthenticationError(
            f"{name} holds no usable API key: one line of printable ASCII is expected; "
            "write it anew"
        )
    hide(key)  # from here on no message shows it
    return SecretStr(key)


def _read(path: Path, where: str = "with --api-key-file") -> str:
    try:
        return read_small(path, _LARGEST_BYTES).decode("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise AuthenticationError(
            f"cannot read the API key from {shown_secret_file(path)}: {reason}; name a file that "
            f"holds it {where}"
        ) from None  # it quotes the name
