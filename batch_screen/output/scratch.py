"""Files for the meantime: private, and gone when the work is done."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def scratch_files(folder: Path, name: str, count: int) -> Iterator[list[Path]]:
    """Names for files that are gone afterwards; those of a killed process are swept."""
    mark = secrets.token_hex(4)
    paths = [folder / f".{name}-{n:05d}.{mark}.tmp" for n in range(count)]
    try:
        yield paths
    finally:
        for path in paths:
            with suppress(OSError):
                path.unlink(missing_ok=True)
