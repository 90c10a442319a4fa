"""Journal pieces: what a segment grew by at each commit, kept elsewhere under a name of its own.

The segment on disk is scratch. A record counts once its piece is kept; the pieces in a row are the
segment, byte by byte, so another machine makes it from them and reads on.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Protocol

from batch_screen.journal.segments import Segment, SegmentWriter


class Pieces(Protocol):
    """Where pieces are kept; each is written once."""

    def claim(self, shard: int, header: bytes) -> int:
        """Keeps the first piece of a new segment, and returns the segment's number."""

    def keep(self, shard: int, segment: int, piece: int, content: bytes) -> None:
        """Keeps a piece. Raises ``BatchScreenError``: it does not count."""


class PieceWriter(SegmentWriter):
    """Appends records to segments whose pieces are kept elsewhere at each sync."""

    def __init__(self, folder: Path, run_id: str, pieces: Pieces) -> None:
        super().__init__(folder, run_id)
        self._pieces = pieces
        self._kept: Counter[int] = Counter()
        """How many pieces of each open segment are kept."""

    def close_shard(self, shard: int) -> None:
        """Keeps what was noted last, as requests that nobody will wait for, and closes."""
        if shard in self._open and self._failure is None:
            self.sync(shard)
        super().close_shard(shard)

    def _next_number(self, shard: int) -> int:
        number = self._pieces.claim(shard, self._header(shard))
        self._kept[shard] = 1
        return number

    def _keep(self, shard: int, segment: Segment, reached: int) -> None:
        # Its first piece, the header, was kept when it was claimed.
        begin = max(segment.synced, segment.header)
        if reached <= begin:
            return
        with segment.path.open("rb") as file:
            file.seek(begin)
            content = file.read(reached - begin)
        self._pieces.keep(shard, segment.number, self._kept[shard], content)
        self._kept[shard] += 1
