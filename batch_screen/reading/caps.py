"""How much a file may unpack to, asked before it is unpacked and again on the way.

A few kilobytes can stand for terabytes. What a file says of itself is looked at first; as it
may lie or say nothing, the bytes that come out are counted as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from batch_screen.config.input import Input
from batch_screen.errors import InputError
from batch_screen.reading.layout import Packing

_GIB = 1 << 30
# Below this no ratio is too high: it is read in seconds.
_HARMLESS_BYTES = 32 << 20
_DEFLATE_RATIO = 1_032


@dataclass(frozen=True, slots=True)
class Caps:
    """The most bytes a file may hold, and how often its own size."""

    unpacked_bytes: int
    ratio: float

    @classmethod
    def of(cls, settings: Input) -> Caps:
        return cls(int(settings.max_unpacked_gib * _GIB), settings.max_unpacking_ratio)

    def check(self, name: str, packed: int, unpacked: int) -> None:
        """Raises InputError where so many bytes are too many for a file of ``packed`` bytes."""
        if unpacked > self.unpacked_bytes:
            raise InputError(
                f"{name}: it unpacks to more than {self.unpacked_bytes / _GIB:g} GiB: it is "
                "damaged, or made to fill memory and disk; if it is genuine, raise "
                "input.max_unpacked_gib, or split it"
            )
        if unpacked > max(_HARMLESS_BYTES, self.ratio * packed):
            raise InputError(
                f"{name}: it unpacks to more than {self.ratio:g} times its size: it is damaged, "
                "or made to fill memory and disk; if it is genuine, raise "
                "input.max_unpacking_ratio, or unpack it"
            )


def claimed_bytes(packing: Packing, size: int, head: bytes, tail: bytes) -> int:
    """The unpacked size that a packed file states, or 0; it may say less than there is.

    ``head`` and ``tail`` are its first 18 and last 4 bytes. gzip (RFC 1952, ISIZE) ends with
    the last member's size modulo 2^32; a zstd frame (RFC 8878, 3.1.1.1) may begin with its
    own. What deflate cannot reach is no claim: such a file was cut off.
    """
    if packing is Packing.GZIP:
        claimed = int.from_bytes(tail[-4:], "little")
        return claimed if claimed <= _DEFLATE_RATIO * size else 0
    return _frame_bytes(head) if packing is Packing.ZSTD else 0


def _frame_bytes(head: bytes) -> int:
    if len(head) < 5:
        return 0
    descriptor = head[4]
    is_single_segment = bool(descriptor & 0x20)
    width = (int(is_single_segment), 2, 4, 8)[descriptor >> 6]
    start = 5 + (not is_single_segment) + (0, 1, 2, 4)[descriptor & 3]
    field = head[start : start + width]
    if len(field) < width:
        return 0
    return int.from_bytes(field, "little") + (256 if width == 2 else 0)
