from __future__ import annotations

from pathlib import Path

import pytest

from batch_screen.files import make_folder
from batch_screen.journal import glance
from batch_screen.journal.glance import outcomes_at_a_glance
from batch_screen.journal.segments import SegmentWriter
from batch_screen.model import Endpoint, Intent, Outcome, OutcomeKind

CHECK = Endpoint.SIM_SWAP_CHECK


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A journal with three outcomes of shard 0 and one of shard 2, and an empty folder of seals."""
    journal, sealed = make_folder(tmp_path / "journal"), make_folder(tmp_path / "sealed")
    writer = SegmentWriter(journal, "r")
    for shard, count in ((0, 3), (2, 1)):
        for i in range(count):
            number = f"+44770090000{i}"
            text = 'says "t":"outcome" itself'
            outcome = Outcome(number, CHECK, 2400, kind=OutcomeKind.REJECTED, message=text)
            writer.write(shard, [Intent(number, CHECK, 2400), outcome])
    writer.close()
    return journal, sealed


@pytest.mark.parametrize("chunk_bytes", [7, 100, 1 << 20])
def test_outcomes_are_counted(
    folders: tuple[Path, Path], chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glance, "_CHUNK_BYTES", chunk_bytes)
    assert outcomes_at_a_glance(*folders, [10, 10, 10]) == 4
    assert outcomes_at_a_glance(*folders, [2, 10, 10]) == 3  # as many as there are lookups
    (folders[1] / "00001.seal").touch()
    assert outcomes_at_a_glance(*folders, [10, 10, 10]) == 14


def test_a_shard_that_is_sealed_meanwhile_counts_once(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, sealed = folders
    counted = glance._outcomes

    def seal(segment: Path) -> int:
        found = counted(segment)
        if segment.name.startswith("00000"):
            (sealed / "00000.seal").touch()
            for path in journal.glob("*"):
                path.unlink()
        return found

    monkeypatch.setattr(glance, "_outcomes", seal)
    assert outcomes_at_a_glance(journal, sealed, [3, 0, 5]) in (3, 4)
