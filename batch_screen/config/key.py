"""Finds the API key. Its value is never a flag and never in a configuration file.

Looked for in this order: the file named by a flag, by ``BATCH_SCREEN_API_KEY_FILE`` or by
``api.key_file``; a systemd credential; the variable ``BATCH_SCREEN_API_KEY``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from batch_screen.config.small import read_small
from batch_screen.errors import AuthenticationError
from batch_screen.masking import hide

KEY_VARIABLE = "BATCH_SCREEN_API_KEY"
CREDENTIAL = "batch-screen-api-key"
_CREDENTIALS_FOLDER = "CREDENTIALS_DIRECTORY"
_LARGEST_BYTES = 16 << 10
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,4096}")


def read_key(key_file: str, environment: Mapping[str, str]) -> SecretStr:
    """The key. Raises ``AuthenticationError`` if there is none or it cannot be one."""
    credential = Path(environment.get(_CREDENTIALS_FOLDER, "")) / CREDENTIAL
    if key_file:
        return _checked(_read(Path(key_file)), f"the key file {key_file}")
    if environment.get(_CREDENTIALS_FOLDER) and credential.exists():
        return _checked(_read(credential), f"the systemd credential {CREDENTIAL}")
    if environment.get(KEY_VARIABLE):
        return _checked(environment[KEY_VARIABLE], f"the variable {KEY_VARIABLE}")
    raise AuthenticationError(
        f"no API key: name a file with --api-key-file, or set {KEY_VARIABLE}_FILE or "
        f"{KEY_VARIABLE}; to try without an account, use --sandbox"
    )


def _read(path: Path) -> str:
    try:
        return read_small(path, _LARGEST_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise AuthenticationError(f"cannot read the API key from {path}: {reason}") from error


def _checked(value: str, where: str) -> SecretStr:
    key = value.strip()
    if not _PRINTABLE.fullmatch(key):
        raise AuthenticationError(
            f"{where} holds no usable API key: one line of printable ASCII is expected"
        )
    hide(key)  # from here on no message shows it
    return SecretStr(key)
