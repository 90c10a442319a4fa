"""Keyed ids of numbers: HMAC-SHA256 of the E.164 text, cut to 128 bits.

A plain hash would be no pseudonym: all numbers of a country can be hashed in minutes. With a secret
key they cannot, and who has the key can still tell a number's id. The key is a file of its own, as
secret as the numbers: whoever has it and an id can find the number by trying all of them.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from hashlib import sha256
from pathlib import Path

import polars as pl

from batch_screen.config.key import TOO_OPEN
from batch_screen.config.paths import shown_secret_file
from batch_screen.errors import ConfigurationError
from batch_screen.masking import hide
from batch_screen.storage.atomic import open_private, sync_folder, translated
from batch_screen.storage.reading import read_small

KEY_BYTES = 32
ID_DIGITS = 32
"""Hex digits of an id: of a billion numbers, two share one with a chance of 1 in 10^20."""

_KEY_NAME_LETTERS = 8
_AS_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
"""A key's name has no digits, or a message would mask it where many of them stand together."""

_LARGEST_BYTES = 1 << 10
_HEX = re.compile(rb"[0-9a-fA-F]{64}")


class NumberIds:
    """The ids that one key gives to numbers."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._key = key
        # Not HMAC of a number, nor its beginning: no E.164 text begins like this.
        name = sha256(b"batch-screen id key\0" + key).hexdigest()[:_KEY_NAME_LETTERS]
        self.key_id = name.translate(_AS_LETTERS)

    def of(self, e164: pl.Series) -> pl.Series:
        """The ids of the numbers, in their order; null where there is none.

        >>> NumberIds(bytes(32)).of(pl.Series(["+4915112345678", None])).to_list()
        ['4820590a57f009900eae0dce8ec532b1', None]
        """
        ids = [
            None if number is None else hmac.digest(self._key, number.encode(), "sha256").hex()
            for number in e164.to_list()
        ]
        return pl.Series("number_id", ids, pl.String).str.head(ID_DIGITS)


def read_id_key(path: Path) -> NumberIds:
    """The ids by the key in this file. Raises ``ConfigurationError``."""
    try:
        mode = path.stat().st_mode
        content = read_small(path, _LARGEST_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
        raise ConfigurationError(
            f"cannot read the id key from {shown_secret_file(path)}: {reason}; name the file with "
            "--id-key-file, or make a key with: batch-screen id-key FILE"
        ) from None  # it quotes the name
    if stat.S_ISREG(mode) and mode & TOO_OPEN:
        raise ConfigurationError(
            f"the id key {path} is open to others than its owner (mode {stat.S_IMODE(mode):04o}): "
            f"who has it can find the number of every id; say: chmod 600 {path}"
        )
    found = content.strip()
    if not _HEX.fullmatch(found):
        raise ConfigurationError(
            f"{path} holds no id key: 64 hexadecimal digits are expected; make one with: "
            "batch-screen id-key FILE"
        )
    hide(found.decode())  # from here on no message shows it
    return NumberIds(bytes.fromhex(found.decode()))


def make_id_key(path: Path) -> NumberIds:
    """Makes a key in a new file of mode 0600; never writes over one that is there.

    Raises ``ConfigurationError`` where there is such a file, ``OutputError`` where it cannot be
    written.
    """
    key = secrets.token_bytes(KEY_BYTES)
    hide(key.hex())
    with translated("write the key to", path):
        try:
            file = open_private(path)
        except FileExistsError:
            raise ConfigurationError(
                f"{path} is there already, and a key is never written over: the ids that were made "
                "with it would belong to nobody; name another file"
            ) from None
        with file:
            file.write(f"{key.hex()}\n".encode())
            os.fsync(file.fileno())
        sync_folder(path.parent)
    return NumberIds(key)
