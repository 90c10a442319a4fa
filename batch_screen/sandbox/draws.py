"""Repeatable chance: numbers between 0 and 1 that depend on a seed and a text only."""

from __future__ import annotations

import hashlib
import struct

_EIGHT = struct.Struct(">8Q")


def draws(seed: int, purpose: str, text: str) -> tuple[float, ...]:
    """Eight independent draws from [0, 1), the same on every machine and in every process.

    ``purpose`` (at most 16 ASCII characters) keeps draws for one use apart from another's.

    >>> draws(0, "example", "+46701740605")[:2]
    (0.8236383874122821, 0.44008874166942646)
    """
    key = seed.to_bytes(16, "big", signed=True)
    digest = hashlib.blake2b(text.encode(), key=key, person=purpose.encode()).digest()
    # 53 bits are what a float holds; dividing all 64 could round up to 1.
    return tuple((word >> 11) / 2**53 for word in _EIGHT.unpack(digest))
