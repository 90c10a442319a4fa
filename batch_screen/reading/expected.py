"""About how many rows a file has, by its size and its beginning: a guess to lay things out by."""

from __future__ import annotations

import pyarrow.parquet as pq

from batch_screen.reading.caps import Caps
from batch_screen.reading.decode import unpacked
from batch_screen.reading.foreign import translated
from batch_screen.reading.layout import Layout, Packing

_SAMPLE_BYTES = 1 << 20
_USUAL_PACKING = 5
"""Bytes of text in a byte of a packed list."""


def expected_rows(layout: Layout, caps: Caps) -> int:
    """About how many rows; exact for Parquet. InputError: it cannot be read."""
    with translated(layout.name):
        if layout.csv is None:
            return int(pq.read_metadata(layout.path).num_rows)
        packing = layout.csv.packing
        sample = next(unpacked(layout.path, layout.name, packing, caps, _SAMPLE_BYTES), b"")
        lines = sample.count(b"\n") or sample.count(b"\r")
        if len(sample) < _SAMPLE_BYTES:
            return lines
        size = layout.path.stat().st_size
        packed = 1 if packing is Packing.NONE else _USUAL_PACKING
        return max(lines, lines * size * packed // len(sample))
